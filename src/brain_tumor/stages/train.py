"""Stage train: fit InceptionV3 on the training split, stop by the validation split."""

from pathlib import Path

import numpy as np
import pandas as pd
import typer

from brain_tumor import params as params_file
from brain_tumor.atomic import replacing, write_json
from brain_tumor.imaging.records import load_images
from brain_tumor.model import figures, saved
from brain_tumor.model.fit import Epoch, Fitted, TrainingData, TrainParams, fit
from brain_tumor.model.initial_weights import InitialWeights
from brain_tumor.progress import counting
from brain_tumor.stages.paths import In, Out, reporting_errors
from brain_tumor.tracking import lineage
from brain_tumor.tracking.runs import start_run


def main(
    split: In,
    images: In,
    augmented: In,
    records: In,
    weights: In,
    source: In,
    model: Out,
    history: Out,
    run: Out,
    figures_folder: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Train, log every epoch to MLflow while it runs, save the network."""
    with reporting_errors():
        section = params_file.load(params, "train", TrainParams)
        initial = InitialWeights.model_validate_json(source.read_text(encoding="utf-8"))
        initial.check_covers(section.head_block)
        data = read(split, images, augmented, records)
        inputs = {
            "split": split,
            "images": images,
            "augmented": augmented,
            "records": records,
            "weights": weights,
        }
        tags = lineage.lineage_tags(inputs) | initial.tags() | {"stage": "train"}
        name = f"{section.head}-mixed{section.head_block}-tune{section.fine_tune_blocks}"
        total = section.head_epochs + section.fine_tune_epochs * bool(section.fine_tune_blocks)
        with (
            start_run(name, lineage.flat_params(params), tags) as tracked,
            counting("training", total) as step,
        ):
            tracked.log_dataset("brain-mri", tags.get("data.md5", "unknown"), "training")

            def on_epoch(epoch: int, row: Epoch) -> None:
                tracked.log_epoch(epoch, {key: row[key] for key in row if key != "epoch"})
                step(_line(epoch, row))

            fitted = fit(weights, data, section, on_epoch)
            _write(fitted, section, initial, model, history, figures_folder)
            for figure in sorted(figures_folder.glob("*.png")):
                tracked.log_figure_file(figure)
            write_json(run, {"run_id": tracked.run_id})


def read(split: Path, images: Path, augmented: Path, records: Path) -> TrainingData:
    """Training images with their augmented copies, and validation images; never test images."""
    table, copies = pd.read_csv(split), pd.read_csv(records)
    train, val = (table[table["split"] == name] for name in ("train", "val"))
    stacked = [
        load_images(images, list(train["path"])),
        load_images(augmented, list(copies["path"])),
    ]
    labels = pd.concat([train["label"], copies["label"]])
    return TrainingData(
        np.concatenate([part for part in stacked if len(part)]),
        np.asarray(labels == "yes", dtype=np.float32),
        load_images(images, list(val["path"])),
        np.asarray(val["label"] == "yes", dtype=np.float32),
    )


def _line(epoch: int, row: Epoch) -> str:
    phase = "fine-tuning" if row["fine_tuning"] else "head"
    return f"epoch {epoch} ({phase}) loss {row['loss']:.3f}, val {row['val_loss']:.3f}"


def _write(
    fitted: Fitted,
    section: TrainParams,
    initial: InitialWeights,
    model: Path,
    history: Path,
    figures_folder: Path,
) -> None:
    rows = pd.DataFrame(fitted.history)
    with replacing(history) as aside:
        rows.to_csv(aside, index=False)
    for quantity in ("loss", "accuracy"):
        figures.save_curve(figures_folder / f"{quantity}.png", rows, quantity)
    meta = saved.ModelMeta(
        head=section.head,
        head_block=section.head_block,
        fine_tuned_blocks=fitted.fine_tuned_blocks,
        size_px=fitted.network.input_shape[1],
        threshold=section.threshold,
        initial_weights=initial.source,
        initial_weights_sha256=initial.sha256,
        parameters=fitted.network.count_params(),
        seed=section.seed,
    )
    saved.save(model.parent, fitted.network, meta)


if __name__ == "__main__":
    typer.run(main)
