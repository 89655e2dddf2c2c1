"""One reader decides what a file is, whether it is taken, and what is odd about it."""

import gzip
import io
import os
import random
import struct
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from brain_tumor.imaging.grey import KINDS, DecodeError, NoPictureError, UnknownKindError
from brain_tumor.imaging.read import (
    BLANK,
    is_image,
    look_at,
    patient_of,
    read_grey,
    read_single,
    read_slices,
)
from tests.imaging.files import dicom, nifti, volume

RAMP = np.linspace(0, 255, 64 * 80).astype(np.uint8).reshape(64, 80)
HIDDEN = "every pixel is transparent: shown black"
ALONE = "its picture is in its transparency alone: opaque is shown white"


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = encoded(Image.fromarray(RAMP), "JPEG", quality=95)
PNG = encoded(Image.fromarray(RAMP), "PNG")


@pytest.mark.parametrize("kind", ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"])
def test_the_kind_is_told_by_content(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    facts = look_at(encoded(Image.fromarray(RAMP), kind, **options))
    assert (facts.kind, facts.width, facts.height, facts.count) == (kind, 80, 64, 1)
    assert kind in KINDS


def test_dicom_and_nifti_of_a_slice_are_single_pictures() -> None:
    deep = RAMP.astype(np.uint16) * 16
    for data in (dicom(deep), nifti(deep[:, :, None]), gzip.compress(nifti(deep[None]))):
        facts = look_at(data)
        assert facts.count == 1
        assert {facts.width, facts.height} == {64, 80}
        assert np.array_equal(read_grey(data), read_slices(data)[0].grey)


SERIES = np.zeros((64, 80, 1, 3), np.int16)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (dicom(np.zeros((30, 64, 80), np.uint8)), "DICOM of 30 frames: a label of a volume is no"),
        (nifti(volume()), "NIfTI of 36 slices: a label of a volume is no label of its"),
        (nifti(SERIES), "NIfTI of 3 slices: a label of a volume"),
        (encoded(Image.new("L", (80, 64)), "TIFF", save_all=True,
                 append_images=[Image.new("L", (80, 64))]), "multi-page: 2 frames, one is wanted"),
        (encoded(Image.new("L", (80, 64)), "GIF", save_all=True,
                 append_images=[Image.new("L", (80, 64), 9)]), "animated or multi-page: 2 frames"),
    ],
)  # fmt: skip
def test_a_file_of_several_pictures_gets_no_label(data: bytes, message: str) -> None:
    assert look_at(data).count > 1
    assert read_slices(data)
    with pytest.raises(DecodeError, match=message):
        read_single(data)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_that_the_first_frame_of_an_animation_is_used_is_noted(kind: str) -> None:
    frames = [Image.fromarray(255 - RAMP), Image.fromarray(RAMP)]
    options: dict[str, object] = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(Image.fromarray(RAMP), kind, save_all=True, append_images=frames, **options)
    (picture,) = read_slices(data)
    assert picture.notes == ("an animation of 3 frames: the first is used",)
    np.testing.assert_allclose(picture.grey, RAMP, atol=1)


@pytest.mark.parametrize("second", [RAMP, 255 - RAMP, RAMP[:20, :20], np.zeros_like(RAMP)])
def test_of_the_two_pictures_of_a_phone_the_first_is_taken(second: np.ndarray) -> None:
    data = encoded(
        Image.fromarray(RAMP), "MPO", save_all=True, append_images=[Image.fromarray(second)]
    )
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
        expected = np.asarray(image.convert("L"))
    assert look_at(data).kind == "JPEG"
    for sound in (data, data[:-200]):  # also where the second is cut short
        picture = read_single(sound)
        assert picture.notes == ()
        assert np.array_equal(picture.grey, expected)


