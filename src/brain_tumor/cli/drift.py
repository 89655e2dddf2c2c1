"""`brain-tumor data drift`: new images compared with the champion's."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from brain_tumor.cli.options import DATA, PARAMS, DataFolder, ParamsFile
from brain_tumor.stages.paths import reporting_errors


def data_drift(
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Model to compare with: models:/NAME@ALIAS or models:/NAME/NUMBER. The default is "
            "the @champion of register.name.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all results to this file.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the compared distributions to this PNG file."),
    ] = None,
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
) -> None:
    """Warn where images that are new since the champion are unlike the images it was made from.

    Compares size, compression, grey levels, detail, head, plane, balance of the classes, distance
    to the training images in the network's features, and how often the model is right. Works on
    the data folder as it is, before and after `dvc repro`. Warnings go to standard error and do
    not change the exit code.
    """
    from brain_tumor import settings
    from brain_tumor.atomic import write_json
    from brain_tumor.drift.check import check_drift
    from brain_tumor.drift.figure import save_figure

    with reporting_errors():
        asked = settings.read(params)
        uri = model or f"models:/{asked.register.name}@champion"
        drift = check_drift(uri, data, asked.validate, asked.drift)
        if json_file:
            write_json(json_file, drift.as_dict())
        if figure and drift.measures:
            save_figure(figure, drift)
    for line in drift.warnings():
        print(f"warning: {line}", file=sys.stderr)
    counted = f"{drift.images.new} new images in {drift.clusters.new} groups"
    told = drift.note or f"{len(drift.warned)} of {len(drift.measures)} measures warn."
    typer.echo(f"{drift.champion or uri}: {counted}. {told}")
