"""docs/evidence/robustness.md and its drawing from the curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from brain_tumor.evidence.estimates import cell
from brain_tumor.evidence.page import figure_label, made_line, table
from brain_tumor.evidence.robustness import AS_IS
from brain_tumor.report.drawing import BLUE, MUTED, drawn

_DRAWN = ("accuracy", "auroc", "calibration_slope", "brier", "ece")
_SHOWN = ("accuracy", "auroc", "calibration_slope", "brier", "ece", "ece_floor", "flagged")
_WHAT = {
    "noise": "Rician noise, standard deviation over the picture's white (99th percentile)",
    "blur": "Gaussian blur, standard deviation over the longer side",
    "contrast": "Share kept of the difference to the mean",
    "rotation": "Rotation about the centre, degrees, either way by file",
    "jpeg": "JPEG quality",
}


def robustness_page(
    found: Sequence[Mapping[str, Any]], facts: Mapping[str, Any], made: Mapping[str, Any]
) -> str:
    """The page as Markdown.

    Args:
        found: see `robustness_curves.curves`.
        facts: images, clusters, threshold and model (digest of its bundle).
        made: where and when (see `page.made_from`).
    """
    parts = [
        "# Robustness",
        f"The {facts['images']} test images ({facts['clusters']} clusters of copies or patients) "
        "degraded before any preprocessing, and classified as `brain-tumor predict` does: "
        f"threshold {facts['threshold']:g}, calibration and preprocessing as stored with the model "
        f"(digest `{facts['model'][:12]}`). Nothing was chosen by these figures.",
        made_line(made),
        "![Figures by level](figures/robustness.svg)",
        *(_section(kind, what, found) for kind, what in _WHAT.items()),
        "In brackets 95 % intervals: Wilson for accuracy and the flagged share, else from "
        "resampled clusters; changes are against the same images as they are. `flagged`: the share "
        "called unlike the training images, which is what should happen as pictures get worse. A "
        "slope below 1 means overconfidence; a dash: undefined. All figures: `robustness.csv`.",
    ]
    return "\n\n".join(parts) + "\n"


@drawn
def robustness_svg(found: Sequence[Mapping[str, Any]]) -> Any:
    """A grid of curves: a row per figure, a column per kind of degradation.

    Args:
        found: see `robustness_curves.curves`.

    Returns:
        SVG.
    """
    from matplotlib.figure import Figure

    size = (1.0 + 1.75 * len(_WHAT), 1.35 * len(_DRAWN))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(len(_DRAWN), len(_WHAT), sharex="col", sharey="row", squeeze=False)
    for row, name in zip(grid, _DRAWN, strict=True):
        row[0].set_ylabel(figure_label(name).replace("calibration ", "").replace(", ten bins", ""))
        for axes, kind in zip(row, _WHAT, strict=True):
            _draw(axes, name, _of_kind(found, kind))
    for axes, kind in zip(grid[0], _WHAT, strict=True):
        axes.set_title(kind, size=9)
    return figure


def _draw(axes: Any, name: str, conditions: Sequence[Mapping[str, Any]]) -> None:
    """A figure by level, evenly spaced, with its interval as a band."""
    axes.patch.set_visible(False)
    if name == "calibration_slope":
        axes.axhline(1.0, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    shown = [(at, one["figures"][name]) for at, one in _having(conditions, name)]
    if shown:
        places, values = zip(*((at, one["value"]) for at, one in shown), strict=True)
        low, high = ([one.get(end, one["value"]) for _, one in shown] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=BLUE, alpha=0.18, lw=0)
        axes.plot(places, values, "o-", color=BLUE, ms=3, lw=1.2)
    if name == "ece":
        floor = [(at, one["figures"]["ece_floor"]) for at, one in _having(conditions, "ece_floor")]
        low, high = ([one[end] for _, one in floor] for end in ("low", "high"))
        axes.fill_between([at for at, _ in floor], low, high, color=MUTED, alpha=0.18, lw=0)
    labels = ["as is", *(f"{one['level']:g}" for one in conditions[1:])]
    axes.set_xticks(range(len(conditions)), labels, rotation=60, size=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(visible=True, axis="y")


def _having(
    conditions: Sequence[Mapping[str, Any]], name: str
) -> list[tuple[int, Mapping[str, Any]]]:
    return [(at, one) for at, one in enumerate(conditions) if name in one["figures"]]


def _of_kind(found: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The images as they are, then the levels of a kind."""
    return [one for one in found if one["kind"] in (AS_IS, kind)]


def _section(kind: str, what: str, found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            "as is" if one["kind"] == AS_IS else f"{one['level']:g}",
            *(cell(one["figures"], name) for name in _SHOWN),
            *(cell(one.get("change", {}), name) for name in ("accuracy", "auroc")),
        ]
        for one in _of_kind(found, kind)
    ]
    head = ["level", *map(figure_label, _SHOWN), "change of accuracy", "change of AUROC"]
    return f"## {kind.capitalize() if kind != 'jpeg' else 'JPEG'}\n\n{what}.\n\n{table(head, rows)}"
