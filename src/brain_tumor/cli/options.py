"""What several commands share: options, and sections of params.yaml."""

import os
import re
import signal
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


_OWN_CODE = "BRAIN_TUMOR_OWN_CODE"  # set where a model's own code runs


def model_folder(model: str | None) -> "ModelFolder":
    """The folder of the model that was asked for, or of the champion.

    A model that was trained with another alignment brings the code it was made with. This command
    line then runs there, and the process ends with its exit code.

    Raises:
        UserError: there is no such model.
        typer.Exit: the model's own code has done the work.
    """
    from brain_tumor.inference.bundle import is_aligned_alike

    name = chosen(model)
    if name.startswith("models:/"):
        from brain_tumor.registry.versions import open_model

        folder = open_model(name)
    else:  # works without a store, and without mlflow
        from brain_tumor.tracking.models import find_model

        folder = find_model(name)
    if _OWN_CODE not in os.environ and not is_aligned_alike(folder.bundle):
        raise typer.Exit(_run_own_code(folder))
    return folder


_START = "import sys; sys.argv[0] = 'brain-tumor'; from brain_tumor.cli{} import app; app()"


def _run_own_code(folder: "ModelFolder") -> int:
    """Run this command line with the code of a model; the exit code.

    Raises:
        UserError: the model brings no code, or that needs SimpleITK, which is not installed.
    """
    from brain_tumor.errors import UserError
    from brain_tumor.tracking.models import OWN_CODE

    code = folder.root.resolve() / "code"
    modules = [".app", ""]  # where the commands are, and where they were until 2026-11-23
    places = [code / "brain_tumor" / "cli" / "app.py", code / "brain_tumor" / "cli.py"]
    start = next((_START.format(at) for at, path in zip(modules, places, strict=True)
                  if path.is_file()), None)  # fmt: skip
    if start is None:
        raise UserError(
            f"{folder.bundle}: holds no model that this version of brain-tumor can run, and brings "
            "no code of its own: run `dvc repro` to register it anew"
        )
    if (folder.bundle / _ATLAS).is_file() and find_spec("SimpleITK") is None:
        raise UserError(
            f"{folder.name}: of an earlier version, which aligned pictures by SimpleITK: "
            "pip install simpleitk"
        )
    print(f"{folder.name}: of another version; its own code runs", file=sys.stderr)
    paths = [str(code), os.environ.get("PYTHONPATH", "")]
    own = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), _OWN_CODE: "1", **OWN_CODE}
    command = [sys.executable, "-P", "-c", start, *sys.argv[1:]]
    with subprocess.Popen(command, env=os.environ | own) as process:
        # Ctrl-C reaches both, and it is the other that ends by it; SIGTERM is passed on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        ended = process.wait()
    return ended if ended >= 0 else 128 - ended


_ATLAS = "atlas.npz"  # in bundles of models whose code needs SimpleITK


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
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    if not re.search(r"^register:", text, re.MULTILINE):
        return SHIPPED
    return load(path, "register", RegisterParams).name


def sections(path: Path) -> tuple["PhantomParams", tuple[str, str]]:
    """Read the phantom's params and the class folders, negative first."""
    from brain_tumor import settings

    params = settings.read(path)
    return params.phantom, (params.validate.negative_folder, params.validate.positive_folder)
