"""Stage report: what is known of the model, as a page for readers and a card for machines."""

from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_text
from brain_tumor.dataset.fetch.data_dvc import origin, read_meta
from brain_tumor.outputs import Best
from brain_tumor.progress import working
from brain_tumor.report.card import (
    CARD_FILE,
    CARD_TEXT,
    REGISTERED_REPORT_FILE,
    REPORT_FILE,
    write_card,
)
from brain_tumor.report.card_markdown import markdown
from brain_tumor.report.document import document
from brain_tumor.report.evidence import SUMMARY
from brain_tumor.report.findings import read
from brain_tumor.report.gather import make_card
from brain_tumor.report.sources import Settings, Sources
from brain_tumor.report.thumbnails import thumbnails
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking.lineage import trace

NAME = "InceptionV3 classifier of brain MRI slices"


def main(
    manifest: In,
    split: In,
    validation: In,
    preprocessing: In,
    weights: In,
    best: In,
    calibration: In,
    model_json: In,
    run: In,
    predictions: In,
    metrics: In,
    export: In,
    history: In,
    trials: In,
    images: In,
    evidence: In,
    report: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Gather what the stages left, and the committed evidence, and write REPORT."""
    with reporting_errors():
        asked = settings.read(params)
        shown = Settings(
            split=asked.split,
            preprocess=asked.preprocess,
            augment=asked.augment,
            train=asked.train.resolve(Best.read(best).params),
            evaluate=asked.evaluate,
        )
        sources = Sources(
            manifest, validation, preprocessing, weights, best, calibration, model_json, run,
            predictions, metrics, export, history, trials, images, evidence,
        )  # fmt: skip
        inputs = {**vars(sources), "evidence": evidence / SUMMARY, "split": split, "params": params}
        for follows in ("history", "trials", "images"):  # from the others
            del inputs[follows]
        with working("gathering what the stages found"):
            found = read(sources, shown, origin(read_meta(Path("data"))), trace(inputs))
            card = make_card(found, NAME)
        with working(f"writing {report / REPORT_FILE} and the model's card"):
            write_card(report / CARD_FILE, card)
            write_text(report / CARD_TEXT, markdown(card))
            pictures = thumbnails(images, [failure.path for failure in card.failures])
            write_text(report / REPORT_FILE, document(found, card, pictures))
            write_text(report / REGISTERED_REPORT_FILE, document(found, card, None))


if __name__ == "__main__":
    run(main)
