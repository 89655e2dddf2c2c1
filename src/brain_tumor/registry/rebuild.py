"""The run a model came from: as training opened it, or built again from the stage outputs."""

import csv
from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import RESTORE, read_json
from brain_tumor.model.saved import load_meta
from brain_tumor.outputs import Best, StageOutputs
from brain_tumor.tracking import lineage, wording
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.runs import resume_run, start_run

RESTORED_TAG = "restored"
_TRACED = (
    "manifest", "split", "atlas", "model", "predictions", "metrics", "profile", "export", "report",
)  # fmt: skip


def run_of(outputs: StageOutputs) -> Run:
    """The run that `outputs` names; one with the same content if the store does not know it."""
    return resume_run(str(read_json(outputs.run, RESTORE)["run_id"])) or rebuild_run(outputs)


def rebuild_run(outputs: StageOutputs) -> Run:
    """Make a run from the stage outputs: parameters, curves, figures and lineage.

    It is tagged `restored` and names the run of the training in `restored.from`.
    """
    meta = load_meta(outputs.model_json.parent)
    traced = lineage_of(outputs) | {"initial_weights.sha256": meta.initial_weights_sha256}
    tags = {
        RESTORED_TAG: "true",
        "restored.from": str(read_json(outputs.run, RESTORE)["run_id"]),
        "stage": "train",
        "initial_weights": meta.initial_weights,
    }
    chosen = Best.read(outputs.best)
    train = settings.read(outputs.params).train.resolve(chosen.params)
    phantom = lineage.is_phantom(outputs.data.parent)
    logged = wording.acted_params(outputs.params, train.model_dump(), phantom=phantom)
    metrics = read_json(outputs.metrics, RESTORE)
    with start_run(wording.training_name(train.model_dump()), logged, tags | chosen.tags()) as run:
        run.log_lineage(traced)
        if "data.md5" in traced:
            run.log_dataset("brain-mri", traced["data.md5"], "training")
        for epoch, points in _curves(outputs.history):
            run.log_epoch(epoch, wording.curves(points))
        for figure in sorted(outputs.figures.glob("*.png")):
            run.log_figure_file(figure)
        run.log_evaluation(metrics, outputs.evaluation)
    return run


def lineage_of(outputs: StageOutputs) -> dict[str, str]:
    """What a registered model is made from (see `lineage.trace`)."""
    inputs = {name: getattr(outputs, name) for name in _TRACED} | {"params": outputs.params}
    return lineage.trace(inputs, outputs.params.parent)


def _curves(history: Path) -> list[tuple[int, dict[str, float]]]:
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        (
            int(row["epoch"]),
            {key: float(row[key]) for key in row if key != "epoch" and row[key]},
        )
        for row in rows
    ]
