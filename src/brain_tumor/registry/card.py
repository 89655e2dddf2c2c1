"""The card of a registered model: that of stage report, under the model's name and digest."""

from pathlib import Path

from brain_tumor.atomic import write_text
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.rebuild import lineage_of
from brain_tumor.report.card import CARD_FILE, ModelCard, markdown, read_card, write_card
from brain_tumor.report.words import figure_name, shown
from brain_tumor.tracking.model_folder import CARD, CARD_FACTS

_SHORT = ("balanced_accuracy", "auroc")  # what fits the page of a version


def registered_card(outputs: StageOutputs, name: str, digest: str) -> ModelCard:
    """The card with what is known only once the model is registered.

    Args:
        outputs: the files of the stages.
        name: of the registered model.
        digest: of its bundle.

    Raises:
        ValueError: stage report left no readable card.
    """
    card = read_card(outputs.report / CARD_FILE)
    lineage = {**card.lineage, **lineage_of(outputs)}
    return card.model_copy(update={"name": name, "digest": digest, "lineage": lineage})


def write_both(folder: Path, card: ModelCard) -> dict[str, Path]:
    """Write the card into a folder for people and machines; name in the model to file."""
    write_text(folder / CARD, markdown(card))
    write_card(folder / CARD_FACTS, card)
    return {name: folder / name for name in (CARD, CARD_FACTS)}


def short_description(card: ModelCard) -> str:
    """A few lines for the page of the version."""
    test = card.metrics["test"]
    figures = ", ".join(f"{figure_name(key)} {shown(test[key])}" for key in _SHORT if key in test)
    use = card.intended_use.split(". ")[0]
    return (
        f"{use}. Initial weights: {card.initial_weights.source}. Test: {figures or 'no figures'}."
    )
