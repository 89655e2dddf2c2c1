"""What a file's header says of the work the file makes, before any of it is unpacked.

A file of a few kilobytes can hold a picture that takes minutes and gigabytes to work on, or so
many pages, chunks or tags that listing them takes as long.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from itertools import islice

from PIL import Image

from brain_tumor.imaging.dicom import is_dicom
from brain_tumor.imaging.grey import MAX_PIXELS, DecodeError

_MAX_PARTS = 50_000  # chunks of a PNG, segments of a JPEG, tags of a TIFF
_MAX_PAGES = 1_000  # of a TIFF
_MAX_SCANS = 50  # of a JPEG: each goes over the whole picture; 10 are usual
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG, _START_OF_SCAN = b"\xff\xd8", 0xDA
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_BIG_TIFF = (b"II+\0", b"MM\0+")


class TooLargeError(DecodeError):
    """The file would take too long to work on; the message says what of it is too much."""


def check_header(data: bytes, slices: int) -> None:
    """Refuse a file that would take too long, if its header says so.

    `slices` is how many slices, frames or pages are worked on at most. A volume (NIfTI) is bounded
    by its reader; what is damaged is left to the readers.

    Raises:
        TooLargeError: it has too many pixels, pages, chunks, tags or scans.
    """
    if is_dicom(data):
        width, height, count = _dicom(data)
    else:
        count = _pages(data)
        width, height = _size(data)
    count = min(slices, count)
    if width * height * count > MAX_PIXELS:
        what = f"{count} pictures of {width} x {height}" if count > 1 else f"{width} x {height}"
        advice = "ask for fewer slices, or scale them down" if count > 1 else "scale it down"
        raise TooLargeError(f"{what} pixels: more than {MAX_PIXELS / 1e6:g} megapixels; {advice}")


def _size(data: bytes) -> tuple[int, int]:
    """Width and height; 0 where Pillow cannot tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:  # reads the header only
                return image.size
    except Image.DecompressionBombError:
        raise TooLargeError("many times the pixels that are read; scale it down") from None
    except Exception:  # the reader says what is wrong
        return 0, 0


def _pages(data: bytes) -> int:
    """How many pages a picture has; refused where its parts are too many to go through."""
    if data.startswith(_PNG):
        _at_most(_MAX_PARTS, _chunks(data), "chunks")
    elif data.startswith(_JPEG):
        _at_most(_MAX_PARTS, _segments(data), "segments")
        _at_most(_MAX_SCANS, iter(range(data.count(bytes((0xFF, _START_OF_SCAN))))), "scans")
    elif data[:4] in _TIFF_ORDERS:
        tags = list(islice(_directories(data), _MAX_PAGES + 1))
        _at_most(_MAX_PAGES, iter(tags), "pages")
        _at_most(_MAX_PARTS, iter(range(sum(tags))), "tags")
        return max(1, len(tags))
    return 1


def _at_most(limit: int, parts: Iterator[object], name: str) -> None:
    if next(islice(parts, limit, None), None) is not None:
        raise TooLargeError(f"more than {limit} {name}: save it anew, as one picture")


def _chunks(data: bytes) -> Iterator[int]:
    """Where the chunks of a PNG begin."""
    place = len(_PNG)
    while place + 8 <= len(data):
        yield place
        place += 12 + int.from_bytes(data[place : place + 4])


def _segments(data: bytes) -> Iterator[int]:
    """Where the segments of a JPEG begin, up to the first scan."""
    place = len(_JPEG)
    while place + 4 <= len(data) and data[place + 1] != _START_OF_SCAN:
        yield place
        if data[place + 1] == 0xFF:  # padding
            place += 1
        else:
            place += 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))


def _directories(data: bytes) -> Iterator[int]:
    """How many tags each directory (page) of a TIFF has."""
    order, big = _TIFF_ORDERS[data[:4]], data[:4] in _BIG_TIFF
    count, offset, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(order + offset, data, 8 if big else 4)
        while 0 < place < len(data) and place not in seen:
            seen.add(place)
            (tags,) = struct.unpack_from(order + count, data, place)
            yield tags
            place += struct.calcsize("=" + count) + entry * tags
            (place,) = struct.unpack(
                order + offset, data[place : place + struct.calcsize("=" + offset)]
            )
    except struct.error:  # it ends early: the reader says so
        return


_DEFLATED = b"1.2.840.10008.1.2.1.99"
_HEAD_BYTES = 1 << 22  # of a deflated file: its tags up to the picture
_PIXELS = 0x7FE00008  # the first of the tags that hold pixels
_MAX_READS = 500_000  # by pydicom, some for each tag, also of nested ones: about three seconds


class _CountedReads(io.BytesIO):
    """A file that is read no more often than `_MAX_READS` times."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise TooLargeError("too many tags: save it anew, as one picture")
        return super().read(size)


def _dicom(data: bytes) -> tuple[int, int, int]:
    """Columns, rows and frames; 0 where they cannot be read."""
    from pydicom.filereader import read_dataset, read_partial

    def at_pixels(tag: int, _vr: str | None, _length: int) -> bool:
        return tag >= _PIXELS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _DEFLATED in data[:1024]:
                start = 144 + int.from_bytes(data[140:144], "little")
                head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], _HEAD_BYTES)
                dataset = read_dataset(_CountedReads(head), False, True, stop_when=at_pixels)
            else:
                dataset = read_partial(_CountedReads(data), stop_when=at_pixels, force=True)
            columns, rows, frames = (
                int(dataset.get(name) or 1) for name in ("Columns", "Rows", "NumberOfFrames")
            )
    except TooLargeError:
        raise
    except Exception:  # the reader says what is wrong
        return 0, 0, 0
    return columns, rows, frames
