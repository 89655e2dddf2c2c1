"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DataFolder = Annotated[Path, typer.Option("--data", help="The data folder.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The parameters to read.")]
DATA, PARAMS = Path("data"), Path("params.yaml")
