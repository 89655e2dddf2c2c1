"""`brain-tumor evaluate`: a registered model on labelled images from elsewhere."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brain_tumor.cli.options import Engine, EngineChoice, model_folder
from brain_tumor.command import reporting_errors, say
from brain_tumor.escaping import terminal, terminal_lines

if TYPE_CHECKING:
    from brain_tumor.monitoring.evaluate import Evaluation


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="models:/NAME@ALIAS, models:/NAME/NUMBER or a folder that `brain-tumor pull` "
            "made.",
            show_default=False,
        ),
    ],
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder with no/ (images without a tumour) and yes/ (images with one), of any "
            "kind `predict` takes. A patients.csv (path,patient) joins the slices of a patient.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Write report.html, metrics.json, predictions.csv and left_out.csv here. Without "
            "it no file is written.",
            show_default=False,
        ),
    ] = None,
    engine: Engine = EngineChoice.fast,
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            metavar="FILE",
            help="Add a line to this CSV file: date, digests of model and folder, counts, figures. "
            "The file is made when it is missing. Commit it, so that runs are counted.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Measure sensitivity and specificity of a model on labelled images from elsewhere.

    Copies of training images (the same bytes, or the same picture, mirrored too) are left out,
    with all slices related to them. Copies within FOLDER count as one. The table also shows what
    a guess from file metadata alone reaches. There is no figure over both classes together.
    Research only, not for diagnosis.

    **Example:** brain-tumor evaluate models:/brain-tumor-inceptionv3@champion scans/ --out external
    """
    from brain_tumor.monitoring.evaluate import evaluate_folder
    from brain_tumor.monitoring.evaluate_report import (
        append_line,
        check_folder,
        check_log,
        write_all,
    )

    with reporting_errors():
        if out:
            check_folder(out)
        if log:
            check_log(log)
        evaluation = evaluate_folder(model_folder(model), folder, engine.value)
        if log:  # before anything is shown or written, so that the log has every run
            append_line(log, evaluation)
        if out:
            write_all(out, evaluation)
        for note in evaluation.notes:
            print(f"note: {terminal(note)}", file=sys.stderr)
        _show(evaluation)
        if out:
            say(f"written: {out / 'report.html'}, and the tables beside it")
        if log:
            say(f"logged: {log}")


def _show(evaluation: "Evaluation") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in ("", *(figures.name for figures in evaluation.classes)):
        table.add_column(name)
    for name, field in (
        ("model", "right"),
        ("model, each cluster once", "right_clusters"),
        ("metadata alone", "baseline"),
        ("flagged as unlike", "unlike"),
    ):
        rates = [getattr(figures, field) for figures in evaluation.classes]
        table.add_row(name, *("none" if rate is None else str(rate) for rate in rates))
    counts = [evaluation.counts(figures.label) for figures in evaluation.classes]
    for name in ("slices", "clusters"):
        table.add_row(name, *(str(count[name]) for count in counts))
    left_out = [count["files"] - count["used_files"] for count in counts]
    table.add_row("files left out", *map(str, left_out))
    console = Console()
    head = f"{evaluation.model} on {evaluation.folder}, threshold {evaluation.threshold:g}\n"
    console.print(terminal_lines(head), highlight=False, markup=False)
    console.print(table)
    console.print("\nNo joint figure. Research only, not for diagnosis.", highlight=False)
