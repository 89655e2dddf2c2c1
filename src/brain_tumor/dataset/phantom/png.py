"""Grey PNG whose bytes depend on the pixels only, not on a compression library's version."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

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
    blocks = [_block(data[start : start + _BLOCK], start == starts[-1]) for start in starts]
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(data))


def _block(data: bytes, last: bool) -> bytes:
    return struct.pack("<BHH", last, len(data), len(data) ^ 0xFFFF) + data
