""""""

import hashlib
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.data.check import describe
from brain_tumor.data.folder import BadImageError, find_images, read_facts
from brain_tumor.errors import UserError
from brain_tumor.outputs import (
    MANIFEST_COLUMNS,
    load_images,
    read_manifest,
    save_image,
    stored,
    write_manifest,
)
from tests import sections

PARAMS = sections.validate()


def picture(seed: int, side_px: int = 96) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, size=(9, 9), dtype=np.uint8)
    return Image.fromarray(noise).resize((side_px, side_px), Image.Resampling.BICUBIC)


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
    picture(0).save(file, "JPEG", quality=95)
    cut(file, 0.6)


def truncated_png(file: Path) -> None:
    picture(0).save(file, "PNG")
    cut(file, 0.6)


def damaged_png(file: Path) -> None:
    picture(0).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


def png_with_a_wrong_checksum(file: Path) -> None:
    picture(0).save(file, "PNG")
    data = bytearray(file.read_bytes())
    data[data.index(b"IEND") - 5] ^= 0xFF  # last byte of the checksum of the last IDAT chunk
    file.write_bytes(data)


def animated_gif(file: Path) -> None:
    picture(0).save(file, "GIF", save_all=True, append_images=[picture(1)])


def two_page_tiff(file: Path) -> None:
    picture(0).save(file, "TIFF", save_all=True, append_images=[picture(1)])


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
    (lambda file: picture(0, 40).save(file, "PNG"), "too small: 40x40 px"),
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
    grey = picture(3).point(lambda value: 255 * (value > 127)) if mode == "1" else picture(3)
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
    picture(4).transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    picture(4).save(tmp_path / "up.png")
    side, up = (read_facts(tmp_path / name, PARAMS) for name in ("side.png", "up.png"))
    assert (side.orientation, up.orientation) == (6, 1)
    assert side.dhash == up.dhash


def data_folder(root: Path) -> Path:
    for folder, seed, name in (("no", 1, "b.png"), ("no", 2, "a.jpg"), ("yes", 3, "c.bmp")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        picture(seed).save(root / folder / name)
    return root


def test_manifest_holds_what_the_files_are(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    described = describe(data, find_images(data, PARAMS), PARAMS)
    manifest = described.manifest
    assert described.errors == described.warnings == []
    assert list(manifest.columns) == list(MANIFEST_COLUMNS)
    assert list(manifest["path"]) == ["no/a.jpg", "no/b.png", "yes/c.bmp"]
    assert list(manifest["label"]) == ["no", "no", "yes"]
    assert list(manifest["format"]) == ["JPEG", "PNG", "BMP"]
    assert set(manifest["width"]) == set(manifest["height"]) == {96}
    for row in manifest.itertuples():
        content = (data / str(row.path)).read_bytes()
        assert (row.bytes, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert len(str(row.dhash)) == 16
    assert list(manifest["group"]) == list(manifest["path"])


def test_labels_stay_yes_and_no_whatever_the_folders_are_called(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    (data / "no").rename(data / "healthy")
    (data / "yes").rename(data / "glioma")
    params = sections.validate(negative_folder="healthy", positive_folder="glioma")
    manifest = describe(data, find_images(data, params), params).manifest
    assert dict(zip(manifest["path"], manifest["label"], strict=True)) == {
        "glioma/c.bmp": "yes",
        "healthy/a.jpg": "no",
        "healthy/b.png": "no",
    }


def test_a_written_manifest_reads_back_the_same_even_with_awkward_texts(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    (data / "no" / "a.jpg").rename(data / "no" / 'NA, "x" é.jpg')
    rows = ["path,patient", '"no/NA, ""x"" é.jpg",007', "no/b.png,", "yes/c.bmp,1e5"]
    (data / "patients.csv").write_text("\n".join(rows), encoding="utf-8")
    described = describe(data, find_images(data, PARAMS), PARAMS)
    assert described.errors == []
    described.manifest["dhash"] = "12e4567890123456"
    write_manifest(described.manifest, tmp_path / "manifest.csv")
    again = read_manifest(tmp_path / "manifest.csv")
    assert again.equals(described.manifest)
    assert again["patient"].to_list() == ["007", "", "1e5"]


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\nno/a.png,no\n")
    with pytest.raises(ValueError, match=r"columns .*'format'.* are missing"):
        read_manifest(tmp_path / "manifest.csv")


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 20, 20)).astype(np.uint8)
PATHS = ["no/1 no.jpeg", "yes/Y1.JPG", "yes/a.b.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, image in zip(PATHS, IMAGES, strict=True):
        save_image(stored(tmp_path, path), image)
    return tmp_path


def test_images_come_back_in_the_order_asked(folder: Path) -> None:
    loaded = load_images(folder, PATHS[::-1])
    np.testing.assert_array_equal(loaded, IMAGES[::-1])
    assert loaded.dtype == np.uint8


def test_the_stored_name_keeps_the_original_extension(folder: Path) -> None:
    assert (folder / "no" / "1 no.jpeg.png").is_file()


def test_nothing_asked_is_an_empty_array(folder: Path) -> None:
    assert load_images(folder, []).shape == (0, 0, 0)


def test_a_missing_image_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no/2\.png\.png: cannot be read"):
        load_images(folder, [*PATHS, "no/2.png"])


@pytest.mark.parametrize("shape", [(21, 21), (20, 30)])
def test_an_image_of_another_shape_is_named(shape: tuple[int, int], folder: Path) -> None:
    save_image(stored(folder, "no/odd.png"), np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=r"odd\.png\.png: shape"):
        load_images(folder, [*PATHS, "no/odd.png"])


def test_a_coloured_image_is_refused(folder: Path) -> None:
    save_image(stored(folder, "no/rgb.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UserError, match="mode RGB"):
        load_images(folder, ["no/rgb.png"])
