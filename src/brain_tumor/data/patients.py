"""patients.csv: which images show one patient."""

import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from brain_tumor.data.folder import Remark
from brain_tumor.errors import UserError
from brain_tumor.files import obstacle

MORE = "\0"  # no column is called so


def _without_empty(row: dict[str, str]) -> dict[str, str]:
    """A row without the columns that have no name; what stands there is more than the columns."""
    return {key or MORE: text for key, text in row.items() if key or text}


def read_patient_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a patients.csv; what a row has beyond the columns has the key `MORE`.

    Columns without a name are left out where no row has anything in them.

    Raises:
        UserError: it is no CSV in UTF-8 with the columns `path` and `patient`.
    """
    if reason := obstacle(file):
        raise UserError(reason)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey=MORE, restval="")
            columns = [column for column in reader.fieldnames or [] if column]
            rows = [_without_empty(row) for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"cannot be read as CSV in UTF-8: {error}") from error
    if not {"path", "patient"} <= set(columns):
        raise UserError(f"columns path,patient expected, received {columns}")
    return columns, rows


def read_patients(
    file: Path, paths: Collection[str], excluded: Collection[str] = ()
) -> tuple[dict[str, str], list[Remark]]:
    """Read a table with columns `path` (relative to the data folder) and `patient`.

    The table must name each of `paths` once, and nothing else but what is `excluded`; it may spell
    them in any way that `Spellings` knows. A patient may be left empty: unknown. Where there is no
    table no patient is known.

    Returns:
        The patient of each path named, and what is wrong with the table.
    """
    if not os.path.lexists(file):
        return {}, []
    try:
        _, rows = read_patient_rows(file)
    except UserError as error:
        return {}, [Remark(file.name, str(error))]
    spellings = Spellings([*paths, *excluded], file.parent)
    pairs = [(spellings.path(row["path"]), row["patient"].strip()) for row in rows]
    left_out = set(excluded)
    named = [path for path, _ in pairs if path not in left_out]
    return dict(pairs), _differences(file.name, named, paths)


def rows_in_table(file: Path, paths: Collection[str]) -> Counter[str]:
    """How often a patients.csv names each of `paths`; nothing where no table can be read."""
    try:
        _, rows = read_patient_rows(file)
    except UserError:
        return Counter()
    spellings = Spellings(paths, file.parent)
    return Counter(spellings.path(row["path"]) for row in rows)


class Spellings:
    r"""The images of a folder by what a table may call them.

    As they are called; with backslashes; with `./`, the name of the folder or its whole path in
    front; with accents composed or not (Unicode NFC and NFD, which macOS exchanges); with spaces
    around. Where two images would answer to one spelling, neither does.
    """

    def __init__(self, paths: Iterable[str], folder: Path) -> None:
        """`paths` are relative to `folder`, in which the table lies."""
        self._paths = frozenset(paths)
        self._fronts = tuple(
            f"{_plain(front)}/" for front in (folder.resolve().as_posix(), folder.resolve().name)
        )
        keys = Counter(map(_plain, self._paths))
        self._by_key = {_plain(path): path for path in self._paths if keys[_plain(path)] == 1}

    def path(self, text: str) -> str:
        """The path of the image that `text` names, else `text` itself."""
        if text in self._paths:
            return text
        plain = _plain(text)
        spellings = (plain, *(plain.removeprefix(front) for front in self._fronts))
        return next((self._by_key[key] for key in spellings if key in self._by_key), text)


def _plain(text: str) -> str:
    path = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    return re.sub("/+", "/", path).removeprefix("./")


def _differences(name: str, named: list[str], paths: Collection[str]) -> list[Remark]:
    twice = sorted(path for path, times in Counter(named).items() if times > 1)
    absent = sorted(set(named) - set(paths))
    lacking = sorted(set(paths) - set(named))
    return [
        *(Remark(path, f"named more than once in {name}") for path in twice),
        *(Remark(path, f"named in {name}, but there is no such image") for path in absent),
        *(Remark(path, f"not named in {name}, which must name every image") for path in lacking),
    ]
