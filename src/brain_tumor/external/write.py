"""An external evaluation to files."""

from pathlib import Path
from typing import Final

from brain_tumor.atomic import write_json, write_text
from brain_tumor.external.evaluation import Evaluation

PREDICTIONS, LEFT_OUT, METRICS, REPORT = FILES = (
    "predictions.csv", "left_out.csv", "metrics.json", "report.html",
)  # fmt: skip
__all__: Final = ["FILES", "check_folder", "write_all"]


def check_folder(folder: Path) -> None:
    """Raise ValueError, before any work, if nothing can be written to this folder."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: is a file; give a folder with --out")


def write_all(folder: Path, evaluation: Evaluation) -> None:
    """Write `FILES` into a folder, made when missing; each whole or not at all."""
    from brain_tumor.external.report import report

    page = report(evaluation)
    for name, table in (
        (PREDICTIONS, evaluation.table),
        (LEFT_OUT, evaluation.predictions.left_out),
    ):
        write_text(folder / name, table.to_csv(index=False, lineterminator="\n"))
    write_json(folder / METRICS, evaluation.as_dict())
    write_text(folder / REPORT, page)
