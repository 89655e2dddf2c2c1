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
            help="The model to compare with, models:/NAME@ALIAS or models:/NAME/NUMBER; the "
            "@champion of register.name by default.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write all that was found here.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the distributions here (PNG), if any are compared."),
    ] = None,
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
) -> None:
    """Warn where images that are new since the champion are unlike those it was made from.

    Size, compression, grey levels, detail, head, plane, balance of the classes, distance to the
    training images as the network sees them, and how right it is. Works before and after
    `dvc repro`, on the data folder as it is. Warnings go to standard error and fail nothing.
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
