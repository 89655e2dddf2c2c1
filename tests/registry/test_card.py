"""The card says the same to people and machines."""

import json

from brain_tumor.registry.card import card_facts, card_markdown, short_description

META = {"head": "gap", "initial_weights": "imagenet", "threshold": 0.4}
METRICS = {
    "train": {"accuracy": {"value": 0.99}},
    "test": {"accuracy": {"value": 0.9, "low": 0.77, "high": 0.96}, "auroc": {"value": 0.95}},
}
FACTS = card_facts(
    META,
    METRICS,
    {"train": {"no": 60, "yes": 103}},
    {"git.commit": "abc", "data.md5": "d.dir"},
    "f00",
)


def test_card_shows_use_figures_and_lineage() -> None:
    text = card_markdown("model", FACTS)
    assert "Research only. Not for diagnosis" in text
    assert "| accuracy | 0.990 | 0.900 (0.770 to 0.960) |" in text
    assert "| auroc |  | 0.950 |" in text
    assert "| train | 60 | 103 |" in text
    for fact in ("imagenet", "abc", "d.dir", "f00", "0.4"):
        assert fact in text


def test_facts_survive_json() -> None:
    assert json.loads(json.dumps(FACTS)) == FACTS


def test_short_description_names_use_and_weights() -> None:
    text = short_description(FACTS)
    assert text.startswith("Research only.")
    assert "imagenet" in text
    assert "accuracy 0.900 (0.770 to 0.960)" in text
