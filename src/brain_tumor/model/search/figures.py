"""A search in figures: its history, each hyperparameter against the value, what mattered."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.atomic import replacing
from brain_tumor.model.search.finished import finished_trials, objective_of
from brain_tumor.model.search.quiet import experimental_on_purpose, quiet_log

if TYPE_CHECKING:
    from optuna import Study


def importances(study: "Study") -> dict[str, float]:
    """Share of each hyperparameter in the differences of value, the largest first.

    Returns:
        Numbers that add up to 1; empty where fewer than two complete trials differ in value.
    """
    import optuna

    complete = [trial for trial in finished_trials(study) if trial.state.name == "COMPLETE"]
    if len({trial.value for trial in complete}) < 2:
        return {}
    with quiet_log():
        return optuna.importance.get_param_importances(study)


def save_figures(folder: Path, study: "Study") -> list[Path]:
    """Draw what can be drawn of a study.

    Returns:
        The files written: `history.png`, `slice.png` and `importances.png`, the last only where
        `importances` are known, none without a complete trial.
    """
    if not any(trial.state.name == "COMPLETE" for trial in finished_trials(study)):
        return []
    drawings = {"history": _draw_history, "slice": _draw_slice}
    if importances(study):
        drawings["importances"] = _draw_importances
    return [_save(folder / f"{name}.png", draw, study) for name, draw in drawings.items()]


def _draw_history(study: "Study") -> list[Any]:
    from optuna.visualization.matplotlib import plot_optimization_history

    axes = plot_optimization_history(study, target_name=_value_name(study))
    axes.set_title("Value per trial")
    axes.legend(["trial", "best so far"], frameon=False, loc="best")
    return [axes]


def _draw_slice(study: "Study") -> list[Any]:
    import numpy as np
    from optuna.visualization.matplotlib import plot_slice

    drawn: Any = plot_slice(study, target_name=_value_name(study))  # one axes, or an array
    every = list(np.ravel(drawn))
    every[0].figure.suptitle("Value against each hyperparameter")
    return every


def _draw_importances(study: "Study") -> list[Any]:
    from optuna.visualization.matplotlib import plot_param_importances

    axes: Any = plot_param_importances(study)
    axes.set_title("What mattered", loc="left")
    axes.set(xlabel="importance (PED-ANOVA)", ylabel="")
    axes.get_legend().remove()
    return [axes]


def _value_name(study: "Study") -> str:
    return f"val {objective_of(study)}"


def _save(path: Path, draw: Callable[["Study"], list[Any]], study: "Study") -> Path:
    with _own_matplotlib(), experimental_on_purpose(), quiet_log(), replacing(path) as aside:
        with warnings.catch_warnings():  # all trials share a value of some hyperparameter
            warnings.filterwarnings("ignore", "Attempting to set identical", UserWarning)
            drawn = draw(study)
        for axes in drawn:
            _restyle(axes)
        drawn[0].figure.savefig(aside, dpi=120, bbox_inches="tight", metadata={"Software": None})
    return path


def _restyle(axes: Any) -> None:
    """The look of the project's other figures; whole numbers where only they can occur."""
    from matplotlib.ticker import MaxNLocator

    axes.set_facecolor("white")
    axes.set_axisbelow(True)
    axes.grid(visible=True, color="0.9")
    axes.spines[:].set(visible=True, color="0.4")
    if axes.get_xlabel() in ("Trial", "head_block", "fine_tune_blocks"):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


@contextmanager
def _own_matplotlib() -> Iterator[None]:
    """Undo what Optuna's figures do to Matplotlib: a style for the process, figures left open."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        with plt.rc_context():
            yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)
