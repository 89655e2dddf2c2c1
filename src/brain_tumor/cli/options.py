"""What several commands share: options, and sections of params.yaml."""

import os
import re
import subprocess
import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from brain_tumor.settings import PhantomParams
    from brain_tumor.tracking.models import ModelFolder

DataFolder = Annotated[Path, typer.Option("--data", help="The data folder.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters to read.")]
SHIPPED = "brain-tumor-inceptionv3"  # `register.name`, as params.yaml comes
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="models:/NAME@ALIAS, models:/NAME/NUMBER or a folder that `brain-tumor pull` made.",
        show_default=f"register.name of this repository's params.yaml, elsewhere {SHIPPED}: its "
        "@champion; while there is none, its @challenger",
    ),
]


class EngineChoice(StrEnum):
    """What runs the network; a command line needs an enumeration."""

    fast = "fast"
    keras = "keras"


Engine = Annotated[
    EngineChoice,
    typer.Option(
        "--engine",
        help="fast: the network exported for inference. keras: the network as it was trained; it "
        "is the reference and starts slower.",
    ),
]
DATA, PARAMS = Path("data"), Path("params.yaml")


_EARLIER = "atlas.npz"  # in the bundle of a model whose alignment this code no longer has
_OWN_CODE = "BRAIN_TUMOR_OWN_CODE"  # set where a model's own code runs


def model_folder(model: str | None) -> "ModelFolder":
    """The folder of the model that was asked for, or of the champion.

    A model registered by an earlier version brings the code it was made with. This command line
    then runs there, and the process ends with its exit code.

    Raises:
        UserError: there is no such model.
        typer.Exit: the model's own code has done the work.
    """
    from brain_tumor.errors import UserError
    from brain_tumor.tracking.models import find_model

    folder = find_model(chosen(model))
    if (folder.bundle / _EARLIER).is_file() and _OWN_CODE not in os.environ:
        if find_spec("SimpleITK") is None:
            raise UserError(
                f"{folder.name}: of an earlier version, which aligned pictures by SimpleITK: "
                "pip install simpleitk"
            )
        print(f"{folder.name}: of an earlier version; its own code runs", file=sys.stderr)
        start = (
            "import sys; sys.argv[0] = 'brain-tumor'; from brain_tumor.cli.app import app; app()"
        )
        paths = [str(folder.root.resolve() / "code"), os.environ.get("PYTHONPATH", "")]
        own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), _OWN_CODE: "1"}
        command = [sys.executable, "-P", "-c", start, *sys.argv[1:]]
        raise typer.Exit(subprocess.run(command, env=os.environ | own).returncode)
    return folder


def chosen(model: str | None) -> str:
    """The model that was asked for, or the champion; while there is none, the challenger."""
    if model is not None:
        return model
    from brain_tumor.tracking import connection
    from brain_tumor.tracking.models import champion_or_challenger

    return champion_or_challenger(connection.connect(), registered_name())


def registered_name() -> str:
    """Name of the registered model that commands use by default.

    It is `register.name` in params.yaml of the repository around the current folder. Where there
    is no such section (another project may have a params.yaml too) it is the shipped name.

    Raises:
        UserError: the section does not fit.
    """
    from brain_tumor.machine import repository_root
    from brain_tumor.settings import RegisterParams, load

    path = repository_root() / PARAMS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not re.search(r"^register:", text, re.MULTILINE):
        return SHIPPED
    return load(path, "register", RegisterParams).name


def sections(path: Path) -> tuple["PhantomParams", tuple[str, str]]:
    """Read the phantom's params and the class folders, negative first."""
    from brain_tumor import settings

    params = settings.read(path)
    return params.phantom, (params.validate.negative_folder, params.validate.positive_folder)
