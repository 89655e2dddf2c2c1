"""Numbers of every type, depth, byte order and photometric interpretation become their grey."""

import io
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.read import look_at, read_grey, read_single

# Ramps from the darkest pixel at the top left to the brightest at the bottom right, 8 rows of 16,
# as tifffile 2026.3.3 and imagecodecs 2026.3.6 wrote them. Their names say how: type of number (u2:
# unsigned, 2 bytes), byte order, photometric interpretation, what alpha means, compression.
with tarfile.open(Path(__file__).with_name("ramps.tar.xz")) as archive:
    FILES = {file.name: archive.extractfile(file).read() for file in archive}  # type: ignore[union-attr]
RAMP = np.linspace(0, 255, 8 * 16).reshape(8, 16)


def expected(name: str) -> np.ndarray:
    """The ramp; miniswhite turns it over, and alpha hides its left half."""
    ramp = 255 - RAMP if "miniswhite" in name else RAMP
    hidden = "unassalpha" in name or "assocalpha" in name
    return np.where((np.arange(16) < 8) & hidden, 0, ramp)


@pytest.mark.parametrize("name", FILES)
def test_what_other_programs_write_is_shown_as_they_mean_it(name: str) -> None:
    picture = read_single(FILES[name])
    assert picture.notes == ()
    # Values are stretched from the least to the greatest that is not hidden.
    wanted = expected(name)
    shown = wanted > 0 if "alpha" in name else np.ones_like(wanted, dtype=bool)
    lowest, highest = (float(end(wanted[shown])) for end in (np.min, np.max))
    stretched = np.where(shown, (wanted - lowest) / (highest - lowest) * 255, 0)
    eight = "u1" in name or "-8" in name
    np.testing.assert_allclose(picture.grey, wanted if eight else stretched, rtol=0, atol=2)
    assert len(np.unique(picture.grey)) > (55 if "alpha" in name else 100)


@pytest.mark.parametrize("name", ["f8-big-miniswhite-lzw.tif", "rgb-u2-lzw-separate-predictor.tif"])
def test_every_cut_of_such_a_file_is_one_clear_error_or_a_picture(name: str) -> None:
    data = FILES[name]
    for length in range(0, len(data), 7):
        try:
            grey = read_grey(data[:length])
        except DecodeError:
            continue
        assert grey.shape == (8, 16)


def tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("low", "high"), [(-3.0, 3.0), (0.0, 1e-6), (-1e6, 3e6), (0.0, 1e38), (70_000.0, 80_000.0)]
)
def test_fractions_of_every_size_and_sign_are_stretched(low: float, high: float) -> None:
    values = (low + RAMP / 255 * (high - low)).astype(np.float32)
    np.testing.assert_allclose(read_grey(tiff(values)), RAMP, rtol=0, atol=2)


@pytest.mark.parametrize("kind", [np.float32, np.uint16, np.int32])
def test_a_picture_of_nothing_but_0_and_1_is_black_and_white(kind: type) -> None:
    values: np.ndarray = (RAMP > 100).astype(kind)
    np.testing.assert_array_equal(read_grey(tiff(values)), np.where(values, 255, 0))


def test_values_that_are_no_numbers_are_black_and_noted() -> None:
    values: np.ndarray = (RAMP / 255).astype(np.float32)
    values[0, 5], values[3, 3], values[6, 8] = np.nan, np.inf, -np.inf
    picture = read_single(tiff(values))
    assert picture.notes == ("values that are no numbers are shown black",)
    assert picture.grey[0, 5] == picture.grey[3, 3] == picture.grey[6, 8] == 0
    seen = np.isfinite(values)
    np.testing.assert_allclose(picture.grey[seen], RAMP[seen], rtol=0, atol=2)


def test_nothing_but_nan_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="without a single number"):
        read_grey(tiff(np.full((9, 9), np.nan, np.float32)))


@pytest.mark.parametrize("far", [65535.0, 1e30, -1e30])
def test_a_value_far_from_all_others_does_not_take_their_levels(far: float) -> None:
    values = (np.linspace(100, 4200, 64 * 64)).reshape(64, 64).astype(np.float32)
    values[5, 5] = far
    grey = read_grey(tiff(values))
    assert len(np.unique(grey)) > 240
    assert grey[5, 5] == (255 if far > 0 else 0)


def test_an_area_filled_with_a_value_far_below_does_not_take_the_levels_of_the_rest() -> None:
    values = np.linspace(-500, 2000, 64 * 64).reshape(64, 64).astype(np.float32)
    values[:, :20] = -32768
    grey = read_grey(tiff(values))
    assert not grey[:, :20].any()
    assert len(np.unique(grey[:, 20:])) > 230


def test_numbers_that_are_not_read_are_named() -> None:
    tags = {256: 4, 257: 4, 258: 64, 259: 1, 262: 1, 273: 8, 277: 1, 278: 4, 279: 128, 339: 6}
    entries = b"".join(struct.pack("<HHLL", name, 4, 1, value) for name, value in tags.items())
    data = b"II*\0" + struct.pack("<L", 136) + bytes(128)
    data += struct.pack("<H", len(tags)) + entries + bytes(4)
    with pytest.raises(DecodeError, match=r"64-bit complex or unknown numbers.*save it as 8-"):
        read_grey(data)


def test_a_picture_of_which_strips_are_missing_is_not_shown_black_there() -> None:
    data = bytearray(tiff(np.full((64, 80), 200, np.uint8)))
    tags = struct.unpack_from("<H", data, struct.unpack_from("<L", data, 4)[0])[0]
    for place in range(struct.unpack_from("<L", data, 4)[0] + 2, len(data), 12)[:tags]:
        if struct.unpack_from("<H", data, place)[0] == 278:  # rows of a strip: fewer than all
            struct.pack_into("<HL", data, place + 2, 4, 1)
            struct.pack_into("<L", data, place + 8, 32)
    with pytest.raises(DecodeError, match="truncated: 1 of 2 strips"):
        read_grey(bytes(data))


def test_pages_without_end_are_refused() -> None:
    data = bytearray(tiff(np.zeros((4, 4), np.uint8)))
    place = struct.unpack_from("<L", data, 4)[0]
    count = struct.unpack_from("<H", data, place)[0]
    struct.pack_into("<L", data, place + 2 + 12 * count, place)
    with pytest.raises(DecodeError, match="pages have no end"):
        look_at(bytes(data))
