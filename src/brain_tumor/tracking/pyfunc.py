"""Write a model that takes raw image bytes to the store."""

import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import copyfile, copytree
from typing import Any

from brain_tumor.tracking import signature
from brain_tumor.tracking.runs import Run

LOGGED_MODEL_NAME = "classifier"  # as the UI lists it under its run
_COLUMNS = {
    "input": "long",
    "slice": "string",
    "probability": "double",
    "label": "string",
    "threshold": "double",
    "calibrated": "boolean",
    "out_of_distribution": "boolean",
    "ood_score": "double",
    "plane": "string",
    "aligned": "boolean",
    "alignment": "double",
    "warnings": "string",
    "engine": "string",
    "model": "string",
}


def log_model(
    run: Run,
    code_file: Path,
    package: Path,
    bundle: Path,
    extras: Mapping[str, Path],
    requirements: Sequence[str],
    metrics: Mapping[str, float],
    changing: tuple[str, ...],
) -> str:
    """Write a model to the store under its run; it becomes READY when every file is there.

    It takes raw image bytes and carries the parameters of its run, and the package it imports.

    Args:
        run: the run it came from.
        code_file: models-from-code file; a data frame with a column `image` in, the columns of
            `_COLUMNS` out.
        package: folder of the package.
        bundle: folder of files it loads, as its artifact `bundle`.
        extras: files and folders for people, put at the top of the model by name.
        requirements: pinned packages.
        metrics: its figures.
        changing: files that are written anew later, and so are not signed (see `signature`).

    Returns:
        MLflow's id of the logged model.
    """
    import mlflow
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client, source = run.client, run.client.get_run(run.run_id)
    logged = client.create_logged_model(
        source.info.experiment_id,
        LOGGED_MODEL_NAME,
        source_run_id=run.run_id,
        params=source.data.params,
    )
    try:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            description = Model(
                artifact_path=logged.artifact_location,
                run_id=run.run_id,
                model_uuid=logged.model_id,
                model_id=logged.model_id,
            )
            with warnings.catch_warnings():
                # An example would be stored as JSON, which raw image bytes do not survive.
                warnings.filterwarnings("ignore", ".*An input example was not", UserWarning)
                mlflow.pyfunc.save_model(
                    folder,
                    python_model=str(code_file),
                    code_paths=[str(package)],
                    artifacts={"bundle": str(bundle)},
                    signature=_signature(),
                    pip_requirements=list(requirements),
                    mlflow_model=description,
                )
            for name, extra in extras.items():
                (copytree if extra.is_dir() else copyfile)(extra, folder / name)
            signature.sign(folder, changing)
            client.log_model_artifacts(logged.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    run.log_epoch(0, metrics, model_id=str(logged.model_id))
    return str(logged.model_id)


def _signature() -> Any:
    """What MLflow checks callers by, and shows on the model's page."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    inputs = [ColSpec(DataType.binary, "image")]
    outputs = [ColSpec(DataType[kind], name) for name, kind in _COLUMNS.items()]
    params = [
        ParamSpec("engine", DataType.string, "keras"),
        ParamSpec("slices", DataType.long, 3),
    ]
    return ModelSignature(Schema([*inputs]), Schema([*outputs]), ParamSchema(params))
