"""TIFF files by their tags: their pages, and pixels of numbers that Pillow does not know.

Pillow reads what cameras and drawing programs write. Programs of science write any type of number,
of either byte order, with black as the lowest or the highest value; those are read here.
"""

import io
import struct
import warnings
from collections.abc import Iterator, Mapping, Set
from math import prod
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.imaging.grey import MAX_BYTES, DecodeError, luma

TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: of more than 4 GiB
MAX_PAGES = 10_000

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS = 256, 257, 258, 259, 262, 273
_ORIENTATION = 274
_SUBFILE = 254
_SAMPLES, _ROWS_PER_STRIP, _COUNTS, _PLANAR, _PREDICTOR, _COLOURS = 277, 278, 279, 284, 317, 320
_EXTRA, _TYPES = 338, 339
_FILL_ORDER, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS = 266, 322, 323, 324, 325
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4  # undefined: as if unsigned (TIFF 6.0)
_NAMES = {
    _UNSIGNED: "unsigned",
    _UNDEFINED: "undefined",
    _SIGNED: "signed",
    _FLOAT: "floating-point",
}
_DTYPES = {
    _UNSIGNED: {8: "u1", 16: "u2", 32: "u4", 64: "u8"},
    _SIGNED: {8: "i1", 16: "i2", 32: "i4", 64: "i8"},
    _FLOAT: {16: "f2", 32: "f4", 64: "f8"},
}
_DTYPES[_UNDEFINED] = _DTYPES[_UNSIGNED]
_PLAIN = 1
_LOSSLESS = (_PLAIN, 5, 8, 32773, 32946, 34925, 50000)  # LZW, Deflate, PackBits, LZMA, Zstandard
_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS = 1, 2, 3
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3
_PREMULTIPLIED, _ALPHA = 1, 2
_REDUCED, _MASK = 1, 4  # bits of the kind of page

Tags = Mapping[int, tuple[int, ...]]
_READ = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _OFFSETS, _ORIENTATION, _SAMPLES}
    | {_ROWS_PER_STRIP, _COUNTS, _PLANAR, _PREDICTOR, _COLOURS, _EXTRA, _TYPES}
    | {_SUBFILE, _FILL_ORDER, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_COUNTS}
)
_FIELDS = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}  # of a tag: byte, short, long, of 8 bytes


class _Layout(NamedTuple):
    """How the numbers of a file's directories are kept: byte order, number of tags, places."""

    order: str
    number: str
    offset: str

    @property
    def entry_bytes(self) -> int:
        """Of a tag: name, type, number of values, the values or their place."""
        return 4 + 2 * struct.calcsize(self.order + self.offset)


def _layout(data: bytes) -> _Layout:
    large = data[2:4] in (b"+\0", b"\0+")
    return _Layout("<" if data.startswith(b"II") else ">", *("QQ" if large else "HL"))


def _directories(data: bytes) -> Iterator[int]:
    """Where the directory of each page begins, in order.

    Raises:
        DecodeError: there are more pages than are read, or they go round in a circle.
        struct.error: the file is cut short.
    """
    order, number, offset = layout = _layout(data)
    place = struct.unpack_from(order + offset, data, 8 if offset == "Q" else 4)[0]
    visited = set[int]()
    while place:
        if place in visited or len(visited) == MAX_PAGES:
            raise DecodeError(f"TIFF of more than {MAX_PAGES} pages, or whose pages have no end")
        visited.add(place)
        yield place
        count = struct.unpack_from(order + number, data, place)[0]
        after = place + struct.calcsize(order + number) + count * layout.entry_bytes
        place = struct.unpack_from(order + offset, data, after)[0]


