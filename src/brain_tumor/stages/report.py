"""Stage report: what is known of the model, as a page for readers and a card for machines."""

from pathlib import Path

from brain_tumor import params as params_file
from brain_tumor.atomic import write_text
from brain_tumor.dataset.fetch.data_dvc import origin, read_meta
from brain_tumor.dataset.splitting.params import SplitParams
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.imaging.preprocess_params import PreprocessParams
from brain_tumor.model.best import Best
from brain_tumor.model.metrics import EvaluateParams
from brain_tumor.model.train_params import TrainSection
from brain_tumor.progress import working
from brain_tumor.report.card import (
    CARD_FILE,
    CARD_TEXT,
    REGISTERED_REPORT_FILE,
    REPORT_FILE,
    markdown,
    write_card,
)
from brain_tumor.report.document import document
from brain_tumor.report.inputs import SUMMARY, Settings, Sources, read
from brain_tumor.report.model_sections import thumbnails
from brain_tumor.report.prose import make_card
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
        settings = Settings(
            split=params_file.load(params, "split", SplitParams),
            preprocess=params_file.load(params, "preprocess", PreprocessParams),
            augment=params_file.load(params, "augment", AugmentParams),
            train=params_file.load(params, "train", TrainSection).resolve(Best.read(best).params),
            evaluate=params_file.load(params, "evaluate", EvaluateParams),
        )
        sources = Sources(
            manifest, validation, preprocessing, weights, best, calibration, model_json, run,
            predictions, metrics, export, history, trials, images, evidence,
        )  # fmt: skip
        inputs = {**vars(sources), "evidence": evidence / SUMMARY, "split": split, "params": params}
        for shown in ("history", "trials", "images"):  # follow from the others
            del inputs[shown]
        with working("gathering what the stages found"):
            found = read(sources, settings, origin(read_meta(Path("data"))), trace(inputs))
            card = make_card(found, NAME)
        with working(f"writing {report / REPORT_FILE} and the model's card"):
            write_card(report / CARD_FILE, card)
            write_text(report / CARD_TEXT, markdown(card))
            pictures = thumbnails(images, [failure.path for failure in card.failures])
            write_text(report / REPORT_FILE, document(found, card, pictures))
            write_text(report / REGISTERED_REPORT_FILE, document(found, card, None))


if __name__ == "__main__":
    run(main)
