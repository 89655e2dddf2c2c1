"""Predictions as a table for people, and as JSON and CSV for machines."""

import csv
import hashlib
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "file", "slice", "label", "probability", "threshold", "calibrated", "out_of_distribution",
    "ood_score", "warnings", "engine", "model", "heatmap", "error",
)  # fmt: skip
Rows = Sequence[dict[str, Any]]


def print_json(rows: Rows) -> None:
    """A list of objects, absent values null."""
    json.dump([_whole(row, None) for row in rows], sys.stdout, indent=2, ensure_ascii=False)
    print()


def print_csv(rows: Rows) -> None:
    """A header and a line per row, absent values empty."""
    writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_whole(row, "") for row in rows)


def print_table(rows: Rows) -> None:
    """A table, and below it the model and what its answers are not for."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name, how in (("file", "fold"), ("slice", "fold"), ("tumour", "fold")):
        table.add_column(name, overflow=how)  # type: ignore[arg-type]
    table.add_column("probability", justify="right")
    table.add_column("remarks", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row)))
    console = Console()
    console.print(table)
    told = next((row for row in rows if not row["error"]), None)
    if told:
        console.print(
            f"\n{told['model']}, engine {told['engine']}, threshold {told['threshold']:g}. "
            "Research only, not for diagnosis.",
            highlight=False,
        )


def _cells(row: dict[str, Any]) -> list[str]:
    if row["error"]:
        return [row["file"], "", "", "", f"error: {row['error']}"]
    label = f"{row['label']}?" if row["out_of_distribution"] else row["label"]
    return [row["file"], row["slice"], label, f"{row['probability']:.3f}", row["warnings"]]


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
