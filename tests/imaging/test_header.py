"""A small file that would take minutes is refused by its header; any other file is let through."""

import contextlib
import gzip
import io
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from brain_tumor.imaging.grey import DecodeError, square
from brain_tumor.imaging.header import TooLargeError, check_header
from tests.imaging.files import RNG, dicom, nifti

AT_ONCE_S = 2.0  # on a busy machine; most take milliseconds
LARGE = (5001, 5000)  # a little over the limit


def encoded(kind: str, size: tuple[int, int], mode: str = "L", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def pages(count: int, side: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.new("L", (side, side)) for _ in range(count))
    first.save(buffer, "TIFF", save_all=True, append_images=others, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rle_bitmap(width: int, height: int) -> bytes:
    row = bytes([255, 0]) * (width // 255) + bytes([width % 255, 0, 0, 0])
    data = row * height + b"\0\1"
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    start = 14 + len(head) + 1024
    return b"BM" + struct.pack("<III", start + len(data), 0, start) + head + bytes(1024) + data


def directories(count: int, big: bool = False) -> bytes:
    """A TIFF of so many empty pages; Pillow takes long to write them."""
    start, number, place, size = (16, "Q", "Q", 16) if big else (8, "H", "I", 6)
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", start) if big else b"II*\0\x08\0\0\0"
    following = [start + size * (index + 1) for index in range(count - 1)] + [0]
    return head + b"".join(struct.pack(f"<{number}{place}", 0, after) for after in following)


def tags(count: int) -> bytes:
    """A TIFF whose only page has so many tags, 100 times over: its pages overlap."""
    entry = struct.pack("<HHII", 270, 2, 1, 0)
    starts = [8 + 12 * index for index in range(100)]
    body = bytearray(entry * (count + 200))
    for start, after in zip(starts, [*starts[1:], 0], strict=True):
        struct.pack_into("<H", body, start - 8, count)
        struct.pack_into("<I", body, start - 8 + 2 + 12 * count, after)
    return b"II*\0\x08\0\0\0" + bytes(body)


def deflated(data: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def run_length(data: bytes) -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(data))
    dataset.compress(RLELossless)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def nested(count: int, *, closed: bool) -> bytes:
    """A DICOM file with so many tags in a sequence, of a stated length or not."""
    many = struct.pack("<HH2sH", 9, 0x1000, b"LO", 0) * count
    length = len(many) if closed else 0xFFFFFFFF
    ends = (
        [b"", b""] if closed else [struct.pack("<HHI", 0xFFFE, tag, 0) for tag in (0xE00D, 0xE0DD)]
    )
    item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + many + ends[0]
    length = len(item) if closed else 0xFFFFFFFF
    sequence = struct.pack("<HH2sHI", 8, 0x1140, b"SQ", 0, length) + item + ends[1]
    head = dicom(np.zeros((9, 9), np.uint8))
    place = head.index(b"\x08\0\x16\0")  # before its first tag
    return head[:place] + sequence + head[place:]


def even_tiff(width: int, height: int, bits: int, kind: int) -> bytes:
    """A TIFF of one strip of numbers of this many bits, unsigned 1, signed 2 or fractions 3."""
    pixels = zlib.compress(bytes(width * height * bits // 8), 1)
    tags = {256: width, 257: height, 258: bits, 259: 8, 262: 1, 273: 8, 277: 1, 278: height}
    tags |= {279: len(pixels), 339: kind}
    entries = b"".join(struct.pack("<HHLL", name, 4, 1, value) for name, value in tags.items())
    head = b"II*\0" + struct.pack("<L", 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
EMPTY = np.zeros(LARGE, np.uint8)
IHDR = chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0))
JPEG = encoded("JPEG", (64, 64))
SCAN = JPEG[JPEG.rindex(b"\xff\xda") : -2]
GIF = encoded("GIF", (4, 4))
TOO_LARGE = {
    "PNG of the issue": lambda: encoded("PNG", (9400, 9400), "1"),
    "PNG": lambda: encoded("PNG", LARGE),
    "PNG of 16 bits": lambda: encoded("PNG", LARGE, "I;16"),
    "PNG beyond Pillow's bound": lambda: encoded("PNG", (14000, 14000), "1"),
    "PNG of one row": lambda: encoded("PNG", (25_000_001, 1), "1"),
    "PNG of a million chunks": lambda: (
        b"\x89PNG\r\n\x1a\n" + IHDR + chunk(b"tIME", bytes(7)) * 1_000_000
    ),
    "JPEG": lambda: encoded("JPEG", LARGE),
    "JPEG, progressive": lambda: encoded("JPEG", LARGE, progressive=True),
    "JPEG of a million segments": lambda: JPEG[:2] + b"\xff\xfe\0\x02" * 1_000_000 + JPEG[2:],
    "JPEG of a thousand scans": lambda: JPEG[:-2] + SCAN * 1000 + JPEG[-2:],
    "BMP": lambda: encoded("BMP", LARGE, "1"),
    "BMP, run-length": lambda: rle_bitmap(*LARGE),
    "TIFF": lambda: encoded("TIFF", LARGE, compression="tiff_lzw"),
    "TIFF, float": lambda: encoded("TIFF", LARGE, "F", compression="tiff_deflate"),
    "TIFF of the issue": lambda: directories(100_000),
    "BigTIFF of as many": lambda: directories(100_000, big=True),
    "TIFF of 1,001 pages": lambda: directories(1_001),
    "TIFF of three pages": lambda: pages(3, 2900, compression="tiff_lzw"),
    "TIFF of many tags": lambda: tags(60_000),
    "TIFF of small fractions": lambda: even_tiff(8000, 8000, 16, 3),
    "TIFF of signed bytes": lambda: even_tiff(9400, 9400, 8, 2),
    "NIfTI, flat": lambda: gzip.compress(nifti(np.zeros((11000, 11000, 1), np.uint8)), 1),
    "GIF of a million frames": lambda: GIF[:-1] + GIF[GIF.index(b",") : -1] * 1_000_000 + b";",
    "DICOM": lambda: dicom(EMPTY),
    "DICOM, deflated": lambda: deflated(dicom(EMPTY)),
    "DICOM, run-length": lambda: run_length(dicom(EMPTY)),
    "DICOM of three frames": lambda: dicom(np.zeros((3, 2900, 2900), np.uint8), NumberOfFrames=3),
    "DICOM of a million tags": lambda: nested(1_000_000, closed=False),
}


@pytest.mark.parametrize("kind", TOO_LARGE)
def test_what_would_take_long_is_refused_at_once(kind: str) -> None:
    data = TOO_LARGE[kind]()
    started = time.process_time()
    with pytest.raises(TooLargeError) as refused:
        check_header(data, 3)
    assert time.process_time() - started < AT_ONCE_S * (4 if "tags" in kind else 1)
    assert "\n" not in str(refused.value)
    words = ("megapixels", "save it anew", "scale it down")
    assert any(word in str(refused.value) for word in words)


def test_fewer_slices_may_do() -> None:
    data = pages(3, 2900, compression="tiff_lzw")
    check_header(data, 2)
    with pytest.raises(TooLargeError, match="ask for fewer slices"):
        check_header(data, 3)


@pytest.mark.parametrize(
    "data",
    [
        encoded("PNG", (5000, 5000), "1"),
        encoded("JPEG", (5000, 5000), progressive=True),
        encoded("JPEG", (640, 480), "RGB", progressive=True),
        encoded("TIFF", (300, 200), compression="tiff_lzw"),
        pages(40, 64),
        directories(1000),
        rle_bitmap(640, 480),
        dicom(RNG.integers(0, 200, (4, 512, 512), np.uint8), NumberOfFrames=4),
        deflated(dicom(RNG.integers(0, 200, (50, 60), np.uint8))),
        nested(1000, closed=False),
        nested(1000, closed=True),
        bytes(nibabel.Nifti1Image(np.zeros((40, 40, 40), np.int16), np.eye(4)).to_bytes()),
    ],
)
def test_other_files_are_let_through(data: bytes) -> None:
    check_header(data, 3)


@pytest.mark.parametrize("path", [*SHIPPED.glob("*.dcm")], ids=lambda path: path.name)
def test_the_files_that_come_with_pydicom_are_let_through(path: Path) -> None:
    check_header(path.read_bytes(), 3)


@pytest.mark.parametrize("kind", [kind for kind in TOO_LARGE if "million" not in kind])
def test_what_is_cut_short_or_damaged_is_let_through_or_refused(kind: str) -> None:
    data = TOO_LARGE[kind]()
    random = np.random.default_rng(0)
    for length in [*range(0, 400, 7), len(data) // 2, len(data)]:
        damaged = bytearray(data[:length])
        for place in random.integers(0, max(1, min(length, 400)), 3):
            damaged[place : place + 1] = bytes([random.integers(256)]) if damaged else b""
        for part in (data[:length], bytes(damaged)):
            with contextlib.suppress(TooLargeError):
                check_header(part, 3)


@pytest.mark.parametrize("spacing", [(20, 1), (1, 20), (11, 1)])
def test_pixels_that_would_be_many_when_square_are_refused(spacing: tuple[int, int]) -> None:
    with pytest.raises(DecodeError, match="megapixels"):
        square(np.zeros((1600, 1600), np.uint8), *spacing)
