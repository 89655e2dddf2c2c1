"""A card says what was found, to people and machines alike, and refuses what cannot be."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from pydantic import ValidationError

from brain_tumor.report.card import ModelCard, as_json, markdown, read_card, write_card
from brain_tumor.report.prose import make_card
from tests.report import evidence_files, stage_files


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    return stage_files.card(tmp_path_factory.mktemp("stages"))


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> ModelCard:
    """With committed evidence on the same images."""
    inputs = evidence_files.inputs(tmp_path_factory.mktemp("proven"))
    return make_card(inputs, stage_files.NAME)


@pytest.mark.parametrize("which", ["card", "proven"])
def test_a_card_fits_its_own_schema(which: str, request: pytest.FixtureRequest) -> None:
    schema = ModelCard.model_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(as_json(request.getfixturevalue(which)), schema)


def test_an_unknown_key_fits_neither_schema_nor_class(card: ModelCard) -> None:
    odd = {**as_json(card), "sensitivty": 0.9}
    with pytest.raises(jsonschema.ValidationError, match="sensitivty"):
        jsonschema.validate(odd, ModelCard.model_json_schema())
    with pytest.raises(ValidationError, match="sensitivty"):
        ModelCard.model_validate_json(json.dumps(odd))


def test_a_card_is_the_same_once_written_and_read(proven: ModelCard, tmp_path: Path) -> None:
    write_card(tmp_path / "card.json", proven)
    assert read_card(tmp_path / "card.json") == proven


def test_a_card_without_a_target_sensitivity_survives_too(card: ModelCard, tmp_path: Path) -> None:
    calibration = card.calibration.model_copy(update={"target_sensitivity": None})
    other = card.model_copy(update={"calibration": calibration})
    write_card(tmp_path / "card.json", other)
    assert read_card(tmp_path / "card.json") == other
    assert "no target sensitivity was set" in markdown(other)


def test_a_card_cannot_be_changed(card: ModelCard) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        card.name = "other"  # type: ignore[misc]


def test_a_missing_card_names_the_stage_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dvc repro report"):
        read_card(tmp_path / "card.json")


def changed(card: ModelCard, **changes: object) -> str:
    return json.dumps({**as_json(card), **changes})


def test_threshold_and_calibration_must_be_of_one_training(card: ModelCard) -> None:
    other = {**as_json(card)["calibration"], "threshold": 0.9}
    with pytest.raises(ValidationError, match="different trainings"):
        ModelCard.model_validate_json(changed(card, calibration=other))


def test_a_right_call_is_no_failure(card: ModelCard) -> None:
    right = {"path": "yes/a.png", "split": "test", "label": "yes", "probability": 0.99}
    with pytest.raises(ValidationError, match="called rightly"):
        ModelCard.model_validate_json(changed(card, failures=[right]))


def test_training_figures_have_no_interval(card: ModelCard) -> None:
    assert all(figure.low is None for figure in card.metrics["train"].values())
    assert {key for key, figure in card.metrics["test"].items() if figure.low is None} == {"ece"}
    broken = {**as_json(card)["metrics"], "train": as_json(card)["metrics"]["test"]}
    with pytest.raises(ValidationError, match="must not"):
        ModelCard.model_validate_json(changed(card, metrics=broken))


@pytest.mark.parametrize(("low", "high"), [(0.9, 0.1), (0.5, None)])
def test_an_interval_has_two_ends_in_order(card: ModelCard, low: float, high: float | None) -> None:
    odd = {**as_json(card)["metrics"], "test": {"auroc": {"value": 0.8, "low": low, "high": high}}}
    with pytest.raises(ValidationError, match="interval"):
        ModelCard.model_validate_json(changed(card, metrics=odd))


def test_failures_are_errors_on_held_out_images_worst_first(card: ModelCard) -> None:
    off = [
        failure.probability if failure.label == "no" else 1 - failure.probability
        for failure in card.failures
    ]
    assert off
    assert off == sorted(off, reverse=True)
    assert {failure.split for failure in card.failures} <= {"val", "test"}


def test_the_markdown_says_what_the_data_say(card: ModelCard) -> None:
    text = markdown(card)
    auroc = card.metrics["test"]["auroc"]
    assert f"{auroc.value:.2f} ({auroc.low:.2f} to {auroc.high:.2f})" in text
    assert "| test | 12 | 12 | 24 | 24 |" in text
    for fact in (card.intended_use, "imagenet", "c" * 40, "0.4", "out-of-fold", "optimistic"):
        assert fact in text
    for failure in card.failures:
        assert f"`{failure.path}`" in text
    assert all(fault in text for fault in card.data.faults)


def test_evidence_on_these_images_is_in_the_card(card: ModelCard, proven: ModelCard) -> None:
    assert not card.baselines
    assert "left no summary" in markdown(card)
    assert [baseline.name for baseline in proven.baselines][-1] == "Linear probe, frozen `mixed6`"
    assert proven.baselines[-1].difference["auroc"].value == 0.05
    text = markdown(proven)
    assert "0.85 (0.80 to 0.90)" in text
    assert proven.crossvalidation["auroc"].value == 0.9
    assert not card.crossvalidation
    assert "| sensitivity | 0.93 (0.88 to 0.96) |" in text


def test_labels_doubted_before_any_model_are_named(card: ModelCard) -> None:
    assert card.data.label_suspects == (stage_files.DOUBTED,)
    assert any("suspect labels" in fault for fault in card.data.faults)
