"""The table of patients, grown along with the images."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

from brain_tumor.dataset.validation.finding import Finding

_COLUMNS = ("path", "patient")
_TOO_MANY = "\0"  # key of what a row has beyond the columns


class PatientsError(ValueError):
    """The data folder's table of patients cannot be read."""


def grown_table(
    table: Path, images: Iterable[str], new: Iterable[str], patients: Mapping[str, str]
) -> tuple[str | None, list[Finding]]:
    """Extend the table by the images that are new, and by the patients that became known.

    Args:
        table: the data folder's patients.csv, which need not exist.
        images: all images the data folder will have, by their paths in it.
        new: those of them that are new.
        patients: patients now known, by the same paths.

    Returns:
        The text of the table, None if it stays as it is or is not needed, and contradictions.

    Raises:
        PatientsError: the table is no CSV with the columns path and patient.
    """
    if not table.exists() and not patients:
        return None, []
    columns, rows = _read(table) if table.exists() else (list(_COLUMNS), [])
    before = [dict(row) for row in rows]
    by_path = {row["path"]: row for row in rows}
    for path in (*new, *patients) if table.exists() else images:
        if path not in by_path:
            by_path[path] = dict.fromkeys(columns, "") | {"path": path}
            rows.append(by_path[path])
    findings = [finding for path in patients for finding in _set(by_path, path, patients[path])]
    return (None if rows == before else _text(columns, rows)), findings


def _set(rows: Mapping[str, dict[str, str]], path: str, patient: str) -> list[Finding]:
    row = rows.get(path, {})
    known = (row.get("patient") or "").strip()
    if known and known != patient:
        return [Finding(path, f"patient {patient!r} here, but {known!r} in the data folder")]
    row["patient"] = patient
    return []


def _read(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey=_TOO_MANY, restval="")
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise PatientsError(f"{table}: cannot be read as CSV in UTF-8: {error}") from error
    if not set(_COLUMNS) <= set(columns) or any(_TOO_MANY in row for row in rows):
        raise PatientsError(f"{table}: columns path,patient expected, received {columns}")
    return columns, rows


def _text(columns: list[str], rows: list[dict[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
