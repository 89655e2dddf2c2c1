"""Stage report: what is known of the model, as a page for readers and a card for machines."""

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.dvc import origin, read_meta
from brain_tumor.files import write_text
from brain_tumor.machine import working
from brain_tumor.report.card import (
    CARD_FILE,
    CARD_TEXT,
    REGISTERED_REPORT_FILE,
    REPORT_FILE,
    markdown,
    write_card,
)
from brain_tumor.report.document import document
from brain_tumor.report.inputs import SUMMARY, Sections, read
from brain_tumor.report.model_sections import thumbnails
from brain_tumor.report.prose import make_card
from brain_tumor.tracking.lineage import trace

NAME = "InceptionV3 classifier of brain MRI slices"


def main() -> None:
    """Gather what the stages left, and the committed evidence, and write the report."""
    params = settings.read()
    train = params.train.resolve(outputs.Best.read().params)
    sections = Sections(params.split, params.preprocess, params.augment, train, params.evaluate)
    paths = outputs.ReportInputs()
    traced = {**vars(paths), "split": outputs.SPLIT, "params": settings.PARAMS}
    traced["evidence"] = outputs.EVIDENCE / SUMMARY
    for follows in ("history", "trials", "images"):  # from the others
        del traced[follows]
    with working("gathering what the stages found"):
        inputs = read(paths, sections, origin(read_meta(outputs.DATA)), trace(traced))
        card = make_card(inputs, NAME)
    with working(f"writing {outputs.REPORT / REPORT_FILE} and the model's card"):
        write_card(outputs.REPORT / CARD_FILE, card)
        write_text(outputs.REPORT / CARD_TEXT, markdown(card))
        pictures = thumbnails(outputs.IMAGES, [failure.path for failure in card.failures])
        write_text(outputs.REPORT / REPORT_FILE, document(inputs, card, pictures))
        write_text(outputs.REPORT / REGISTERED_REPORT_FILE, document(inputs, card, None))


if __name__ == "__main__":
    run(main)
