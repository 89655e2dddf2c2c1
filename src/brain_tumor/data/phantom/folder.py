"""The phantom data set: a folder of labelled slices, made from a seed."""

import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor import cluster
from brain_tumor.data.phantom.anatomy import load_template
from brain_tumor.data.phantom.heads import Floats
from brain_tumor.data.phantom.slices import HEAD, PhantomSlice, make_slice
from brain_tumor.errors import UserError
from brain_tumor.files import write_text
from brain_tumor.machine import processors, spread, track
from brain_tumor.settings import MASKS_FOLDER, PhantomParams

_BLOCK = 65535  # most bytes of one stored deflate block


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encode grey levels, uint8 (H, W), without compression (stored deflate blocks, written here).

    Source: W3C PNG specification, third edition; RFC 1950 and 1951.
    """
    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)  # 8 bit, grey
    rows = np.zeros((height, width + 1), dtype=np.uint8)  # each row starts with filter type 0
    rows[:, 1:] = image
    chunks = (b"IHDR", header), (b"IDAT", _stored(rows.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _stored(data: bytes) -> bytes:
    starts = range(0, len(data), _BLOCK)
    parts = [data[start : start + _BLOCK] for start in starts]
    blocks = (
        struct.pack("<BHH", number == len(parts), len(part), len(part) ^ 0xFFFF) + part
        for number, part in enumerate(parts, 1)
    )
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


_PLAN, _EDIT = 101, 102  # random streams beside those of make_slice


@dataclass(frozen=True)
class Planned:
    """One file to be made: a slice, an exact copy of one, or an edited (near) copy."""

    patient: int
    slice_index: int
    tumour: bool
    version: str = ""  # "", "copy" or "edit"

    @property
    def name(self) -> str:
        """The file's name, e.g. p007-s1.png, p007-s1-copy.png."""
        ending = f"-{self.version}" if self.version else ""
        return f"p{self.patient:03d}-s{self.slice_index}{ending}.png"


def plan(params: PhantomParams) -> list[Planned]:
    """Decide what is made: exactly `params.no` and `params.yes` files, copies included.

    Raises:
        UserError: more copies are asked for than there are slices to copy.
    """
    rng = np.random.default_rng((params.seed, 0, 0, _PLAN))
    counts = {False: params.no, True: params.yes}
    copies = {version: _shares(params, version) for version in ("copy", "edit")}
    distinct = {label: counts[label] - sum(copies[v][label] for v in copies) for label in counts}
    if any(copies[version][label] > distinct[label] for version in copies for label in counts):
        raise UserError(
            f"phantom: exact_duplicates ({params.exact_duplicates}) and near_duplicates "
            f"({params.near_duplicates}) leave too few slices of {params.no} no and "
            f"{params.yes} yes to copy; lower them"
        )
    planned = list(_slices(rng, dict(distinct), params.slices_per_patient))
    for label in counts:
        originals = [item for item in planned if item.tumour is label and not item.version]
        for version, shares in copies.items():
            for index in rng.permutation(len(originals))[: shares[label]]:
                chosen = originals[index]
                planned.append(Planned(chosen.patient, chosen.slice_index, label, version))
    return planned


def generate(
    folder: Path, params: PhantomParams, negative_folder: str = "no", positive_folder: str = "yes"
) -> None:
    """Write class folders, a mask for each tumour image and patients.csv into `folder`.

    Images are grey 8-bit PNGs. The same params give the same bytes.

    Raises:
        UserError: the params contradict each other or the MNI152 maps are missing.
    """
    planned = plan(params)
    for name in (negative_folder, positive_folder, f"{MASKS_FOLDER}/{positive_folder}"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def write(item: Planned, drawn: tuple[bytes, bytes]) -> str:
        path = Path(positive_folder if item.tumour else negative_folder) / item.name
        image, mask = drawn
        (folder / path).write_bytes(image)
        if item.tumour:
            (folder / MASKS_FOLDER / f"{path}.png").write_bytes(mask)
        return f"{path.as_posix()},p{item.patient:03d}\n"

    draw = partial(_draw, params)
    if cluster.is_used():
        lines = list(map(write, planned, spread(draw, planned, "phantom")))
    else:  # threads do: most of it is NumPy's, and the template is loaded once
        load_template(HEAD)
        with ThreadPoolExecutor(processors()) as pool:
            work = pool.map(lambda item: write(item, draw(item)), planned)
            lines = list(track(work, "phantom", len(planned)))
    write_text(folder / "patients.csv", "path,patient\n" + "".join(sorted(lines)))


def _draw(params: PhantomParams, item: Planned) -> tuple[bytes, bytes]:
    """An image and its mask, as PNG."""
    image, mask = _render(item, params)
    return encode_png(image), encode_png(np.where(mask, 255, 0).astype(np.uint8))


def _shares(params: PhantomParams, version: str) -> dict[bool, int]:
    """Divide the copies among the classes in proportion to their sizes."""
    total = params.exact_duplicates if version == "copy" else params.near_duplicates
    negative = round(total * params.no / (params.no + params.yes))
    return {False: negative, True: total - negative}


def _slices(rng: np.random.Generator, wanted: dict[bool, int], most: int) -> Iterator[Planned]:
    """Draw patients of either class in turn, in proportion to the slices still wanted."""
    patient = 0
    while remaining := wanted[False] + wanted[True]:
        tumour = bool(rng.integers(remaining) < wanted[True])
        count = min(int(rng.integers(1, most + 1)), wanted[tumour])
        for slice_index in range(count):
            yield Planned(patient, slice_index, tumour)
        wanted[tumour] -= count
        patient += 1


def _render(item: Planned, params: PhantomParams) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    slice_ = make_slice(params.seed, item.patient, item.slice_index, item.tumour, params)
    if item.version != "edit":
        return slice_.image, slice_.mask
    return _edit(
        slice_, np.random.default_rng((params.seed, item.patient, item.slice_index, _EDIT))
    )


def _edit(
    slice_: PhantomSlice, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Rescale, brighten and requantise, as a picture is changed on its way through the web."""
    scale = float(rng.choice([rng.uniform(0.8, 0.93), rng.uniform(1.07, 1.2)]))
    brighter = _rescale(slice_.image, scale) * float(rng.uniform(1.02, 1.08))
    coarse = np.rint(np.clip(brighter, 0, 254) / 2) * 2  # as re-encoding coarsens grey levels
    return coarse.astype(np.uint8), _rescale(slice_.mask, scale) > 0.5


def _rescale(image: NDArray[Any], scale: float) -> Floats:
    """Resample linearly, pixel centres to pixel centres."""
    from scipy.ndimage import map_coordinates

    rows, columns = (round(side * scale) for side in image.shape)
    grid = np.indices((rows, columns)) + 0.5
    grid *= np.array([image.shape[0] / rows, image.shape[1] / columns]).reshape(2, 1, 1)
    values = image.astype(np.float64)
    return np.asarray(map_coordinates(values, grid - 0.5, order=1, mode="nearest"))
