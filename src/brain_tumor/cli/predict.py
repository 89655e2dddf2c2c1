"""brain-tumor predict: files to findings, as a table, JSON or CSV."""

import csv
import hashlib
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from brain_tumor.cli.options import Engine, EngineChoice, Model, model_folder
from brain_tumor.command import reporting_errors
from brain_tumor.errors import UserError
from brain_tumor.escaping import as_json, printable, table_cell, terminal
from brain_tumor.files import fitting

if TYPE_CHECKING:
    from brain_tumor.inference.classifier import SliceResult
    from brain_tumor.inference.files import FileResult

COLUMNS = (
    "file", "slice", "label", "probability", "threshold", "calibrated", "out_of_distribution",
    "ood_score", "plane", "aligned", "alignment", "warnings", "engine", "model", "heatmap", "error",
)  # fmt: skip
Rows = Iterable[dict[str, Any]]


def print_json(rows: Rows) -> int:
    """A list of objects, absent values null, each as it comes; the number of files that failed."""
    failed, before = 0, "[\n"
    for row in rows:
        text = as_json(_whole(row, None))
        print(before, "  ", text.replace("\n", "\n  "), sep="", end="", flush=True)
        failed, before = failed + bool(row["error"]), ",\n"
    print("\n]")
    return failed


def print_csv(rows: Rows) -> int:
    """A header and a line per row, absent values empty, each as it comes; as `print_json`."""
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    failed = 0
    for row in rows:
        writer.writerow(
            {
                name: table_cell(value) if isinstance(value, str) else value
                for name, value in _whole(row, "").items()
            }
        )
        sys.stdout.flush()
        failed += bool(row["error"])
    return failed


def print_table(rows: Rows) -> int:
    """A table, and below it the model and what its answers are not for; as `print_json`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("file", "slice", "plane", "tumour"):
        table.add_column(name, overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("remarks", overflow="fold")
    failed, model = 0, ""
    for row in rows:
        table.add_row(*(Text(terminal(cell)) for cell in _cells(row)))
        failed += bool(row["error"])
        if "model" in row:
            model = f"{row['model']}, engine {row['engine']}, threshold {row['threshold']:g}. "
    console = Console()
    console.print(table)
    if model:
        note = f"{terminal(model)}Research only, not for diagnosis."
        console.print(f"\n{note}", highlight=False, markup=False)
    return failed


def _cells(row: dict[str, Any]) -> list[str]:
    if "label" not in row:
        return [row["file"], "", "", "", "", f"error: {row['error']}"]
    remarks = "; ".join(filter(None, (row["warnings"], row["error"])))
    label = f"{row['label']}?" if row["out_of_distribution"] else row["label"]
    plane = row["plane"] if row["aligned"] or not row["plane"] else f"{row['plane']}?"
    return [row["file"], row["slice"], plane, label, f"{row['probability']:.3f}", remarks]


def _whole(row: dict[str, Any], absent: object) -> dict[str, Any]:
    return {name: row.get(name, absent) for name in COLUMNS}


def _real(path: Path) -> Path:
    """Where a path leads; unlike `Path.resolve` it takes links that lead in a circle."""
    return Path(os.path.realpath(path))


def heatmap_names(files: Sequence[Path]) -> dict[Path, str]:
    """What the heat maps of files are called; files of one name in two folders are told apart."""
    times = Counter(file.name for file in files)
    digests = {file: hashlib.sha256(os.fsencode(_real(file.parent))).hexdigest() for file in files}
    return {
        file: file.name if times[file.name] == 1 else f"{file.name}-{digest[:8]}"
        for file, digest in digests.items()
    }


def heatmap_path(folder: Path, name: str, part: str) -> Path:
    """Where the heat map of a slice goes; `part` names the slice and may be empty."""
    words = re.sub(r"[^A-Za-z0-9+-]+", "-", part)
    return folder / fitting(name, f"-{words}.png" if words else ".png")


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
    json_rows: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv_rows: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    slices: Annotated[
        int,
        typer.Option("--slices", min=1, help="Read at most this many middle slices of a volume."),
    ] = 3,
    engine: Engine = EngineChoice.fast,
) -> None:
    """Predict the probability of a tumour for each slice. Research only, not for diagnosis.

    A file that cannot be read gets a row with its error. The other files are done, and the exit
    code is 1. Slices unlike the training images are flagged: their probability means little.
    """
    from brain_tumor.inference.classifier import Classifier
    from brain_tumor.inference.files import examine_files, expand

    if json_rows and csv_rows:
        raise typer.BadParameter("give --json or --csv, not both")
    with reporting_errors():
        files = [
            file
            for file in expand(paths)  # without the pictures of an earlier run
            if not (heatmap and _real(file).is_relative_to(_real(heatmap)))
        ]
        if not files:
            raise UserError(f"{', '.join(paths)}: no files that may be images")
        folder = model_folder(model)
        classifier = Classifier.load(folder.bundle, engine.value, folder.name)
        rows = _rows(examine_files(classifier, files, slices), heatmap, files)
        write = print_json if json_rows else print_csv if csv_rows else print_table
        failed = write(rows)
    if failed:
        print(f"error: {failed} of {len(files)} files failed", file=sys.stderr)
        raise typer.Exit(1)


def _rows(
    results: Iterable["FileResult"], heatmaps: Path | None, files: Sequence[Path]
) -> Iterator[dict[str, Any]]:
    """A row per slice or failed file; pictures are written as they come."""
    names = heatmap_names(files)
    for result in results:
        if result.error:
            yield {"file": printable(result.path), "error": result.error}
        for finding in result.slices:
            row = {"file": printable(result.path)} | finding.prediction.row() | {"error": ""}
            if heatmaps:
                path = heatmap_path(heatmaps, names[result.path], finding.prediction.slice)
                row |= _draw(finding, path, result.path)
            yield row


def _draw(finding: "SliceResult", path: Path, file: Path) -> dict[str, str]:
    """Where the picture is, or why it is not."""
    from brain_tumor.files import replacing
    from brain_tumor.inference.heatmap import heatmap_sheet_png

    try:
        with replacing(path) as aside:
            aside.write_bytes(heatmap_sheet_png(finding, terminal(printable(file.name))))
    except OSError as error:
        return {"error": f"heat map not written: {error}"}
    return {"heatmap": printable(path)}
