"""The model card as Markdown, from its data alone."""

from collections.abc import Iterable, Mapping, Sequence

from brain_tumor.report import wording
from brain_tumor.report.card import ModelCard
from brain_tumor.tracking.wording import markdown_table


def markdown(card: ModelCard) -> str:
    """The card for people."""
    sections = [
        f"# {card.name}",
        f"**{card.intended_use}**",
        _section("Not for", _listing(card.not_for)),
        _section("Input and output", _pairs({"input": card.input, **card.output})),
        _section("Network", _pairs({**card.model.model_dump(), **_weights(card)})),
        _section("Data", _data(card)),
        _section("Split and preprocessing", _listing([*card.split, *card.preprocessing])),
        _section("Figures with 95 % intervals", _figures(card)),
        _section("Calibration and operating point", _calibration(card)),
        _section("Nested cross-validation of the recipe, and baselines", _crossvalidation(card)),
        _section("External data", _external(card)),
        _section("Most confident errors", _failures(card)),
        _section("Limits", _listing(card.limits)),
        _section("Lineage", _pairs(card.lineage | {"digest": card.digest or "not registered"})),
    ]
    return "\n\n".join(sections) + "\n"


def _data(card: ModelCard) -> str:
    data = card.data
    facts = {
        "source": data.source,
        "files": data.files,
        "distinct": data.distinct,
        "patients": data.patients or "not known",
        "formats": ", ".join(f"{name} {count}" for name, count in data.formats.items()),
    }
    parts = [_pairs(facts), _table(wording.IMAGE_HEAD, wording.image_rows(card))]
    return "\n\n".join([*parts, "Known faults:", _listing(data.faults or ("none found",))])


def _figures(card: ModelCard) -> str:
    table = _table(("figure", *wording.SPLITS), wording.figure_rows(card.metrics))
    notes = [f"{wording.SPLITS[split].capitalize()}: {text}" for split, text in card.notes.items()]
    return f"{table}\n\n{_listing(notes)}"


def _calibration(card: ModelCard) -> str:
    point = card.calibration
    facts = {
        "temperature": f"{point.temperature:.4g}",
        "threshold": f"{point.threshold:.4g}: {wording.threshold_text(point)}",
    }
    table = _table(("figure", "val", "test", "ideal"), wording.calibration_rows(card.metrics))
    return f"{_pairs(facts)}\n\n{table}".strip()


def _crossvalidation(card: ModelCard) -> str:
    """Figures as rows; the recipe and the baselines as columns."""
    if not card.crossvalidation:
        return "Not known: the nested cross-validation (`make evidence`) left no summary."
    columns = [card.crossvalidation, *(one.figures for one in card.baselines)]
    rows = [
        [wording.figure_name(key), *(wording.shown(one.get(key)) for one in columns)]
        for key in card.crossvalidation
    ]
    table = _table(("figure", "the recipe", *(one.name for one in card.baselines)), rows)
    return f"{table}\n\nThe recipe is called at its own thresholds, baselines from 0.5 on."


def _external(card: ModelCard) -> str:
    if not card.external:
        return "None: this model has met no other data (`brain-tumor evaluate`)."
    head = ["", *(f"evaluation {number}" for number in range(1, len(card.external) + 1))]
    return _table(head, wording.external_rows(card.external))


def _failures(card: ModelCard) -> str:
    if not card.failures:
        return "None on validation and test images."
    return _table(wording.FAILURE_HEAD, wording.failure_rows(card))


def _weights(card: ModelCard) -> dict[str, str]:
    note = card.initial_weights.note
    return {"note on initial weights": note} if note else {}


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _listing(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _pairs(values: Mapping[str, object]) -> str:
    return _table(("", ""), [[key, str(value)] for key, value in values.items()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return markdown_table(head, rows) if rows else ""
