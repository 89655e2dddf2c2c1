"""The section on heat maps, and whether they point at tumours where the truth is known."""

from collections.abc import Iterator, Mapping
from typing import Any

from brain_tumor.report.evidence import figures
from brain_tumor.report.figures import Interval, intervals_svg
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Absent, Figure, Listing, Part, Section, Table
from brain_tumor.report.wording import shown

_TITLE = "Explanations"
_SCORES = {
    "pointing": "Pointing game",
    "mass": "Mass in the tumour",
    "overlap": "Overlap",
}
_RIVALS = {
    "model": "Heat map of the model",
    "chance": "Noise in the head",
    "centre": "Centre of the head",
    "random_head": "The model with a random head",
    "random": "Random weights throughout",
}
_WHAT = (
    "A heat map shows what each place of the head's block and its neighbours add to the logit "
    "beside what they add in an empty picture, for and against a tumour. On phantoms the tumour is "
    "known, pixel by pixel, and is warped as the image is. "
    "Pointing game: share of maps whose strongest place (its square, a stride wide) touches the "
    "tumour. Mass: share of what "
    "speaks for a tumour that lies in it. Overlap: intersection over union with as many of the "
    "strongest pixels as the tumour has."
)


def explanation(found: Findings) -> Section | Absent:
    """Scores of the heat maps, of what they must beat, and the paired differences."""
    evidence = found.localisation
    if not evidence:
        return Absent(_TITLE, "this model's heat maps were not tested; `make evidence`")
    return Section(_TITLE, [_WHAT, _subject(evidence), *_told(evidence)])


def _subject(evidence: Mapping[str, Any]) -> str:
    """Which network was asked, as far as it is told."""
    auroc = figures({"auroc": evidence["auroc"]})["auroc"] if "auroc" in evidence else None
    told = {
        "Its weights": evidence.get("weights"),
        "its block": "block" in evidence and f"mixed{evidence['block']}",
        "its AUROC on phantoms": auroc and shown(auroc),
    }
    facts = "; ".join(f"{name}: {value}" for name, value in told.items() if value)
    who = "The network asked is a trained model as it is, on phantoms it never saw."
    return f"{who} {facts}." if facts else who


def _told(evidence: Mapping[str, Any]) -> Iterator[Part]:
    of = f" (n = {evidence['phantoms']} phantoms)" if "phantoms" in evidence else ""
    yield _table(
        evidence["scores"], f"How well maps point at the tumour{of}; 95 % intervals over patients."
    )
    differences = evidence.get("differences", {})
    if differences:
        yield _table(
            differences, f"The heat map's score minus that of each{of}, paired; 95 % intervals."
        )
        yield _drawn(differences, of)
    if notes := evidence.get("notes"):
        yield Listing(list(notes))


def _table(scores: Mapping[str, Any], caption: str) -> Table:
    rows = [
        [_RIVALS.get(name, name), *(shown(figures(one).get(key)) for key in _SCORES)]
        for name, one in scores.items()
    ]
    return Table(("Map", *_SCORES.values()), rows, caption)


def _drawn(differences: Mapping[str, Any], of: str) -> Figure:
    rows = [
        Interval(f"against {_RIVALS.get(name, name).lower()}", one.value, one.low, one.high, title)
        for key, title in _SCORES.items()
        for name, scores in differences.items()
        if (one := figures(scores).get(key)) is not None
    ]
    return Figure(
        intervals_svg(rows, "difference of scores", 0.0),
        f"The heat map's score minus each other's, with 95 % intervals{of}. Right of the line it "
        "is better; an interval that holds 0 shows no difference.",
        "Forest plot of the differences; the values are in the table above.",
    )
