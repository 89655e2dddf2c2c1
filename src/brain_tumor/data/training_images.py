"""The pictures a model was made from, for whoever must recognise them."""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import pandas as pd
from PIL import Image

from brain_tumor.data.copies import frequency_hash
from brain_tumor.errors import UserError
from brain_tumor.files import read_bytes, reading
from brain_tumor.imaging.read import read_grey
from brain_tumor.outputs import write_table

TRAINING_IMAGES = "training_images.csv"  # its name in a model's folder


@dataclass(frozen=True)
class TrainingImage:
    """An image a model was trained on or chosen by; "" is what an older table does not tell.

    Attributes:
        path: relative to the data folder.
        sha256: of the file, hexadecimal.
        group: names of all groups (copies, patients) it belongs to, between spaces.
        split: train or val.
        dhash: `data.copies.difference_hash` of the picture, hexadecimal.
        fhash: `data.copies.frequency_hash` of the picture, hexadecimal.
    """

    path: str
    sha256: str
    group: str
    split: str
    dhash: str
    fhash: str


def hash_file(file: Path) -> str:
    """The frequency hash of a picture, 64 hexadecimal digits; "" if it is not one that is read."""
    try:
        grey = read_grey(read_bytes(file))
    except (OSError, UserError, MemoryError):
        return ""
    return f"{frequency_hash(Image.fromarray(grey)):064x}"


def write(path: Path, images: Iterable[TrainingImage]) -> None:
    """Write the table as CSV (UTF-8), whole or not at all."""
    names = [field.name for field in fields(TrainingImage)]
    write_table(path, pd.DataFrame(map(asdict, images), columns=names))


def read(path: Path) -> list[TrainingImage]:
    """Read a table; those of earlier versions hold training images only, and fewer columns.

    Raises:
        UserError: it is missing, cut off, no table, or has not even the column `sha256`.
    """
    names = [field.name for field in fields(TrainingImage)]
    earlier = dict.fromkeys(names, "") | {"split": "train"}
    with reading(path, _ANEW):
        text = path.read_bytes().decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
    if text and not text.endswith("\n"):
        raise UserError(f"{path}: not readable; {_ANEW}: cut off in its last row")
    header = text.partition("\n")[0]
    if "sha256" not in header.strip().split(","):
        raise UserError(f"{path}: no column sha256, received {header[:100]!r}; {_ANEW}")
    return [
        TrainingImage(**earlier | {name: row[name] for name in names if row.get(name)})
        for row in rows
    ]


_ANEW = "pull or register the model anew"
