"""The section on degraded images: what is lost as noise, blur and the like grow."""

from collections.abc import Mapping
from typing import Any

from brain_tumor.figure_text import decimals
from brain_tumor.report.curves import curves_svg
from brain_tumor.report.evidence import figures
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Absent, Figure, Section, Table
from brain_tumor.report.wording import figure_name, shown

_TITLE = "Robustness"
_KEYS = ("accuracy", "auroc", "calibration_slope", "brier", "flagged")
_KINDS = {
    "noise": "Noise (standard deviation over white)",
    "blur": "Blur (standard deviation over the longer side)",
    "contrast": "Contrast (share kept)",
    "rotation": "Rotation (degrees)",
    "jpeg": "JPEG quality",
}


def robustness(found: Findings) -> Section | Absent:
    """Figures on test images as they are and degraded, a row per level."""
    evidence = found.robustness
    if not evidence:
        return Absent(_TITLE, "this model was not tested on degraded images; `make evidence`")
    rows: list[list[str]] = []
    for kind in dict.fromkeys(one["kind"] for one in evidence["conditions"]):
        if kind in _KINDS:
            rows.append([_KINDS[kind], *[""] * (len(_KEYS) + 1)])
        rows += [_row(one) for one in evidence["conditions"] if one["kind"] == kind]
    caption = (
        f"Test images (n = {evidence['images']} in {evidence['clusters']} clusters) degraded "
        "before any preprocessing; 95 % intervals. Change: of accuracy, against the same images as "
        "they are. Flagged: share called unlike the training images."
    )
    head = ("Level", *map(figure_name, _KEYS), "Change")
    model = (
        f"Of the registered model with digest `{evidence['model'][:12]}`, at its threshold of "
        f"{decimals(evidence['threshold'])}. Nothing was chosen by these figures."
    )
    return Section(_TITLE, [model, _curves(evidence), Table(head, rows, caption)])


def _curves(evidence: Mapping[str, Any]) -> Figure:
    return Figure(
        curves_svg(evidence["conditions"]),
        "Figures on test images by level of degradation, with 95 % intervals; dashed: ideal.",
        "Curves of the figures by level, a column per kind; the values are in the table below.",
    )


def _row(condition: Mapping[str, Any]) -> list[str]:
    measured, change = figures(condition["figures"]), figures(condition.get("change", {}))
    level = f"{condition['level']:g}" if condition["kind"] in _KINDS else "As they are"
    return [level, *(shown(measured.get(key)) for key in _KEYS), shown(change.get("accuracy"))]
