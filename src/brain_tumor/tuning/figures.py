"""A search in figures: what each hyperparameter did to the loss, the best so far, what mattered."""

from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna import Study

from brain_tumor.model.figures import blank, save
from brain_tumor.settings import TUNABLE
from brain_tumor.tuning.search import trials_table
from brain_tumor.tuning.storage import finished_trials, objective_of, quiet_log

ENOUGH = 20  # complete trials before shares of importance say more than chance
_WIDE = 10  # times from the lowest loss to the highest, from which on its axis is logarithmic
LOG = ("learning_rate", "head_penalty", "weight_decay")
DEPTH = "fine_tune_blocks"
SIZE_IN = (6.4, 4.2)
_COLOURS = ("0.45", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")


def importances(study: Study, n_trials: int) -> dict[str, float]:
    """Share of each hyperparameter in the differences of value, the largest first.

    Returns:
        Numbers that add up to 1; empty where fewer than `ENOUGH` trials are complete, or all have
        one value.
    """
    trials = finished_trials(study, n_trials)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) < 2:
        return {}
    with quiet_log():
        return optuna.importance.get_param_importances(study)


def save_figures(folder: Path, study: Study, n_trials: int) -> list[Path]:
    """Draw the first `n_trials` finished trials of a study.

    Returns:
        The files written, none without a complete trial: `history.png`, `NAME_OF_PARAMETER.png`
        for each that was searched, and `importances.png` where `importances` are known.
    """
    table, objective = trials_table(study, n_trials), objective_of(study)
    if not (table["state"] == "complete").any():
        return []
    drawn = {"history": draw_history(table, objective)}
    drawn |= {
        name: draw_parameter(table, objective, name) for name in TUNABLE if name in table.columns
    }
    shares = importances(study, n_trials)
    if shares:
        drawn["importances"] = draw_importances(shares)
    files = {folder / f"{name}.png": figure for name, figure in drawn.items()}
    for file, figure in files.items():
        save(file, figure)
    return list(files)


def draw_history(table: pd.DataFrame, objective: str) -> Any:
    """Every trial's value and the best so far, over the trials in the order they ran."""
    figure, axes = blank(*SIZE_IN)
    place = table["number"].rank(method="first").to_numpy()
    value = table["value"]
    best = (value.cummin() if objective == "log_loss" else value.cummax()).ffill()
    axes.step(place, best, where="post", color="0.2", lw=1.2, label="best so far")
    _scatter(axes, table.assign(place=place), "place")
    axes.set(xlabel="trial", title="The study, trial by trial")
    return _finish(figure, axes, objective, whole_numbers=True)


def draw_parameter(table: pd.DataFrame, objective: str, name: str) -> Any:
    """Value over one hyperparameter, coloured by fine-tuning depth.

    Trials in which it did not act stand in a strip of their own, on the left.
    """
    figure, axes = blank(*SIZE_IN)
    acts = table[name].notna()
    if name in LOG:
        axes.set_xscale("log")
    _scatter(axes, table[acts], name)
    if (~acts).any():
        _strip(axes, table[~acts], name)
    quantity, label = (
        "Loss" if objective == "log_loss" else objective.upper(),
        name.replace("_", " "),
    )
    axes.set(xlabel=label, title=f"{quantity} over {label}")
    return _finish(figure, axes, objective, whole_numbers=name in ("head_block", DEPTH))


def draw_importances(shares: dict[str, float]) -> Any:
    """Shares of importance as bars."""
    figure, axes = blank(*SIZE_IN)
    names = [name.replace("_", " ") for name in shares]
    axes.barh(names[::-1], list(shares.values())[::-1], color="#0072b2")
    axes.set(xlabel="share of importance (PED-ANOVA)", title="What mattered")
    axes.grid(alpha=0.25, axis="x")
    return figure


def _scatter(axes: Any, table: pd.DataFrame, x: str) -> None:
    """Complete trials filled, pruned ones hollow where their first folds had brought them."""
    depths = table[DEPTH] if DEPTH in table else table["number"] * 0
    for depth in sorted(map(int, depths.unique())):
        rows = table[depths == depth]
        colour = _COLOURS[depth % len(_COLOURS)]
        label = f"{depth} block{'' if depth == 1 else 's'}" if DEPTH in table else "trial"
        axes.scatter(rows[x], rows["value"], color=colour, s=42, zorder=3, label=label)
        pruned = rows[rows["state"] == "pruned"]
        axes.scatter(
            pruned[x], pruned["value_so_far"], s=36, zorder=3, facecolors="none", edgecolors=colour
        )


def _strip(axes: Any, table: pd.DataFrame, name: str) -> None:
    """Trials without a value of the parameter, left of the others."""
    low, high = axes.get_xlim()
    if name in LOG:
        place, edge = low / (high / low) ** 0.09, low / (high / low) ** 0.02
    else:
        place, edge = low - 0.09 * (high - low), low - 0.02 * (high - low)
    _scatter(axes, table.assign(**{name: place}), name)
    axes.axvline(edge, color="0.7", lw=1, ls=":")
    axes.text(
        place, 1.0, "none", ha="center", va="bottom", fontsize=8, color="0.3",
        transform=axes.get_xaxis_transform(),
    )  # fmt: skip


def _finish(figure: Any, axes: Any, objective: str, *, whole_numbers: bool) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    axes.set_ylabel(f"validation {objective.replace('_', ' ')}, mean of the folds")
    low, high = axes.get_ylim()
    if objective == "log_loss" and high > _WIDE * max(low, 0.1):  # one bad trial hides the others
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.2g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    if whole_numbers:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(sorted(zip(labels, handles, strict=True), key=lambda entry: entry[0]))
    unique["pruned (first folds only)"] = Line2D(
        [], [], ls="", marker="o", ms=6, mfc="none", mec="0.4"
    )
    figure.legend(
        list(unique.values()), list(unique), loc="outside lower center", ncols=4, fontsize=8,
        frameon=False,
    )  # fmt: skip
    axes.grid(alpha=0.25)
    return figure
