"""Stage train: fit InceptionV3 on the training split, watch it on the validation split."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor import params as params_file
from brain_tumor.atomic import replacing, write_json
from brain_tumor.dataset.fetch.data_dvc import read_meta
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model import figures, saved
from brain_tumor.model.best import Best
from brain_tumor.model.development import TrainingData, read_development
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.fit import Fitted, Start, penalty_path
from brain_tumor.model.initial_weights import InitialWeights
from brain_tumor.model.phase import Epoch
from brain_tumor.model.precision import resolve
from brain_tumor.model.recipe import fit_network
from brain_tumor.model.train_params import TrainParams, TrainSection
from brain_tumor.progress import counting
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking import lineage, wording
from brain_tumor.tracking.runs import start_run

SAME = 1e-4  # in probability: float32 in another order of operations stays well below


def main(
    split: In,
    images: In,
    augmented: In,
    records: In,
    weights: In,
    source: In,
    best: In,
    model: Out,
    network_json: Out,
    history: Out,
    run: Out,
    figures_folder: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Train with the tuned values, log every epoch to MLflow while it runs, save the network."""
    with reporting_errors():
        chosen = Best.read(best)
        section = params_file.load(params, "train", TrainSection).resolve(chosen.params)
        initial = InitialWeights.model_validate_json(source.read_text(encoding="utf-8"))
        initial.check_covers(section.head_block)
        # The copies of validation images take no part, but so the features are those of the study.
        augment = params_file.load(params, "augment", AugmentParams)
        read = read_development(split, images, augmented, records).with_copies_of_val(augment)
        data = read.holdout()
        inputs = {
            "split": split,
            "images": images,
            "augmented": augmented,
            "records": records,
            "weights": weights,
            "best": best,
            "params": params,
        }
        start = Start(weights, default_cache())
        traced = lineage.trace(inputs) | {"initial_weights.sha256": initial.sha256}
        tags = initial.tags() | chosen.tags()
        tags |= {"stage": "train", "precision": resolve(section.precision)}
        phantom = read_meta(Path("data")).get("source") == "phantom"
        logged = wording.acted_params(params, section.model_dump(), phantom=phantom)
        with (
            start_run(wording.training_name(section.model_dump()), logged, tags) as tracked,
            counting("training", _epochs(section)) as step,
        ):
            tracked.log_lineage(traced)
            tracked.log_dataset("brain-mri", traced.get("data.md5", "unknown"), "training")

            def on_epoch(epoch: int, row: Epoch) -> None:
                tracked.log_epoch(epoch, wording.curves(row))
                step(_line(epoch, row))

            network, fitted = fit_network(start, data, section, on_epoch)
            _check_same(network, fitted, data)
            with replacing(history) as aside:
                pd.DataFrame(fitted.history).to_csv(aside, index=False)
            figures_folder.mkdir(parents=True, exist_ok=True)
            if section.trains_epochs:
                _draw_curves(fitted, figures_folder)
            else:
                path = penalty_path(start, data, section)
                figures.save(figures_folder / "penalty.png", figures.draw_penalty_path(path))
            saved.save_network(model, network)
            write_json(network_json, _meta(network, fitted, section, initial).model_dump())
            for figure in sorted(figures_folder.glob("*.png")):
                tracked.log_figure_file(figure)
            write_json(run, {"run_id": tracked.run_id})


def _check_same(network: Any, fitted: Fitted, data: TrainingData) -> None:
    """The whole network must say of validation images what its parts said in training."""
    whole = saved.predict_proba(network, data.images[data.val])
    gap = float(np.abs(whole - fitted.val_probability).max())
    if gap > SAME:
        raise RuntimeError(
            f"the whole network and the stored features differ by {gap:.2g} in probability; "
            "delete .cache/features and run again, and report it if it stays"
        )


def _epochs(section: TrainParams) -> int:
    head = 1 if section.head_penalty is not None else section.head_epochs
    return head + section.fine_tune_epochs * section.fine_tunes


def _line(epoch: int, row: Epoch) -> str:
    phase = "fine-tuning" if row["fine_tuning"] else "head"
    return f"epoch {epoch} ({phase}): loss {row['loss']:.3f}, val {row['val_loss']:.3f}"


def _draw_curves(fitted: Fitted, figures_folder: Path) -> None:
    rows = pd.DataFrame(fitted.history)
    for quantity in ("loss", "accuracy"):
        figures.save(figures_folder / f"{quantity}.png", figures.draw_curve(rows, quantity))


def _meta(
    network: Any, fitted: Fitted, section: TrainParams, initial: InitialWeights
) -> saved.NetworkMeta:
    return saved.NetworkMeta(
        head=section.head,
        head_block=section.head_block,
        fine_tuned_blocks=section.fine_tune_blocks if fitted.tuned is not None else 0,
        size_px=network.input_shape[1],
        initial_weights=initial.source,
        initial_weights_sha256=initial.sha256,
        parameters=network.count_params(),
        seed=section.seed,
    )


if __name__ == "__main__":
    run(main)
