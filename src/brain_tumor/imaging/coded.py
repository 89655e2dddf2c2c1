"""The headers of JPEG, JPEG-LS and JPEG 2000 streams.

Decoders of DICOM go by the frame's own header and not by DICOM's: a frame of a few bytes can ask
for gigabytes, and GDCM ends the whole process at some damaged headers.
"""

import re
import struct
from dataclasses import dataclass

_JPEG_2000 = re.compile(rb"\xff\x4f\xff\x51")  # start of stream, size
_BOXES = b"\0\0\0\x0cjP  "  # JP2: boxes, one of which holds the stream
_JPEG = b"\xff\xd8"
_SIZES = (0xC0, 0xC1, 0xC3, 0xF7)  # baseline, extended, lossless, JPEG-LS
_FACTORS = {0x11, 0x12, 0x21, 0x22, 0x41}  # how colours may be sampled, across and down
_HUFFMAN, _SCAN = 0xC4, 0xDA
_TABLES = (0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0))  # others that may stand in a header


@dataclass(frozen=True)
class Coded:
    """What a frame unpacks to."""

    rows: int
    columns: int
    samples: int
    bits: int


def read_coded(frame: bytes) -> Coded:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 frame.

    Raises:
        ValueError: it is none, or damaged; struct.error or IndexError where it is cut short.
    """
    if frame.startswith(_JPEG):
        return _jpeg(frame)
    begin = _codestream(frame)
    start = _JPEG_2000.search(frame, begin, begin + (1 << 16))
    if not start:
        raise ValueError("no JPEG")
    columns, rows, left_edge, top_edge = struct.unpack_from(">4I", frame, start.end() + 4)
    samples, bits = struct.unpack_from(">HB", frame, start.end() + 36)
    return Coded(rows - top_edge, columns - left_edge, samples, bits % 128 + 1)


def _codestream(frame: bytes) -> int:
    """Where the stream of a JP2 file begins, behind whatever metadata; 0 where it is bare."""
    place = 0
    while frame.startswith(_BOXES) and place + 8 <= len(frame):
        length, kind = struct.unpack_from(">L4s", frame, place)
        if kind == b"jp2c":
            return place
        if length == 1:
            length = struct.unpack_from(">Q", frame, place + 8)[0]
        if length < 8:
            break
        place += length
    return 0


def _jpeg(frame: bytes) -> Coded:
    """From segment to segment up to the scan."""
    place, size = len(_JPEG), None
    while True:
        start, marker, length = struct.unpack_from(">BBH", frame, place)
        body = frame[place + 4 : place + 2 + length]
        if start != 0xFF or length < 2 or len(body) != length - 2:
            raise ValueError("no segment of a JPEG")
        if marker == _SCAN and size and len(body) == 4 + 2 * body[0] <= 4 + 2 * size.samples:
            return size
        if marker in _SIZES and not size:
            size = _size(body)
        elif marker == _HUFFMAN:
            _check_huffman(body)
        elif marker not in _TABLES or (body.startswith(b"Adobe") and body[11] > 1):
            raise ValueError(f"a segment {marker:#x} that may not be there")
        place += 2 + length


def _size(body: bytes) -> Coded:
    bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
    factors, tables = set(body[7::3]), set(body[8::3])
    if len(body) != 6 + 3 * samples or not factors <= _FACTORS or not tables <= set(range(4)):
        raise ValueError("a damaged size")
    return Coded(rows, columns, samples, bits)


def _check_huffman(body: bytes) -> None:
    while body:
        codes = sum(body[1:17])
        if body[0] & 0xEF > 3 or len(body) < 17 + codes or codes > 256:
            raise ValueError("a damaged Huffman table")
        body = body[17 + codes :]
