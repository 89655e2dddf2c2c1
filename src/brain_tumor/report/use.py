"""The section on what a model is for, and what not."""

from brain_tumor.report.card import ModelCard
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Heading, Listing, Note, Section, Table

_AIMS = (
    "Two things are asked: how well a network that starts from InceptionV3's weights tells slices "
    "with a tumour from slices without, where no copy of an image and no known patient lies on "
    "both sides of the split; and how far its probabilities can be taken at their word. The model "
    "is developed as well as evaluated, after Kim and Ye (2019)."
)
_THEIRS = (
    "On these images they reported an accuracy of 90 % on 40 of the 253 (95 % interval 77 to 96 %)."
)
_USERS = (
    "Users are researchers and engineers who compare methods on such collections. They need no "
    "skill but to bring single slices of adult heads, and must know that an answer is a "
    "probability among images like those of the training. Slices unlike those are flagged; their "
    "probability means little."
)
_NEXT = (
    "Next would be images of known patients from several hospitals, with consecutive cases, a "
    "reference standard from histology or follow-up, and readers to compare with."
)


def use(found: Findings, card: ModelCard) -> Section:
    """What the model is for, what not, and what limits it."""
    output = [[f"`{key}`", text] for key, text in card.output.items()]
    return Section(
        "Intended use and limits",
        [
            Note(card.intended_use),
            f"{_AIMS} {_THEIRS}" if found.is_ours else _AIMS,
            _USERS,
            Heading("Not for"),
            Listing(card.not_for),
            Heading("Limits"),
            Listing(card.limits),
            _NEXT,
            Table(("Output", "Meaning"), output, f"What the model gives. It takes: {card.input}"),
        ],
    )
