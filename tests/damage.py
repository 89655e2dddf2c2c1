"""Ways in which a file is damaged, each by itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

Damage = Callable[[Path], None]


def empty(path: Path) -> None:
    """A write that never came to be."""
    path.write_bytes(b"")


def cut(path: Path) -> None:
    """A copy that broke off, in the midst of a row where there are rows."""
    content = path.read_bytes()
    path.write_bytes(content[: 2 * len(content) // 3].rstrip(b"\n"))


def flip_bits(path: Path) -> None:
    """A disk that forgets: 40 flipped bits."""
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at, bit in zip(rng.integers(0, len(content), 40), rng.integers(0, 8, 40), strict=True):
        content[at] ^= 1 << int(bit)
    path.write_bytes(bytes(content))


def other_format(path: Path) -> None:
    """A page of a proxy that asks for a password."""
    path.write_bytes(b"<html><body>Please log in</body></html>\n")


def other_json(path: Path) -> None:
    """JSON, but no object."""
    path.write_bytes(b"[1, 2]\n")


def pointer(path: Path) -> None:
    """What git-lfs and git-annex leave where the content was not fetched."""
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def folder_in_its_place(path: Path) -> None:
    """What a wrong `cp` leaves."""
    path.unlink()
    path.mkdir()


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage
    for damage in (empty, cut, flip_bits, other_format, other_json, pointer, folder_in_its_place)
}
