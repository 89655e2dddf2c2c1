"""Stage register: the model becomes a version of the registered model, and maybe its champion."""

from dataclasses import asdict
from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.outputs import StageOutputs
from brain_tumor.progress import working
from brain_tumor.registry.register import register
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(
    data: In,
    manifest: In,
    split: In,
    model: In,
    model_json: In,
    run: In,
    history: In,
    best: In,
    atlas: In,
    predictions: In,
    metrics: In,
    evaluation: In,
    profile: In,
    export: In,
    report: In,
    registered: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Register the model, compare it with the champion and write what was decided and why."""
    with reporting_errors():
        outputs = StageOutputs(
            data, manifest, split, model, model_json, run, history, best, atlas, predictions,
            metrics, evaluation, profile, export, report, registered, params,
        )  # fmt: skip
        preprocess = settings.read(params).preprocess
        section = settings.read(params).register
        with working("storing the model in MLflow, comparing it with the champion"):
            result = register(outputs, preprocess, section)
        write_json(registered, asdict(result))
        print(f"{result.name} version {result.version} is @{result.alias}: ", end="")
        print(result.decision["reason"])


if __name__ == "__main__":
    run(main)
