"""What a check found: a file and a reason."""

from typing import NamedTuple


class Finding(NamedTuple):
    """A file (or folder, ending in `/`), relative to the data folder, and what is odd about it."""

    path: str
    reason: str
