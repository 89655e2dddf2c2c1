"""`brain-tumor ...`: what DVC and MLflow do not already do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brain_tumor.stages.paths import reporting_errors

if TYPE_CHECKING:
    from brain_tumor.dataset.phantom.params import PhantomParams

app = typer.Typer(
    help="Brain MRI slices to a registered tumour classifier (research only, not for diagnosis).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
data_app = typer.Typer(help="Fill the data folder and put it under DVC.", no_args_is_help=True)
app.add_typer(data_app, name="data")
registry_app = typer.Typer(
    help="Keep the model registry and the outputs together.", no_args_is_help=True
)
app.add_typer(registry_app, name="registry")

DataFolder = Annotated[Path, typer.Option("--data", help="The data folder.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters to read.")]
DATA, PARAMS = Path("data"), Path("params.yaml")


@app.callback()
def main() -> None:
    """Brain MRI slices to a registered tumour classifier (research only, not for diagnosis)."""


@data_app.command("fetch")
def data_fetch(
    source: Annotated[
        str,
        typer.Argument(
            help="`phantom`: made from nothing but a seed. A directory or an archive (.zip, .tar, "
            ".tar.gz ...) with the class folders in it. `kaggle:OWNER/NAME`: needs "
            "pip install 'brain-tumor[kaggle]'."
        ),
    ] = "phantom",
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what is in the data folder.")
    ] = False,
    dvc_add: Annotated[
        bool,
        typer.Option(
            "--dvc-add/--no-dvc-add",
            help="Run `dvc add` and record the source in the .dvc file, or fill the folder only.",
        ),
    ] = True,
) -> None:
    """Fill the data folder with class folders of images.

    Masks (masks/) and patients.csv beside the class folders are taken along; of nested copies of
    the class folders the outermost is taken. Nothing in the data folder is replaced without
    --force, and nothing is left half filled.
    """
    from brain_tumor.dataset.fetch.fetch import fetch

    with reporting_errors():
        phantom, names = _sections(params)
        counts = fetch(source, data, phantom, names, force=force, dvc_add=dvc_add)
    found = ", ".join(f"{count} {name}" for name, count in counts.items())
    after = f"; next: git add {data}.dvc && git commit" if dvc_add else ""
    typer.echo(f"{data}: {found}{after}")


@data_app.command("ensure")
def data_ensure(data: DataFolder = DATA, params: ParamsFile = PARAMS) -> None:
    """Bring the data folder back if it is missing.

    Makes the phantom where the .dvc file says so or does not exist, else runs `dvc pull`.
    """
    from brain_tumor.dataset.fetch.fetch import ensure

    with reporting_errors():
        typer.echo(ensure(data, *_sections(params)))


def _sections(path: Path) -> tuple["PhantomParams", tuple[str, str]]:
    """Read the phantom's params and the class folders, negative first."""
    from brain_tumor.dataset.phantom.params import PhantomParams
    from brain_tumor.dataset.validation.params import ValidateParams
    from brain_tumor.params import load

    classes = load(path, "validate", ValidateParams)
    names = (classes.negative_folder, classes.positive_folder)
    return load(path, "phantom", PhantomParams), names


@registry_app.command("sync")
def registry_sync(params: ParamsFile = PARAMS) -> None:
    """Make the MLflow store hold the model of outputs/registered.json.

    DVC restores outputs without touching the store; where the store lacks the model, its run and
    version are built again from the stage outputs. Does nothing where all is in place.
    """
    from brain_tumor.imaging.preprocess_params import PreprocessParams
    from brain_tumor.params import load
    from brain_tumor.registry.outputs import StageOutputs
    from brain_tumor.registry.params import RegisterParams
    from brain_tumor.registry.register import sync

    with reporting_errors():
        preprocess = load(params, "preprocess", PreprocessParams)
        synced = sync(
            StageOutputs(params=params), preprocess, load(params, "register", RegisterParams)
        )
    aliases = ", ".join(f"@{alias}" for alias in synced.aliases) or "no alias"
    typer.echo(f"{synced.uri} ({aliases}): {'restored' if synced.restored else 'in place'}")


@app.command("tune-worker")
def tune_worker(params: ParamsFile = PARAMS) -> None:
    """Work on the study that `dvc repro` has open in stage tune, beside it.

    Start it in a checkout with the same outputs and parameters: on this machine, or on another
    with OPTUNA_STORAGE and MLFLOW_TRACKING_URI as in the process that started the study.
    Ends when the study has its trials.
    """
    from brain_tumor.imaging.augment import AugmentParams
    from brain_tumor.model.search.params import TuneParams
    from brain_tumor.model.train_params import TrainSection
    from brain_tumor.params import load
    from brain_tumor.tuning.plan import TuneInputs, read_plan
    from brain_tumor.tuning.study import join_study

    with reporting_errors():
        section = load(params, "train", TrainSection)
        tune, augment = load(params, "tune", TuneParams), load(params, "augment", AugmentParams)
        plan = read_plan(TuneInputs(params=params), section, tune, augment)
        ended = join_study(plan)
    typer.echo(f"{plan.name}: this worker ended {ended} trials")
