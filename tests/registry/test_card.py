"""The card of a registered model is the stage's, under the model's name and digest."""

from pathlib import Path

import pytest
from tests.registry.conftest import MakeOutputs

from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.card import registered_card, short_description, write_both
from brain_tumor.report.card import CARD_FILE, read_card

NAME, DIGEST = "brain-tumor-inceptionv3", "f" * 64


@pytest.fixture
def outputs(tmp_path: Path, make_outputs: MakeOutputs) -> StageOutputs:
    return make_outputs(tmp_path)


@pytest.mark.slow
def test_it_names_model_digest_and_what_it_was_registered_from(
    outputs: StageOutputs, tmp_path: Path
) -> None:
    card = registered_card(outputs, NAME, DIGEST)
    assert (card.name, card.digest) == (NAME, DIGEST)
    before = read_card(outputs.report / CARD_FILE)
    assert before.lineage.items() <= card.lineage.items()
    assert {"md5.model", "md5.report", "md5.metrics"} <= set(card.lineage)
    assert card.metrics == before.metrics
    written = write_both(tmp_path / "model", card)
    assert read_card(written["model_card.json"]) == card
    text = written["MODEL_CARD.md"].read_text(encoding="utf-8")
    assert text.startswith(f"# {NAME}\n")
    assert DIGEST in text


@pytest.mark.slow
def test_short_description_names_use_weights_and_figures(outputs: StageOutputs) -> None:
    text = short_description(registered_card(outputs, NAME, DIGEST))
    assert text == ("Research only: not for diagnosis. Initial weights: random. Test: AUROC 0.80.")


@pytest.mark.slow
def test_without_a_card_nothing_is_registered(outputs: StageOutputs) -> None:
    (outputs.report / CARD_FILE).unlink()
    with pytest.raises(ValueError, match="dvc repro report"):
        registered_card(outputs, NAME, DIGEST)
