"""The evaluation report: its sections in order, as one page."""

from collections.abc import Mapping

from brain_tumor.report import (
    claim,
    committed,
    material,
    origins,
    overview,
    results,
    training,
    tripod,
    use,
)
from brain_tumor.report.card import ModelCard
from brain_tumor.report.findings import Findings
from brain_tumor.report.localisation import explanation
from brain_tumor.report.page import page
from brain_tumor.report.parts import Absent, Section
from brain_tumor.report.published import published
from brain_tumor.report.robustness import robustness

_TITLE = "Deep learning classification of brain MRI slices: evaluation report"
_DECISIONS = "docs/evidence/decisions.md (the project's decision log)"


def document(found: Findings, card: ModelCard, pictures: Mapping[str, bytes] | None) -> str:
    """The report as HTML.

    Args:
        found: all that is known.
        card: the model's.
        pictures: JPEG of each of the card's failures by path, for the report that stays beside the
            data; None: a copy that leaves it, without any image of the data.
    """
    parts: dict[str, Section | Absent | None] = {
        "summary": overview.summary(found, card),
        "use": use.use(found, card),
        "data": material.data(found, card),
        "methods": material.methods(found, card, is_local=pictures is not None),
        "training": training.training(found),
        "performance": results.performance(found, card),
        "calibration": results.calibration(found, card),
        "failures": results.failures(found, card, pictures),
        "crossvalidation": committed.crossvalidation(found),
        "published": published(found),
        "external": committed.external(found),
        "explanation": explanation(found),
        "robustness": robustness(found),
        "lineage": origins.lineage(found, card),
        "parameters": origins.parameters(found),
    }
    body = {key: part for key, part in parts.items() if isinstance(part, Section)}
    absent = {key: part for key, part in parts.items() if isinstance(part, Absent)}
    places = {
        key: f"section {number}, {section.title}"
        for number, (key, section) in enumerate(body.items(), 1)
    }
    places |= {key: f"not in this report: {one.title}" for key, one in absent.items()}
    places["decisions"] = _DECISIONS
    present = found.present
    lists = [origins.listed(one.TITLE, one.ITEMS, present, places) for one in (claim, tripod)]
    lead = (
        f"{card.name}, developed and evaluated on {card.data.files} images "
        f"({card.data.source}). For research only, not for diagnosis."
    )
    return page(_TITLE, lead, [*body.values(), *lists], list(absent.values()))
