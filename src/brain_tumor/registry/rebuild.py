"""The run a model came from: as training opened it, or built again from the stage outputs."""

import csv
from pathlib import Path

from brain_tumor.model.best import Best
from brain_tumor.model.saved import load_meta
from brain_tumor.model.train_params import filled
from brain_tumor.registry.outputs import StageOutputs, read_json
from brain_tumor.tracking import lineage
from brain_tumor.tracking.run import Run, summary
from brain_tumor.tracking.runs import resume_run, start_run

RESTORED_TAG = "restored"
_TRACED = (
    "manifest", "split", "atlas", "model", "predictions", "metrics", "profile", "export", "report",
)  # fmt: skip


def run_of(outputs: StageOutputs) -> Run:
    """The run that `outputs` names; one with the same content if the store does not know it."""
    return resume_run(str(read_json(outputs.run)["run_id"])) or rebuild_run(outputs)


def rebuild_run(outputs: StageOutputs) -> Run:
    """Make a run from the stage outputs: parameters, curves, figures and lineage.

    It is tagged `restored` and names the run of the training in `restored.from`.
    """
    meta = load_meta(outputs.model_json.parent)
    name = f"{meta.head}-mixed{meta.head_block}-tune{meta.fine_tuned_blocks}"
    tags = {
        **lineage_of(outputs),
        RESTORED_TAG: "true",
        "restored.from": str(read_json(outputs.run)["run_id"]),
        "stage": "train",
        "initial_weights": meta.initial_weights,
        "initial_weights.sha256": meta.initial_weights_sha256,
    }
    chosen = Best.read(outputs.best)
    logged = filled(lineage.flat_params(outputs.params), chosen.params)
    with start_run(name, logged, tags | chosen.tags()) as run:
        if "data.md5" in tags:
            run.log_dataset("brain-mri", tags["data.md5"], "training")
        for epoch, metrics in _curves(outputs.history):
            run.log_epoch(epoch, metrics)
        run.log_metrics(summary(read_json(outputs.metrics)))
        for figure in sorted([*outputs.history.parent.rglob("*.png"), *_pngs(outputs.evaluation)]):
            run.log_figure_file(figure)
        for file in sorted([*outputs.evaluation.glob("*.json"), *outputs.evaluation.glob("*.md")]):
            run.log_file(file, "evaluation")
    return run


def lineage_of(outputs: StageOutputs) -> dict[str, str]:
    """Lineage tags of what a registered model is made from."""
    inputs = {name: getattr(outputs, name) for name in _TRACED} | {"params": outputs.params}
    return lineage.lineage_tags(inputs, outputs.params.parent)


def _pngs(folder: Path) -> list[Path]:
    return list(folder.glob("*.png"))


def _curves(history: Path) -> list[tuple[int, dict[str, float]]]:
    with history.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        (int(row["epoch"]), {key: float(row[key]) for key in row if key != "epoch" and row[key]})
        for row in rows
    ]
