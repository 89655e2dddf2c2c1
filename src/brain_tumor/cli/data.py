"""`brain-tumor data ...`: the data folder."""

from typing import Annotated

import typer

from brain_tumor.cli.options import DATA, PARAMS, DataFolder, ParamsFile, sections
from brain_tumor.stages.paths import reporting_errors

app = typer.Typer(help="Fill the data folder and put it under DVC.", no_args_is_help=True)


@app.command("fetch")
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
        phantom, names = sections(params)
        counts = fetch(source, data, phantom, names, force=force, dvc_add=dvc_add)
    found = ", ".join(f"{count} {name}" for name, count in counts.items())
    after = f"; next: git add {data}.dvc && git commit" if dvc_add else ""
    typer.echo(f"{data}: {found}{after}")


@app.command("ensure")
def data_ensure(data: DataFolder = DATA, params: ParamsFile = PARAMS) -> None:
    """Bring the data folder back if it is missing.

    Makes the phantom where the .dvc file says so or does not exist, else runs `dvc pull`.
    """
    from brain_tumor.dataset.fetch.fetch import ensure

    with reporting_errors():
        typer.echo(ensure(data, *sections(params)))
