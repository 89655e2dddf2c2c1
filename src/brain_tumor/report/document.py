"""The evaluation report: its sections in order, as one page."""

from brain_tumor.report import claim, committed, material, origins, overview, results, tripod, use
from brain_tumor.report.card import ModelCard
from brain_tumor.report.decisions import decisions
from brain_tumor.report.findings import Findings
from brain_tumor.report.localisation import explanation
from brain_tumor.report.page import page
from brain_tumor.report.published import published
from brain_tumor.report.robustness import robustness

_TITLE = "Deep learning classification of brain MRI slices: evaluation report"


def document(found: Findings, card: ModelCard) -> str:
    """The report as HTML."""
    body = {
        "summary": overview.summary(found, card),
        "use": use.use(card),
        "data": material.data(found, card),
        "methods": material.methods(found, card),
        "performance": results.performance(found, card),
        "calibration": results.calibration(found, card),
        "failures": results.failures(found, card),
        "crossvalidation": committed.crossvalidation(found),
        "published": published(found),
        "external": committed.external(found),
        "explanation": explanation(found),
        "robustness": robustness(found),
        "decisions": decisions(found),
        "lineage": origins.lineage(found, card),
        "parameters": origins.parameters(found),
    }
    places = {
        key: f"section {number}, {section.title}"
        for number, (key, section) in enumerate(body.items(), 1)
    }
    present = found.present
    lists = [origins.listed(one.TITLE, one.ITEMS, present, places) for one in (claim, tripod)]
    lead = (
        f"{card.name}, developed and evaluated on {card.data.files} images "
        f"({card.data.source}). For research only, not for diagnosis."
    )
    return page(_TITLE, lead, [*body.values(), *lists])
