"""What a file of the data folder is, and why it cannot be used."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.data.folder import BadImageError, read_facts
from tests import sections
from tests.data.pictures import smooth

PARAMS = sections.validate()


def cut(file: Path, fraction: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * fraction)])


def png_that_claims(file: Path, width: int, height: int) -> None:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    idat = b"IDAT" + zlib.compress(b"")
    body = struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + header + body)


def truncated_jpeg(file: Path) -> None:
    smooth(0).save(file, "JPEG", quality=95)
    cut(file, 0.6)


def truncated_png(file: Path) -> None:
    smooth(0).save(file, "PNG")
    cut(file, 0.6)


def damaged_png(file: Path) -> None:
    smooth(0).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def png_with_a_wrong_checksum(file: Path) -> None:
    smooth(0).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[data.index(b"IEND") - 5] ^= 0xFF  # last byte of the checksum of the last IDAT chunk
    file.write_bytes(data)


def animated_gif(file: Path) -> None:
    smooth(0).save(file, "GIF", save_all=True, append_images=[smooth(1)])


def two_page_tiff(file: Path) -> None:
    smooth(0).save(file, "TIFF", save_all=True, append_images=[smooth(1)])


BAD: list[tuple[Callable[[Path], object], str]] = [
    (lambda file: file.write_bytes(b""), "empty file"),
    (lambda file: file.write_text("not an image"), "not an image"),
    (lambda file: file.write_bytes(b"%PDF-1.7 ..."), "not an image"),
    (lambda file: file.write_bytes(b"\xff\xd8\xff\xe0 then nothing"), "not an image|broken"),
    (truncated_jpeg, "broken image: .*truncated"),
    (truncated_png, "broken image"),
    (damaged_png, "broken image"),
    (png_with_a_wrong_checksum, "broken image"),
    (animated_gif, "animated or multi-page: 2 frames"),
    (two_page_tiff, "animated or multi-page: 2 frames"),
    (lambda file: png_that_claims(file, 6000, 5000), "too large: 6000x5000 px"),
    (lambda file: png_that_claims(file, 60000, 60000), "too large"),
    (lambda file: smooth(0, 40).save(file, "PNG"), "too small: 40x40 px"),
    (lambda _: None, "cannot be read"),
]


@pytest.mark.parametrize(("write", "reason"), BAD)
def test_a_file_that_is_no_usable_image_is_refused_with_the_reason(
    tmp_path: Path, write: Callable[[Path], object], reason: str
) -> None:
    write(tmp_path / "image.jpg")
    with pytest.raises(BadImageError, match=reason):
        read_facts(tmp_path / "image.jpg", PARAMS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F"])
def test_every_pixel_mode_is_fingerprinted_like_its_grey_picture(tmp_path: Path, mode: str) -> None:
    grey = smooth(3).point(lambda value: 255 * (value > 127)) if mode == "1" else smooth(3)
    file = tmp_path / ("image.tif" if mode in ("I", "F") else "image.png")
    if mode == "I;16":
        Image.fromarray(np.asarray(grey).astype(np.uint16) * 16).save(file)
    else:
        grey.convert(mode).save(file)
    grey.save(tmp_path / "grey.png")
    facts, plain = read_facts(file, PARAMS), read_facts(tmp_path / "grey.png", PARAMS)
    assert facts.mode == mode
    assert bin(facts.dhash ^ plain.dhash).count("1") <= 2
    alike = np.corrcoef(facts.thumbnail.ravel(), plain.thumbnail.ravel())[0, 1]
    assert alike > 0.99


def test_a_picture_stored_on_its_side_is_fingerprinted_the_right_way_up(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth(4).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    smooth(4).save(tmp_path / "up.png")
    side, up = (read_facts(tmp_path / name, PARAMS) for name in ("side.png", "up.png"))
    assert (side.orientation, up.orientation) == (6, 1)
    assert side.dhash == up.dhash
