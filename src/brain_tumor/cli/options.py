"""What several commands share: options, and sections of params.yaml."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brain_tumor.settings import PhantomParams

DataFolder = Annotated[Path, typer.Option("--data", help="The data folder.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters to read.")]
REGISTERED = "brain-tumor-inceptionv3"
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/NUMBER or a folder that `brain-tumor pull` made.",
        show_default=f"{REGISTERED}@champion; while there is none, its @challenger",
    ),
]
DATA, PARAMS = Path("data"), Path("params.yaml")


def chosen(model: str | None) -> str:
    """The model that was asked for, or the champion; while there is none, the challenger."""
    if model is not None:
        return model
    from brain_tumor.tracking import store
    from brain_tumor.tracking.models import champion_or_challenger

    return champion_or_challenger(store.connect(), REGISTERED)


def sections(path: Path) -> tuple["PhantomParams", tuple[str, str]]:
    """Read the phantom's params and the class folders, negative first."""
    from brain_tumor import settings

    asked = settings.read(path)
    names = (asked.validate.negative_folder, asked.validate.positive_folder)
    return asked.phantom, names
