"""Numbers of every type, depth, byte order and photometric interpretation become their grey."""

import io
import struct
import tarfile
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.read import look_at, read_grey, read_single, read_slices

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


def written(pages: list[tuple[dict[int, list[int]], bytes]]) -> bytes:
    """A TIFF of pages by their tags, of which 273 or 324 are counted from a page's own pixels."""
    data = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for tags, pixels in pages:
        start = len(data)
        data += pixels + b"\0" * (len(pixels) % 2)
        entries, values, place = b"", b"", len(data) + 2 + 12 * len(tags) + 4
        for name, numbers in sorted(tags.items()):
            shifted = [number + start for number in numbers] if name in (273, 324) else numbers
            packed = struct.pack(f"<{len(shifted)}L", *shifted)
            at = packed if len(shifted) == 1 else struct.pack("<L", place + len(values))
            values += b"" if len(shifted) == 1 else packed
            entries += struct.pack("<HHL", name, 4, len(shifted)) + at
        struct.pack_into("<L", data, link, len(data))
        link = len(data) + 2 + len(entries)
        data += struct.pack("<H", len(tags)) + entries + bytes(4) + values
    return bytes(data)


def plain(values: np.ndarray, **more: int) -> tuple[dict[int, list[int]], bytes]:
    """A page of one strip of grey; `more` are tags by number, as `t254=1`."""
    height, width = values.shape
    tags = {256: width, 257: height, 258: 8 * values.itemsize, 259: 1, 262: 1, 273: 0, 277: 1}
    tags |= {278: height, 279: values.nbytes} | {int(name[1:]): more[name] for name in more}
    return {name: [value] for name, value in tags.items()}, values.tobytes()


def test_a_picture_of_which_tiles_are_missing_is_not_shown_black_there() -> None:
    tags, pixels = plain(np.full((32, 32), 200, np.uint8), t322=16, t323=16)
    for name in (273, 278, 279):
        del tags[name]
    tags |= {324: [0, 256, 512, 768], 325: [256] * 4}
    assert np.unique(read_grey(written([(tags, pixels)]))).tolist() == [200]
    tags |= {324: [0, 256], 325: [256] * 2}
    with pytest.raises(DecodeError, match="truncated: 2 of 4 tiles"):
        read_grey(written([(tags, pixels)]))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_of_which_planes_are_missing_is_refused(bits: int) -> None:
    tags, pixels = plain(np.full((8, 8), 200, f"u{bits // 8}"), t262=2, t277=3, t284=2)
    tags[258] = [bits] * 3
    with pytest.raises(DecodeError, match="truncated: 1 of 3 strips"):
        read_grey(written([(tags, pixels)]))
    tags |= {273: [0] * 3, 279: tags[279] * 3}
    assert read_grey(written([(tags, pixels)])).shape == (8, 8)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 255, (height, width), np.uint8)


@pytest.mark.parametrize("marks", [{}, {"t254": 1}, {"t254": 4}])
def test_a_thumbnail_before_its_picture_is_no_picture(marks: dict[str, int]) -> None:
    data = written([plain(noise(32, 32), **marks), plain(noise(64, 64))])
    assert (look_at(data).width, look_at(data).count) == (64, 1)
    np.testing.assert_array_equal(read_grey(data), noise(64, 64))


def test_a_large_copy_that_is_marked_is_no_picture() -> None:
    data = written([plain(noise(60, 60), t254=1), plain(noise(64, 64))])
    np.testing.assert_array_equal(read_grey(data), noise(64, 64))


def test_of_marked_copies_alone_the_largest_is_the_picture() -> None:
    data = written([plain(noise(32, 32), t254=1), plain(noise(64, 64), t254=1)])
    np.testing.assert_array_equal(read_grey(data), noise(64, 64))
    assert read_grey(written([plain(np.full((1, 1), 9, np.uint8))])).tolist() == [[9]]


