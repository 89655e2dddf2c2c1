"""`brain-tumor predict`: a registered model on files."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brain_tumor.cli.options import Model, chosen
from brain_tumor.cli.predict_output import shown
from brain_tumor.stages.paths import reporting_errors

if TYPE_CHECKING:
    from brain_tumor.inference.files import FileResult
    from brain_tumor.inference.finding import Finding


class Engine(StrEnum):
    """What runs the network."""

    fast = "fast"
    keras = "keras"


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Files (JPEG, PNG, BMP, TIFF, DICOM, NIfTI), folders, or patterns in quotes.",
        ),
    ],
    model: Model = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(
            "--heatmap",
            metavar="DIR",
            help="Write a picture with the heat map of each slice to this folder.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    slices: Annotated[
        int,
        typer.Option("--slices", min=1, help="Read at most this many middle slices of a volume."),
    ] = 3,
    engine: Annotated[
        Engine,
        typer.Option(
            "--engine",
            help="fast: the network exported for inference. keras: the network as it was trained; "
            "it is the reference and starts slower.",
        ),
    ] = Engine.fast,
) -> None:
    """Predict the probability of a tumour for each slice. Research only, not for diagnosis.

    A file that cannot be read gets a row with its error. The other files are done, and the exit
    code is 1. Slices unlike the training images are flagged: their probability means little.
    """
    from brain_tumor.cli.predict_output import print_csv, print_json, print_table
    from brain_tumor.inference.classifier import Classifier
    from brain_tumor.inference.files import examine_files, expand
    from brain_tumor.tracking.download import find_model

    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    with reporting_errors():
        files = [file for file in expand(paths) if not _drawn(file, heatmap)]
        if not files:
            raise ValueError(f"{', '.join(paths)}: no files that may be images")
        found = find_model(chosen(model))
        classifier = Classifier.load(found.bundle, engine.value, found.name)
        rows = _rows(examine_files(classifier, files, slices), heatmap, files)
        write = print_json if as_json else print_csv if as_csv else print_table
        failed = write(rows)
    if failed:
        print(f"error: {failed} of {len(files)} files failed", file=sys.stderr)
        raise typer.Exit(1)


def _drawn(file: Path, heatmaps: Path | None) -> bool:
    """Whether a file is a picture of an earlier run into the same folder."""
    return heatmaps is not None and file.resolve().is_relative_to(heatmaps.resolve())


def _rows(
    results: Iterable["FileResult"], heatmaps: Path | None, files: Sequence[Path]
) -> Iterator[dict[str, Any]]:
    """A row per slice or failed file; pictures are written as they come."""
    from brain_tumor.cli.predict_output import heatmap_names, heatmap_path

    names = heatmap_names(files)
    for result in results:
        if result.error:
            yield {"file": shown(result.path), "error": result.error}
        for finding in result.findings:
            row = {"file": shown(result.path)} | finding.prediction.row() | {"error": ""}
            if heatmaps:
                path = heatmap_path(heatmaps, names[result.path], finding.prediction.slice)
                row |= _draw(finding, path, result.path)
            yield row


def _draw(finding: "Finding", path: Path, file: Path) -> dict[str, str]:
    """Where the picture is, or why it is not."""
    from brain_tumor.atomic import replacing
    from brain_tumor.inference.heatmap import heatmap_sheet_png

    try:
        with replacing(path) as aside:
            aside.write_bytes(heatmap_sheet_png(finding, shown(Path(file.name))))
    except OSError as error:
        return {"error": f"heat map not written: {error}"}
    return {"heatmap": shown(path)}
