"""Who is shown: the optional table of patients beside the class folders."""

import csv
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from brain_tumor.dataset.validation.finding import Finding

_COLUMNS = ["path", "patient"]


def read_patients(
    file: Path, paths: Collection[str], excluded: Collection[str] = ()
) -> tuple[dict[str, str], list[Finding]]:
    """Read a table with columns `path` (relative to the data folder) and `patient`.

    Args:
        file: CSV in UTF-8; where there is none no patient is known.
        paths: the images there are; the table must name each of them once and nothing else. A
            patient may be left empty: unknown.
        excluded: files that are left out; they may be named or not.

    Returns:
        The patient of each path named, and what is wrong with the table.
    """
    if not file.exists():
        return {}, []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines)
            if not set(_COLUMNS) <= set(rows.fieldnames or []):
                reason = f"columns path,patient expected, received {rows.fieldnames}"
                return {}, [Finding(file.name, reason)]
            pairs = [(row["path"] or "", (row["patient"] or "").strip()) for row in rows]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        return {}, [Finding(file.name, f"cannot be read as CSV in UTF-8: {error}")]
    named = [path for path, _ in pairs if path not in set(excluded)]
    return dict(pairs), _differences(file.name, named, paths)


def _differences(name: str, named: list[str], paths: Collection[str]) -> list[Finding]:
    twice = sorted(path for path, times in Counter(named).items() if times > 1)
    absent = sorted(set(named) - set(paths))
    lacking = sorted(set(paths) - set(named))
    return [
        *(Finding(path, f"named more than once in {name}") for path in twice),
        *(Finding(path, f"named in {name}, but there is no such image") for path in absent),
        *(Finding(path, f"not named in {name}, which must name every image") for path in lacking),
    ]