def test_a_small_copy_in_a_tiff_is_no_page() -> None:
    pages = [Image.fromarray(RAMP[:32, :40]), Image.fromarray(RAMP[:16, :20])]
    data = encoded(Image.fromarray(RAMP), "TIFF", save_all=True, append_images=pages)
    assert np.array_equal(read_grey(data), RAMP)


def with_exif(exif: bytes) -> bytes:
    """The JPEG with a segment of EXIF, whatever that holds."""
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + JPEG[2:]


def orientation(kind: int, count: int, value: bytes) -> bytes:
    return (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0"
        + struct.pack("<HHL", 0x112, kind, count)
        + value
        + bytes(4)
    )


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        orientation(2, 2, b"6\0\0\0"),
        orientation(3, 1, b"\0\0\0\0"),
        orientation(3, 1, b"\x09\0\0\0"),
        orientation(3, 0, b"\x06\0\0\0"),
        orientation(5, 1, b"\x1a\0\0\0"),
        orientation(12, 1, b"\xff\xff\xff\xff"),
    ],
)
def test_odd_exif_leaves_a_sound_picture_as_it_is(exif: bytes) -> None:
    assert np.array_equal(read_grey(with_exif(exif)), read_grey(JPEG))


def test_no_damage_to_exif_refuses_a_sound_picture() -> None:
    exif = Image.Exif()
    exif[0x112], exif[0x10F], exif[0x11A] = 6, "maker", 72.0
    exif.get_ifd(0x8769)[0x9000] = b"0230"
    sound, rng = exif.tobytes(), random.Random(0)
    assert read_grey(with_exif(sound)).shape == (80, 64)
    for _ in range(400):
        damaged = bytearray(sound)
        for _ in range(rng.randint(1, 6)):
            damaged[rng.randrange(6, len(damaged))] = rng.randrange(256)
        assert sorted(read_grey(with_exif(bytes(damaged))).shape) == [64, 80]


def chunk(name: bytes, body: bytes, checksum: bytes = b"") -> bytes:
    sum_ = checksum or struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + sum_


LONG = zlib.compress(b"x" * 5_000_000)


@pytest.mark.parametrize(
    "odd",
    [
        chunk(b"tEXt", b"Comment\0" + b"x" * 2_000_000),
        chunk(b"zTXt", b"Comment\0\0" + LONG),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
        chunk(b"iCCP", b"profile\0\0" + LONG),
        chunk(b"tEXt", b"Comment\0x", checksum=b"none"),
        chunk(b"pHYs", b"12"),
        chunk(b"gAMA", b"1"),
        chunk(b"eXIf", b"no EXIF"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 900_000)) * 90,
    ],
)
def test_what_a_png_says_beside_its_pixels_does_not_refuse_it(odd: bytes) -> None:
    place = PNG.index(b"IDAT") - 4
    data = PNG[:place] + odd + PNG[place:]
    picture = read_single(data)
    assert np.array_equal(picture.grey, RAMP)
    assert look_at(data).width == 80
    assert all("cannot be read" in note for note in picture.notes)


def test_damaged_pixels_are_refused_whatever_else_is_left_out() -> None:
    place = PNG.index(b"IDAT")
    data = bytearray(PNG[: place - 4] + chunk(b"pHYs", b"12") + PNG[place - 4 :])
    data[-20] ^= 0xFF  # in the checksum or the stream of the last chunk of pixels
    with pytest.raises(DecodeError):
        read_grey(bytes(data))


def alpha(grey: np.ndarray, opacity: np.ndarray, kind: str) -> bytes:
    layers = [grey] * 3 if kind != "LA" else [grey]
    picture = Image.fromarray(np.stack([*layers, opacity], axis=-1).astype(np.uint8))
    if kind == "WEBP":
        return encoded(picture, "WEBP", lossless=True, exact=True)
    return encoded(picture, "TIFF" if kind == "TIFF" else "PNG")


