"""Predictions as a table for people, and as JSON and CSV for machines."""

import csv
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "file", "slice", "label", "probability", "threshold", "calibrated", "out_of_distribution",
    "ood_score", "warnings", "engine", "model", "heatmap", "error",
)  # fmt: skip
Rows = Iterable[dict[str, Any]]


def shown(path: Path) -> str:
    """A path that can be printed, whatever bytes its name is made of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def print_json(rows: Rows) -> int:
    """A list of objects, absent values null, each as it comes; the number of files that failed."""
    failed, before = 0, "[\n"
    for row in rows:
        text = json.dumps(_whole(row, None), indent=2, ensure_ascii=False)
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
        writer.writerow(_whole(row, ""))
        sys.stdout.flush()
        failed += bool(row["error"])
    return failed


def print_table(rows: Rows) -> int:
    """A table, and below it the model and what its answers are not for; as `print_json`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("file", "slice", "tumour"):
        table.add_column(name, overflow="fold")
    table.add_column("probability", justify="right")
    table.add_column("remarks", overflow="fold")
    failed, told = 0, ""
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
        failed += bool(row["error"])
        if "model" in row:
            told = f"{row['model']}, engine {row['engine']}, threshold {row['threshold']:g}. "
    console = Console()
    console.print(table)
    if told:
        console.print(f"\n{told}Research only, not for diagnosis.", highlight=False)
    return failed


def _cells(row: dict[str, Any]) -> list[str]:
    if "label" not in row:
        return [row["file"], "", "", "", f"error: {row['error']}"]
    remarks = "; ".join(filter(None, (row["warnings"], row["error"])))
    label = f"{row['label']}?" if row["out_of_distribution"] else row["label"]
    return [row["file"], row["slice"], label, f"{row['probability']:.3f}", remarks]


def _whole(row: dict[str, Any], absent: object) -> dict[str, Any]:
    return {name: row.get(name, absent) for name in COLUMNS}


def heatmap_names(files: Sequence[Path]) -> dict[Path, str]:
    """What the heat maps of files are called; files of one name in two folders are told apart."""
    times = Counter(file.name for file in files)
    return {
        file: file.name if times[file.name] == 1 else f"{file.name}-{_origin(file)}"
        for file in files
    }


def heatmap_path(folder: Path, name: str, part: str) -> Path:
    """Where the heat map of a slice goes; `part` names the slice and may be empty."""
    words = re.sub(r"[^A-Za-z0-9+-]+", "-", part)
    return folder / ("-".join(filter(None, (name, words))) + ".png")


def _origin(file: Path) -> str:
    return hashlib.sha256(str(file.resolve().parent).encode()).hexdigest()[:8]
