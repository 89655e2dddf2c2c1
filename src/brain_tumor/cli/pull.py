"""`brain-tumor pull`: a registered model to a folder."""

from pathlib import Path
from typing import Annotated

import typer

from brain_tumor.cli.options import Model, chosen
from brain_tumor.stages.paths import reporting_errors


def pull(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder to copy to; it is made when it is missing."),
    ],
    model: Model = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that is in the folder already.")
    ] = False,
) -> None:
    """Copy a registered model to a folder that works offline, without a store.

    The folder also holds its card (MODEL_CARD.md), the confusion matrices (evaluation/), the list
    of its training images and the packages it needs (requirements.txt). `brain-tumor predict`,
    `serve` and `mlflow.pyfunc.load_model` take the folder as a model.
    """
    from brain_tumor.tracking.download import pull as pull_model

    with reporting_errors():
        pulled = pull_model(chosen(model), folder, force=force)
    typer.echo(f"{folder}: {pulled.name}; its card: {folder / 'MODEL_CARD.md'}")