def _tags(data: bytes, place: int, names: Set[int], most: int) -> Tags:
    """The tags of these names in a directory, with so many of their values at most."""
    order, number, offset = layout = _layout(data)
    count = struct.unpack_from(order + number, data, place)[0]
    place += struct.calcsize(order + number)
    inside = struct.calcsize(order + offset)  # bytes of a value that stand in the entry itself
    tags: dict[int, tuple[int, ...]] = {}
    end = min(place + count * layout.entry_bytes, len(data))
    for start in range(place, end, layout.entry_bytes):
        name, kind, values = struct.unpack_from(f"{order}HH{offset}", data, start)
        if name not in names or name in tags or kind not in _FIELDS:
            continue
        dtype, at = np.dtype(order + _FIELDS[kind]), start + 4 + inside
        if values * dtype.itemsize > inside:
            at = struct.unpack_from(order + offset, data, at)[0]
        part = data[at : at + min(values, most) * dtype.itemsize]
        tags[name] = tuple(
            np.frombuffer(part[: len(part) // dtype.itemsize * dtype.itemsize], dtype).tolist()
        )
    return tags


def page_sizes(data: bytes) -> dict[int, tuple[int, int]]:
    """Width and height of the pages that are pictures, not masks or copies of the largest.

    A copy is marked as one, or has the shape of the largest page at half its size or less.

    Raises:
        DecodeError: there is no page, or no end of them; struct.error where it is cut short.
    """
    names = frozenset((_WIDTH, _HEIGHT, _SUBFILE))
    pages = dict(enumerate(_tags(data, place, names, most=1) for place in _directories(data)))
    real = {
        number: size(tags)
        for number, tags in pages.items()
        if not _first(tags, _SUBFILE, 0) & (_REDUCED | _MASK)
    } or {number: size(tags) for number, tags in pages.items()}
    if not real:
        raise DecodeError("TIFF without a page")
    largest = max(real.values(), key=prod)
    return {number: own for number, own in real.items() if not _is_copy(own, largest)}


def _is_copy(own: tuple[int, int], largest: tuple[int, int]) -> bool:
    """Whether a size is that of the largest, halved or more."""
    uneven = abs(own[0] * largest[1] - own[1] * largest[0])  # by rounding at most a pixel
    return own != largest and 2 * max(own) <= max(largest) + 1 and uneven <= max(largest)


def page_tags(data: bytes, page: int) -> Tags:
    """The tags of a page."""
    for number, place in enumerate(_directories(data)):
        if number == page:
            return _tags(data, place, _READ, most=len(data))
    raise DecodeError(f"TIFF without a page {page + 1}")


def require_whole(tags: Tags) -> None:
    """Refuse a page of which strips or tiles are missing; Pillow would show it black there.

    Raises:
        DecodeError: there are fewer than its rows, columns and planes need.
    """
    width, height = size(tags)
    if _OFFSETS in tags:
        parts, held = "strips", len(tags[_OFFSETS])
        wide, high = width, _first(tags, _ROWS_PER_STRIP, height)
    else:
        parts, held = "tiles", len(tags.get(_TILE_OFFSETS, ()))
        wide, high = _first(tags, _TILE_WIDTH, width), _first(tags, _TILE_HEIGHT, height)
    needed = -(-width // max(wide, 1)) * -(-height // max(high, 1)) * _planes(tags)
    if held and held < needed:
        raise DecodeError(f"TIFF file is truncated: {held} of {needed} {parts} are there")


def _planes(tags: Tags) -> int:
    """How many pictures of one sample each a page is kept as; 1 where samples lie together."""
    return _first(tags, _SAMPLES, 1) if _first(tags, _PLANAR, 1) == 2 else 1


def size(tags: Tags) -> tuple[int, int]:
    """Width and height of a page as it is stored, pixels."""
    return _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)


def orientation(tags: Tags) -> int:
    """How the page is stored, 1 to 8 as in EXIF."""
    return _first(tags, _ORIENTATION, 1)


def number_type(tags: Tags) -> str:
    """The numbers of a page in short, as `3 x f8`."""
    samples = _first(tags, _SAMPLES, 1)
    kinds = {_UNSIGNED: "u", _UNDEFINED: "u", _SIGNED: "i", _FLOAT: "f"}
    kind = kinds.get(_first(tags, _TYPES, _UNSIGNED), "?")
    return f"{f'{samples} x ' if samples > 1 else ''}{kind}{_first(tags, _BITS, 1)}"


def described(tags: Tags) -> str:
    """The kind of numbers a page holds, in words."""
    samples = _first(tags, _SAMPLES, 1)
    of_each = f"{samples} samples of " if samples > 1 else ""
    kind = _NAMES.get(_first(tags, _TYPES, _UNSIGNED), "complex or unknown")
    return (
        f"TIFF of {of_each}{_first(tags, _BITS, 1)}-bit {kind} numbers, photometric interpretation "
        f"{_first(tags, _PHOTOMETRIC, 0)}, compression {_first(tags, _COMPRESSION, _PLAIN)}"
    )


def is_plain(tags: Tags) -> bool:
    """Whether every sample is an unsigned number of at most 8 bits, as Pillow takes them."""
    return _first(tags, _BITS, 1) <= 8 and is_unsigned(tags)


def is_unsigned(tags: Tags) -> bool:
    """Whether the numbers have no sign."""
    return _first(tags, _TYPES, _UNSIGNED) == _UNSIGNED


def white_is_zero(tags: Tags) -> bool:
    """Whether the lowest value is white."""
    return _first(tags, _PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO


def dim_colours(tags: Tags) -> NDArray[np.uint8] | None:
    """The colours (N, 3) of a palette that was written in 8 of its 16 bits; None where it was not.

    Some programs do that; libtiff takes such palettes for what they are meant to be, too.
    """
    colours = np.array(tags.get(_COLOURS, ()), dtype=np.int64)
    if not colours.size or colours.size % 3 or not 0 < colours.max() <= 255:
        return None
    return colours.reshape(3, -1).T.astype(np.uint8)


def _first(tags: Tags, name: int, default: int) -> int:
    return next(iter(tags.get(name, ())), default)


def read_numbers(
    data: bytes, tags: Tags
) -> tuple[NDArray[Any], NDArray[np.float64] | None, bool] | None:
    """Grey values of a page of numbers, and its opacity.

    Returns:
        (H, W) values, of which a larger one is brighter; opacity, (H, W), 0 to 1, or None; and
        whether it is multiplied into the values already. None in place of all where the page is
        packed or laid out in a way that is not known here.

    Raises:
        DecodeError: it is larger than what is read at once, or cut short.
    """
    bits, types = tags.get(_BITS, (1,)), tags.get(_TYPES, (_UNSIGNED,))
    code = _DTYPES.get(types[0], {}).get(bits[0])
    photometric = _first(tags, _PHOTOMETRIC, _WHITE_IS_ZERO)
    colours = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1}.get(photometric)
    samples, extra = _first(tags, _SAMPLES, 1), tags.get(_EXTRA, ())
    known = (
        len(set(bits)) == len(set(types)) == 1
        and _first(tags, _COMPRESSION, _PLAIN) in _LOSSLESS
        and _first(tags, _PREDICTOR, _NO_PREDICTOR) in (_NO_PREDICTOR, _DIFFERENCES, _OF_FLOATS)
        and _first(tags, _FILL_ORDER, 1) == 1
    )
    if not known or code is None or colours is None or colours > samples:
        return None
    values = _samples(data, tags, np.dtype(code), samples)
    grey = luma(values) if colours == 3 else values[..., 0]
    if photometric == _PALETTE:
        palette = np.array(tags.get(_COLOURS, ())).reshape(3, -1).T
        grey = luma(palette)[grey]
    if photometric == _WHITE_IS_ZERO:
        grey = np.invert(grey) if grey.dtype.kind in "iu" else -grey
    if samples == colours or not extra or extra[0] not in (_ALPHA, _PREMULTIPLIED):
        return grey, None, False
    opaque = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1.0
    opacity = np.clip(values[..., colours].astype(np.float64) / opaque, 0.0, 1.0)
    return grey, opacity, extra[0] == _PREMULTIPLIED


def _samples(data: bytes, tags: Tags, dtype: np.dtype[Any], samples: int) -> NDArray[Any]:
    """All numbers of a page, (H, W, samples), in this machine's byte order."""
    width, height = size(tags)
    if not 0 < height * width * samples * dtype.itemsize <= MAX_BYTES // 8:
        raise DecodeError(f"TIFF of {width} x {height} pixels: more than this reads at once")
    planes = _planes(tags)
    starts = tags.get(_OFFSETS) or tags.get(_TILE_OFFSETS, ())
    sizes = tags.get(_COUNTS) or tags.get(_TILE_COUNTS) or (len(data),) * len(starts)
    each = len(starts) // planes
    order: Literal["<", ">"] = "<" if data.startswith(b"II") else ">"
    parts = []
    for plane in range(planes):
        strips = list(zip(starts, sizes, strict=False))[plane * each : (plane + 1) * each]
        row_bytes = width * (samples // planes) * dtype.itemsize
        raw = _unpacked(data, tags, strips, row_bytes, samples // planes * dtype.itemsize)
        parts.append(_numbers(raw, tags, dtype.newbyteorder(order), samples // planes))
    return np.concatenate(parts, axis=-1)


def _unpacked(
    data: bytes, tags: Tags, strips: list[tuple[int, int]], row_bytes: int, pixel_bytes: int
) -> NDArray[np.uint8]:
    """The bytes of a plane as they were before they were packed, (H, row_bytes).

    libtiff unpacks bytes whatever they mean: it is handed the same strips or tiles as a picture of
    8-bit grey, as wide as a row has bytes.
    """
    height = size(tags)[1]
    parts = [data[start : start + length] for start, length in strips]
    if _first(tags, _COMPRESSION, _PLAIN) == _PLAIN and _OFFSETS in tags:
        joined = b"".join(parts)
        if len(joined) < height * row_bytes:
            raise DecodeError(
                f"TIFF file is truncated: {len(joined)} of {height * row_bytes} bytes of pixels"
            )
        return np.frombuffer(joined, np.uint8, height * row_bytes).reshape(height, row_bytes)
    layout: dict[int, tuple[int, ...]]
    layout = {_WIDTH: (row_bytes,), _HEIGHT: (height,), _BITS: (8,), _PHOTOMETRIC: (1,)}
    layout |= {_COMPRESSION: tags.get(_COMPRESSION, (_PLAIN,)), _SAMPLES: (1,)}
    lengths = tuple(map(len, parts))
    places = tuple(8 + sum(lengths[:index]) for index in range(len(lengths)))
    if _OFFSETS in tags:
        rows = tags.get(_ROWS_PER_STRIP, (height,))
        layout |= {_OFFSETS: places, _COUNTS: lengths, _ROWS_PER_STRIP: rows}
    else:
        layout |= {_TILE_OFFSETS: places, _TILE_COUNTS: lengths}
        layout |= {_TILE_WIDTH: (_first(tags, _TILE_WIDTH, 0) * pixel_bytes,)}
        layout |= {_TILE_HEIGHT: tags.get(_TILE_HEIGHT, ())}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # bytes, not pixels
        with Image.open(io.BytesIO(_tiff(b"".join(parts), layout)), formats=["TIFF"]) as image:
            return np.array(image)


def _tiff(pixels: bytes, tags: Tags) -> bytes:
    """A TIFF file of packed pixels, which begin at byte 8."""
    pixels += b"\0" * (len(pixels) % 2)
    place = 8 + len(pixels) + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for name, numbers in sorted(tags.items()):
        packed = struct.pack(f"<{len(numbers)}L", *numbers)
        at = packed if len(packed) == 4 else struct.pack("<L", place + len(values))
        values += b"" if len(packed) == 4 else packed
        entries += struct.pack("<HHL", name, 4, len(numbers)) + at
    head = b"II*\0" + struct.pack("<L", 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + values


def _numbers(
    raw: NDArray[np.uint8], tags: Tags, dtype: np.dtype[Any], samples: int
) -> NDArray[Any]:
    """Numbers (H, W, samples) from the bytes of a plane; predictors (TIFF 6.0, 14) are undone."""
    height, native = len(raw), dtype.newbyteorder("=")
    predictor = _first(tags, _PREDICTOR, _NO_PREDICTOR)
    if _first(tags, _COMPRESSION, _PLAIN) == _PLAIN:
        predictor = _NO_PREDICTOR
    if predictor == _OF_FLOATS:  # differences of bytes; the first bytes of all numbers come first
        sums = np.cumsum(raw.reshape(height, -1, samples), axis=1, dtype=np.uint8)
        order = sums.reshape(height, dtype.itemsize, -1).transpose(0, 2, 1)
        raw = np.ascontiguousarray(order).reshape(height, -1)
        dtype = dtype.newbyteorder(">")
    flat = np.ascontiguousarray(raw).reshape(height, -1).view(dtype).astype(native)
    values = flat.reshape(height, -1, samples)
    if predictor == _DIFFERENCES:
        unsigned = values.view(f"u{dtype.itemsize}")
        return np.cumsum(unsigned, axis=1, dtype=unsigned.dtype).view(native)
    return values