def test_pages_of_different_size_are_several_pictures() -> None:
    data = written([plain(noise(60, 64)), plain(noise(64, 64)), plain(noise(20, 32))])
    assert (look_at(data).width, look_at(data).count) == (64, 3)
    assert [part.grey.shape for part in read_slices(data)] == [(64, 60), (64, 64), (32, 20)]
    with pytest.raises(DecodeError, match="multi-page: 3"):
        read_single(data)


@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(
    ("kind", "low"), [("u8", 0), ("u8", 2**63), ("u8", 2**64 - 2000), ("i8", -(2**62)), ("i8", 0)]
)
def test_numbers_of_64_bits_keep_their_levels(kind: str, low: int, white_is_zero: bool) -> None:
    values = np.arange(1024).reshape(32, 32).astype(kind) + np.array(low, kind)
    samples = 1 if kind == "u8" else 2
    data = written([plain(values, t262=int(not white_is_zero), t339=samples)])
    grey = read_grey(data)
    wanted = np.arange(1024).reshape(32, 32) / 1023 * 255
    np.testing.assert_allclose(grey, 255 - wanted if white_is_zero else wanted, rtol=0, atol=1)


def test_numbers_of_64_bits_over_their_whole_range_are_stretched() -> None:
    values = np.linspace(-(2.0**63), 2.0**63 - 2048, 1024).astype("i8").reshape(32, 32)
    grey = read_grey(written([plain(values, t339=2)]))
    np.testing.assert_allclose(grey.ravel(), np.linspace(0, 255, 1024), rtol=0, atol=1)


@pytest.mark.parametrize("top", [127, 255 * 16, 255 * 100, 65535])
def test_colours_of_grey_have_the_levels_of_grey(top: int) -> None:
    deep = np.linspace(0, top, 256).round().astype(np.uint16).reshape(16, 16)
    tags, pixels = plain(np.repeat(deep, 3, axis=1), t262=2, t277=3)
    tags |= {256: [16], 258: [16] * 3}
    np.testing.assert_array_equal(read_grey(written([(tags, pixels)])), read_grey(tiff(deep)))


def test_colours_of_eight_bits_in_a_deep_file_are_those_of_eight_bits() -> None:
    colours = np.random.default_rng(0).integers(0, 128, (32, 32, 3), np.uint16)
    tags, _ = plain(colours[..., 0], t262=2, t277=3)
    tags |= {258: [16] * 3, 279: [colours.nbytes]}
    np.testing.assert_array_equal(
        read_grey(written([(tags, colours.tobytes())])), read_grey(tiff(colours.astype(np.uint8)))
    )


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32])
def test_numbers_of_an_undefined_kind_are_unsigned(kind: type) -> None:
    values: np.ndarray = (RAMP * (1 if kind == np.uint8 else 200)).astype(kind)
    data = written([plain(values, t339=4)])
    np.testing.assert_array_equal(read_grey(data), read_grey(written([plain(values)])))
    assert look_at(data).mode == f"u{8 * values.itemsize}"


def test_inks_of_more_than_eight_bits_are_refused_by_name() -> None:
    inks = np.linspace(0, 4095, 16 * 16 * 4).astype(np.uint16).reshape(16, 16, 4)
    tags, _ = plain(inks[..., 0], t262=5, t277=4)
    tags |= {258: [16] * 4, 279: [inks.nbytes]}
    with pytest.raises(DecodeError, match="CMYK of more than 8 bits"):
        read_grey(written([(tags, inks.tobytes())]))


def test_overlapping_lists_of_strips_are_not_read_page_for_page() -> None:
    offsets = struct.pack("<L", 8) * 1_000_000
    data = bytearray(b"II*\0" + struct.pack("<L", 8 + len(offsets)) + offsets)
    for page in range(500):
        after = 0 if page == 499 else len(data) + 2 + 12 * 3 + 4
        data += struct.pack("<H", 3)
        for name, count, value in ((256, 1, 64), (257, 1, 64), (273, 1_000_000, 8)):
            data += struct.pack("<HHLL", name, 4, count, value)
        data += struct.pack("<L", after)
    started = time.process_time()
    assert look_at(bytes(data)).count == 500
    assert time.process_time() - started < 3
