"""docs/evidence/robustness.md and its drawing from the curves."""

from collections.abc import Mapping, Sequence
from typing import Any

from brain_tumor.evidence.page import figure_label, made_line, recipe_line, table
from brain_tumor.figure_text import cell
from brain_tumor.report.curves import AS_IS, of_kind

_SHOWN = (
    "accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier", "calibration_slope",
    "ece", "ece_floor", "flagged",
)  # fmt: skip
_CHANGES = ("accuracy", "auroc", "brier")
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
        recipe_line(made),
        "# Robustness",
        f"The {facts['images']} test images ({facts['clusters']} clusters of copies or patients) "
        "degraded before any preprocessing, and classified as `brain-tumor predict` does: "
        f"threshold {facts['threshold']:g}, calibration and preprocessing as stored with the model "
        f"(digest `{facts['model'][:12]}`). Nothing was chosen by these figures.",
        made_line(made),
        _verdict(found),
        "![Figures by level](figures/robustness.svg)",
        *(_section(kind, what, found) for kind, what in _WHAT.items()),
        "In brackets 95 % intervals from resampled clusters; for shares Wilson's where every image "
        "is a cluster of its own, or where all images are alike (of the clusters then); for the "
        "ECE of perfect calibration the range of the simulation. Changes are against the same "
        "images as they are. `flagged`: the share called unlike the training images, which is "
        "what should happen as pictures get "
        "worse. A slope below 1 means overconfidence; a dash: undefined. All figures: "
        "`robustness.csv`.",
    ]
    return "\n\n".join(parts) + "\n"


def _verdict(found: Sequence[Mapping[str, Any]]) -> str:
    """Which changes are shown at all."""
    shown = [
        f"{figure_label(name)} at {one['kind']} {one['level']:g} ({cell(one['change'].get(name))})"
        for one in found
        for name, change in one.get("change", {}).items()
        if "low" in change and (change["low"] > 0 or change["high"] < 0)
    ]
    if not shown:
        return "No change has an interval that excludes 0: there are too few images to show one."
    return (
        f"Changes with an interval that excludes 0: {'; '.join(shown)}. The others are not shown, "
        "which with so few images does not mean that there are none."
    )


def _section(kind: str, what: str, found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            "as is" if one["kind"] == AS_IS else f"{one['level']:g}",
            *(cell(one["figures"].get(name)) for name in _SHOWN),
            *(cell(one.get("change", {}).get(name)) for name in _CHANGES),
        ]
        for one in of_kind(found, kind)
    ]
    changes = [f"change of {figure_label(name)}" for name in _CHANGES]
    head = ["level", *map(figure_label, _SHOWN), *changes]
    return f"## {kind.capitalize() if kind != 'jpeg' else 'JPEG'}\n\n{what}.\n\n{table(head, rows)}"
