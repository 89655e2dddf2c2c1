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
from brain_tumor.imaging.read import look_at

_MAX_PARTS = 50_000  # chunks of a PNG, blocks of a GIF, segments of a JPEG, tags of a TIFF
_MAX_PAGES = 1_000  # of a TIFF
_MAX_SCANS = 50  # of a JPEG: each goes over the whole picture; 10 are usual
_PNG = b"\x89PNG\r\n\x1a\n"
_GIF = (b"GIF87a", b"GIF89a")
_JPEG, _START_OF_SCAN = b"\xff\xd8", 0xDA
_TIFF_ORDERS = {b"II*\0": "<", b"MM\0*": ">", b"II+\0": "<", b"MM\0+": ">"}
_BIG_TIFF = (b"II+\0", b"MM\0+")


class TooLargeError(DecodeError):
    """The file would take too long to work on; the message says what of it is too much."""


def check_header(data: bytes, slices: int) -> None:
    """Refuse a file that would take too long, if its header says so.

    `slices` is how many slices, frames or pages are worked on at most. What is damaged is left to
    the readers.

    Raises:
        TooLargeError: it has too many pixels, pages, chunks, tags or scans.
    """
    _check_parts(data)
    try:
        facts = look_at(data)
    except DecodeError as error:
        if isinstance(error.__cause__, Image.DecompressionBombError):
            raise TooLargeError("many times the pixels that are read; scale it down") from None
        return  # the reader says what is wrong
    width, height, count = facts.width, facts.height, min(slices, facts.count)
    if width * height * count > MAX_PIXELS:
        what = f"{count} pictures of {width} x {height}" if count > 1 else f"{width} x {height}"
        advice = "ask for fewer slices, or scale them down" if count > 1 else "scale it down"
        raise TooLargeError(f"{what} pixels: more than {MAX_PIXELS / 1e6:g} megapixels; {advice}")


def _check_parts(data: bytes) -> None:
    """Refuse a file whose parts are too many to go through."""
    if is_dicom(data):
        _check_tags(data)
    elif data.startswith(_PNG):
        _at_most(_MAX_PARTS, _chunks(data), "chunks")
    elif data.startswith(_JPEG):
        _at_most(_MAX_PARTS, _segments(data), "segments")
        _at_most(_MAX_SCANS, iter(range(data.count(bytes((0xFF, _START_OF_SCAN))))), "scans")
    elif data.startswith(_GIF):
        _at_most(_MAX_PARTS, _blocks(data), "blocks")
    elif data[:4] in _TIFF_ORDERS:
        tags = list(islice(_directories(data), _MAX_PAGES + 1))
        _at_most(_MAX_PAGES, iter(tags), "pages")
        _at_most(_MAX_PARTS, iter(range(sum(tags))), "tags")


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


def _blocks(data: bytes) -> Iterator[int]:
    """Where the frames and extensions of a GIF begin."""
    place = 13 + _palette_bytes(data, 10)
    while place < len(data):
        block = data[place : place + 1]
        if block not in (b",", b"!"):
            place += 1
            continue
        yield place
        place += 11 + _palette_bytes(data, place + 9) if block == b"," else 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1


def _palette_bytes(data: bytes, place: int) -> int:
    flags = int.from_bytes(data[place : place + 1])
    return 3 * 2 ** (flags % 8 + 1) if flags & 0x80 else 0


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
_MAX_READS = 500_000  # by pydicom, some for each tag, also of nested ones: about three seconds


class _CountedReads(io.BytesIO):
    """A file that is read no more often than `_MAX_READS` times."""

    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > _MAX_READS:
            raise TooLargeError("too many tags: save it anew, as one picture")
        return super().read(size)


def _check_tags(data: bytes) -> None:
    """Refuse a DICOM file whose tags are too many to read."""
    from pydicom.filereader import read_dataset, read_partial

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if _DEFLATED in data[:1024]:
                start = 144 + int.from_bytes(data[140:144], "little")
                head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], _HEAD_BYTES)
                read_dataset(_CountedReads(head), False, True)
            else:
                read_partial(_CountedReads(data), force=True)
    except (TooLargeError, MemoryError):
        raise
    except Exception:  # the reader says what is wrong
        return
