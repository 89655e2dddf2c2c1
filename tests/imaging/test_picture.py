"""Pictures of every kind become grey levels, or one clear error."""

import gzip
import io
import struct
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from brain_tumor.imaging.coded import read_coded
from brain_tumor.imaging.grey import DecodeError, Slice, middle, square
from brain_tumor.imaging.read import look_at, read_grey, read_slices
from tests.imaging.files import RNG, dicom, nifti, picture, volume
from tests.imaging.test_tiff import FILES

RAMP = np.linspace(0, 255, 48, dtype=np.uint8).reshape(6, 8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_survives_every_lossless_mode(mode: str) -> None:
    data = encoded(Image.fromarray(RAMP).convert(mode))
    assert np.abs(read_grey(data).astype(int) - RAMP).max() <= 1


def test_one_bit_images_become_black_and_white() -> None:
    data = encoded(Image.fromarray(RAMP > 100))
    np.testing.assert_array_equal(read_grey(data), np.where(RAMP > 100, 255, 0))


def test_cmyk_jpeg_is_close_to_its_grey() -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1))
    rgb = Image.fromarray(smooth).convert("RGB")
    data = encoded(rgb.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(read_grey(data).astype(int) - smooth).max() <= 8


def test_transparent_pixels_are_black_whatever_their_colour() -> None:
    white = np.full((4, 4, 4), 255, dtype=np.uint8)
    white[:2, :, 3] = 0
    assert read_grey(encoded(Image.fromarray(white)))[:, 0].tolist() == [0, 0, 255, 255]


def test_transparent_palette_entry_is_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 200, 200, 200])
    assert read_grey(encoded(image, transparency=0)).tolist() == [[0, 200]]