@pytest.mark.parametrize("kind", ["RGBA", "LA", "TIFF", "WEBP"])
def test_transparency_is_black_or_is_the_picture_and_says_so(kind: str) -> None:
    none, white = np.zeros_like(RAMP), np.full_like(RAMP, 255)
    seen = read_single(alpha(white, RAMP, kind))
    assert (seen.notes, np.array_equal(seen.grey, RAMP)) == ((), True)
    seen = read_single(alpha(none, RAMP, kind))
    assert (seen.notes, np.array_equal(seen.grey, RAMP)) == ((ALONE,), True)
    seen = read_single(alpha(RAMP, none, kind))
    assert (seen.notes, seen.grey.max()) == ((HIDDEN, BLANK), 0)
    half = np.where(np.arange(80) < 40, 0, 255) + none
    np.testing.assert_array_equal(read_grey(alpha(RAMP, half, kind)), RAMP * (half > 0))


def test_pictures_of_one_value_are_noted_of_every_kind() -> None:
    even = np.full((64, 80), 9, np.uint16)
    for data in (
        encoded(Image.new("L", (80, 64), 9), "PNG"),
        encoded(Image.fromarray(even), "TIFF"),
        dicom(even),
        nifti(even[:, :, None]),
    ):
        assert BLANK in read_single(data).notes


def test_what_is_no_image_is_told_from_what_has_none() -> None:
    with pytest.raises(UnknownKindError, match="not a picture of a known kind"):
        look_at(b"%PDF-1.7 ...")
    report = Path(str(get_testdata_file("test-SR.dcm")))
    with pytest.raises(NoPictureError, match="DICOM without a picture"):
        look_at(report.read_bytes())


def test_files_that_are_meant_as_images(tmp_path: Path) -> None:
    for name, content, meant in (
        ("a", JPEG, True),
        ("scan.1.2.840", dicom(RAMP), True),
        ("broken.jpg", b"no picture", True),
        ("cut.nii.gz", gzip.compress(nifti(volume()))[:20], True),
        ("notes.txt", b"notes", False),
        ("table.csv.gz", gzip.compress(b"a,b"), False),
    ):
        (tmp_path / name).write_bytes(content)
        assert is_image(tmp_path / name) == meant
    assert not is_image(tmp_path / "none")


def test_only_tags_tell_of_a_patient(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(dicom(RAMP))
    (tmp_path / "b").write_bytes(JPEG)
    assert patient_of(tmp_path / "a").startswith("id-")
    assert patient_of(tmp_path / "b") == patient_of(tmp_path / "none") == ""


def test_a_flat_volume_of_another_program_is_what_it_shows(tmp_path: Path) -> None:
    values = RAMP.astype(np.float32)[:, :, None] / 255 - 0.5
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    grey = read_grey((tmp_path / "a.nii.gz").read_bytes())
    np.testing.assert_allclose(grey, RAMP.T[::-1, ::-1], atol=3)


def test_a_pipe_or_a_link_is_not_opened_to_see_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    (tmp_path / "scan.dcm").write_bytes(dicom(RAMP))
    (tmp_path / "link.dcm").symlink_to(tmp_path / "scan.dcm")
    (tmp_path / "link").symlink_to(tmp_path / "scan.dcm")
    assert [patient_of(tmp_path / name) for name in ("pipe.dcm", "link.dcm")] == ["", ""]
    assert [is_image(tmp_path / name) for name in ("pipe.dcm", "scan.dcm", "link")] == [
        True, True, False
    ]  # fmt: skip


def test_a_moving_png_with_a_large_text_is_still_one(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.roll(RAMP, shift)) for shift in range(3)]
    moving = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    text = b"Comment\0" + b"x" * (70 << 20)
    chunk = struct.pack(">I", len(text)) + b"tEXt" + text
    chunk += struct.pack(">I", zlib.crc32(chunk[4:]))
    assert look_at(moving).count == look_at(moving[:33] + chunk + moving[33:]).count == 3