def test_sixteen_bits_keep_the_high_byte() -> None:
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_grey(encoded(Image.fromarray(deep))), RAMP)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [255, 4095, 4096, 16000, 65535])
def test_deep_pictures_keep_256_grey_levels_whatever_their_maximum(top: int, format: str) -> None:  # noqa: A002
    deep = np.linspace(0, top, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    grey = read_grey(encoded(Image.fromarray(deep), format))
    assert np.unique(grey).tolist() == list(range(256))
    np.testing.assert_allclose(grey, deep * (255 / top), rtol=0, atol=1)


def test_deep_pictures_are_stretched_from_their_own_minimum() -> None:
    deep = np.linspace(30000, 34000, 64 * 64).astype(np.uint16).reshape(64, 64)
    assert np.unique(read_grey(encoded(Image.fromarray(deep)))).tolist() == list(range(256))


def test_eight_bits_in_a_deep_file_stay_as_they_are() -> None:
    dim = RAMP // 2 + 9
    np.testing.assert_array_equal(read_grey(encoded(Image.fromarray(dim.astype(np.uint16)))), dim)


def test_fractions_are_not_left_black() -> None:
    unit = (RAMP / 255.0).astype(np.float32)
    np.testing.assert_allclose(read_grey(encoded(Image.fromarray(unit), "TIFF")), RAMP, atol=1)


@pytest.mark.parametrize("top", [1023, 65535])
@pytest.mark.parametrize("plain", [False, True])
def test_deep_colours_of_a_ppm_keep_256_grey_levels(plain: bool, top: int) -> None:
    deep = np.linspace(0, 4000 * top // 65535, 64 * 64).round().astype(">u2").reshape(64, 64)
    colours = np.repeat(deep, 3, axis=1)
    head = f"P{3 if plain else 6}\n# of a scanner\n64 64\n{top}\n".encode()
    words = " ".join(map(str, colours.ravel())).encode()
    grey = read_grey(head + (words if plain else colours.tobytes()))
    np.testing.assert_array_equal(grey, read_grey(encoded(Image.fromarray(deep.astype(np.uint16)))))


@pytest.mark.parametrize("metadata", [0, 100, 1 << 17])
@pytest.mark.parametrize("deep", [False, True])
def test_a_jpeg_2000_may_hold_much_before_its_picture(metadata: int, deep: bool) -> None:
    image = Image.fromarray(RAMP.astype(np.uint16) * 257 if deep else np.dstack([RAMP] * 3))
    data = encoded(image, "JPEG2000")
    place = data.index(b"jp2c") - 4
    box = struct.pack(">L4s", 8 + metadata, b"uuid") + b"\xff\x4f\xff\x51" * (metadata // 4)
    grey = read_grey(data[:place] + box + data[place:])
    np.testing.assert_allclose(grey, RAMP, rtol=0, atol=1)
    assert read_coded(data[:place] + box + data[place:]).bits == (16 if deep else 8)


def test_a_large_png_is_looked_at_without_unpacking_it() -> None:
    data = encoded(Image.new("L", (9000, 9000)))
    started = time.process_time()
    assert look_at(data).width == 9000
    assert time.process_time() - started < 0.1


LACK = """
import resource, sys
import nibabel, pydicom, pydicom.pixels.utils
from pathlib import Path
from brain_tumor.imaging.read import look_at, read_slices
status = Path("/proc/self/status").read_text().split()
used = int(status[status.index("VmSize:") + 1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20),) * 2)
try:
    read_slices(Path(sys.argv[1]).read_bytes())
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of memory is Linux's")
@pytest.mark.parametrize("kind", ["TIFF", "DICOM", "NIfTI"])
def test_too_little_memory_is_not_taken_for_damage(kind: str, tmp_path: Path) -> None:
    even: NDArray[np.uint16] = np.zeros((4000, 4000), np.uint16)
    made = {
        "TIFF": lambda: encoded(Image.fromarray(even), "TIFF"),
        "DICOM": lambda: dicom(even),
        "NIfTI": lambda: nifti(even.view(np.int16)[..., None]),
    }
    (tmp_path / "large").write_bytes(made[kind]())
    ran = subprocess.run(
        [sys.executable, "-c", LACK, str(tmp_path / "large")], capture_output=True, text=True
    )
    assert ran.stdout == "MemoryError\n", ran.stderr


def test_an_even_deep_picture_is_black() -> None:
    assert read_grey(encoded(Image.fromarray(np.full((4, 4), 5000, np.uint16)))).max() == 0


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))],
)
def test_exif_orientation_is_applied(orientation: int, corner: tuple[int, int]) -> None:
    marked = np.zeros((4, 6), dtype=np.uint8)
    marked[0, 0] = 255
    image = Image.fromarray(marked)
    exif = image.getexif()
    exif[0x0112] = orientation
    grey = read_grey(encoded(image, exif=exif))
    assert grey.shape == ((6, 4) if orientation > 4 else (4, 6))
    assert grey[corner] == 255


@pytest.mark.parametrize("data", [b"", b"not an image", encoded(Image.fromarray(RAMP))[:60]])
def test_what_is_no_image_is_named_by_size_and_start(data: bytes) -> None:
    with pytest.raises(DecodeError, match=f"received {len(data)} bytes"):
        read_grey(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_a_picture_is_exactly_what_decode_gives(kind: str) -> None:
    data = picture(kind, "RGB" if kind in ("JPEG", "WEBP") else "L")
    [only] = read_slices(data)
    assert np.array_equal(only.grey, read_grey(data))
    assert (only.name, only.notes) == ("", ())


def tiff(pages: list[NDArray[Any]]) -> bytes:
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_of_a_tiff_of_pages_the_middle_ones_are_taken(depth: type) -> None:
    pages = [RNG.integers(1, np.iinfo(depth).max, (30, 40), depth) for _ in range(9)]
    slices = read_slices(tiff(pages))
    assert [image.name for image in slices] == [f"page {number} of 9" for number in (4, 5, 6)]
    for image, page in zip(slices, pages[3:6], strict=True):
        assert np.array_equal(image.grey, read_grey(tiff([page])))


def test_thumbnails_in_a_tiff_are_no_pages() -> None:
    data = tiff([RNG.integers(0, 255, (side, side), np.uint8) for side in (40, 20, 10)])
    [only] = read_slices(data)
    assert (only.name, only.grey.shape) == ("", (40, 40))
    assert np.array_equal(only.grey, read_grey(data))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    buffer = io.BytesIO()
    first, second = (Image.new("L", (30, 40), grey) for grey in (50, 90))
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    [only] = read_slices(buffer.getvalue())
    assert only.grey.max() == 50


def test_pictures_need_neither_pydicom_nor_nibabel() -> None:
    program = (
        "import sys; from brain_tumor.imaging.read import look_at, read_slices; "
        "read_slices(sys.stdin.buffer.read()); print({'pydicom', 'nibabel'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], input=picture("PNG"), capture_output=True, check=True
    )
    assert ran.stdout.strip() == b"set()"


COMPRESSED = (
    "MR_small_RLE", "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "SC_rgb_jpeg_gdcm",
    "image_dfl", "SC_rgb_rle_2frame", "examples_palette",
)  # fmt: skip
ALL_KINDS = [
    dicom(RNG.integers(0, 900, (40, 40), np.uint16)),
    nifti(volume()),
    gzip.compress(nifti(volume())),
    picture("PNG"),
    picture("TIFF"),
    tiff([RNG.integers(0, 255, (30, 40), np.uint8) for _ in range(5)]),
    *(
        FILES[name]
        for name in (
            "f8-big-miniswhite-lzw.tif",
            "rgb-u2-zlib-separate-predictor.tif",
            "tiled-f8-lzw.tif",
            "predictor3-f8-lzw.tif",
            "rgba-f4-assocalpha-raw.tif",
            "rgb-16.png",
            "grey-16.jp2",
            "la-16-unassalpha.png",
            "bigtiff-f8-big.tif",
            "palette-u1-of-8-bits.tif",
        )
    ),
    picture("MPO", "RGB"),
    *(Path(str(get_testdata_file(f"{name}.dcm"))).read_bytes() for name in COMPRESSED),
]


CHANGES = st.lists(st.tuples(st.integers(0, 2500), st.integers(1, 255)), max_size=6)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, len(ALL_KINDS) - 1), st.floats(0, 1), CHANGES)
def test_damaged_files_are_slices_or_one_clear_error(
    kind: int, kept: float, changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(ALL_KINDS[kind])
    damaged = damaged[: round(kept * len(damaged))]
    for place, flipped in changes:
        if place < len(damaged):
            damaged[place] ^= flipped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        slices, message = outcome(bytes(damaged))
    assert bool(slices) != bool(message)
    assert "secret" not in message.lower()
    assert not any("person" in note.lower() for image in slices for note in image.notes)
    assert all(image.grey.dtype == np.uint8 and image.grey.size for image in slices)


def outcome(data: bytes) -> tuple[list[Slice], str]:
    """Slices, or the one error there may be."""
    try:
        return read_slices(data), ""
    except DecodeError as error:
        return [], str(error)


@given(st.integers(1, 50), st.lists(st.integers(), unique=True, min_size=1, max_size=200))
def test_middle_positions_are_in_order_and_as_many_as_asked(
    count: int, positions: list[int]
) -> None:
    positions.sort()
    chosen = middle(count, positions)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(count, len(positions))
    assert set(chosen) <= set(positions)


def test_square_pixels_stay_as_they_are() -> None:
    levels = RNG.integers(0, 255, (30, 40), np.uint8)
    assert square(levels, 0.5, 0.5) is levels
