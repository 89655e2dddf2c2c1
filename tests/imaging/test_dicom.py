"""DICOM files come out as their scanner's makers mean them to be seen."""

import io
import itertools
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_voi_lut
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEGBaseline8Bit,
)

from brain_tumor.imaging.grey import DecodeError, square
from brain_tumor.imaging.read import look_at, read_slices
from tests.imaging.files import RNG, dicom


def test_stored_window_decides_the_levels() -> None:
    ramp = np.tile(np.arange(0, 400, 4, dtype=np.uint16), (80, 1))
    [image] = read_slices(dicom(ramp, WindowCenter=200, WindowWidth=200))
    assert image.grey[0, 20] == 0
    assert image.grey[0, 80] == 255
    assert image.grey[0, 50] == pytest.approx(128, abs=3)


def test_rescaling_alone_changes_nothing_seen() -> None:
    ramp = np.tile(np.arange(1, 401, 4, dtype=np.uint16), (80, 1))
    plain, scaled = (
        read_slices(dicom(ramp, **tags))[0].grey
        for tags in ({}, {"RescaleSlope": 3, "RescaleIntercept": 0})
    )
    assert np.array_equal(plain, scaled)
    assert plain.max() == 255


def test_eight_bit_pictures_stay_as_they_are() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    assert np.array_equal(read_slices(dicom(levels))[0].grey, levels)


def test_inverted_pictures_are_turned_over() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    inverted = dicom(255 - levels, PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(read_slices(inverted)[0].grey, levels)


def test_pixels_are_made_square() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    [image] = read_slices(dicom(levels, PixelSpacing=[1.0, 0.5]))
    assert image.grey.shape == (100, 60)


def test_middle_frames_are_taken() -> None:
    frames = np.stack([np.full((50, 60), level, np.uint8) for level in range(30)])
    slices = read_slices(dicom(frames), 3)
    assert [image.name for image in slices] == [f"frame {n} of 30" for n in (11, 15, 20)]
    assert [int(image.grey[0, 0]) for image in slices] == [10, 14, 19]


def test_another_modality_or_body_part_is_noted() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    [image] = read_slices(dicom(levels, Modality="CT", BodyPartExamined="KNEE"))
    assert image.notes == (
        "DICOM says modality CT, not MR",
        "DICOM says body part KNEE, not head",
    )
    assert read_slices(dicom(levels, BodyPartExamined="HEADNECK"))[0].notes == ()


@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm",
     "MR_small_jpeg_ls_lossless.dcm", "MR_small_implicit.dcm"],
)  # fmt: skip
def test_one_picture_in_every_syntax(name: str) -> None:
    read = [Path(str(get_testdata_file(file))).read_bytes() for file in (name, "MR_small.dcm")]
    first, second = (read_slices(data)[0].grey for data in read)
    assert first.shape == (64, 64)
    assert np.abs(first.astype(int) - second).max() <= 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("JPEG-lossy.dcm", r"JPEG Extended.*gdcmconv"),
        ("test-SR.dcm", "without a picture .*SR"),
        ("MR_truncated.dcm", "damaged"),
    ],
)
def test_what_cannot_be_read_is_said(name: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_slices(Path(str(get_testdata_file(name))).read_bytes())


def test_colour_becomes_luma() -> None:
    data = Path(str(get_testdata_file("SC_rgb_rle.dcm"))).read_bytes()
    colours = pydicom.dcmread(io.BytesIO(data)).pixel_array
    expected = np.asarray(Image.fromarray(colours).convert("L"))
    assert np.array_equal(read_slices(data)[0].grey, expected)


def test_a_window_is_that_of_the_file_however_narrow_the_values() -> None:
    levels = np.full((50, 60), 120, np.uint16)
    levels[:, 30:] = 80
    [image] = read_slices(dicom(levels, WindowCenter=100.5, WindowWidth=201))
    assert (image.grey[0, 0], image.grey[0, 40]) == (153, 102)


def test_a_window_that_shows_nothing_is_not_used() -> None:
    ramp = np.tile(np.arange(400, 800, 4, dtype=np.uint16), (80, 1))
    [image] = read_slices(dicom(ramp, WindowCenter=9000, WindowWidth=10))
    assert np.ptp(image.grey) > 200


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_every_window_function_agrees_with_pydicom(function: str) -> None:
    ramp = np.tile(np.arange(0, 256, dtype=np.uint16), (80, 1))
    tags = {"WindowCenter": 120, "WindowWidth": 90, "VOILUTFunction": function}
    data = dicom(ramp, **tags, BitsStored=8, HighBit=7)
    shown = apply_voi_lut(ramp, pydicom.dcmread(io.BytesIO(data)))
    assert np.abs(read_slices(data)[0].grey - np.asarray(shown, float)).max() <= 1


def test_a_table_of_levels_is_followed() -> None:
    levels = np.tile(np.arange(100, dtype=np.uint16), (80, 1))
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [100, 0, 16], [65_535 - 600 * n for n in range(100)]
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    [image] = read_slices(dicom(levels, VOILUTSequence=[table]))
    assert image.grey[0, :3].tolist() == [255, 253, 250]


def test_groups_of_tags_hold_for_their_frames() -> None:
    frames = np.stack([np.tile(np.arange(60, dtype=np.uint16), (50, 1))] * 2)

    def group(**tags: object) -> Dataset:
        item, groups = Dataset(), Dataset()
        for name, value in tags.items():
            setattr(item, name, value)
        groups.FrameVOILUTSequence = [item]
        return groups

    shared = Dataset()
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [2.0, 1.0]
    own = [group(WindowCenter=20.5, WindowWidth=41), group(WindowCenter=40.5, WindowWidth=41)]
    slices = read_slices(
        dicom(frames, SharedFunctionalGroupsSequence=[shared], PerFrameFunctionalGroupsSequence=own)
    )
    assert [image.grey.shape for image in slices] == [(100, 60)] * 2
    assert [int(image.grey[0, 20]) for image in slices] == [128, 0]


def test_pixels_much_longer_one_way_are_refused() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    with pytest.raises(DecodeError, match="no picture"):
        read_slices(dicom(levels, PixelSpacing=[90.0, 0.5]))


def test_pixels_that_would_become_too_many_are_refused() -> None:
    levels = np.zeros((1500, 1500), np.uint8)
    with pytest.raises(DecodeError, match="with square ones more than 25 megapixels"):
        read_slices(dicom(levels, PixelSpacing=[0.5, 9.0]))


def test_files_without_preamble_are_known_too() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    [image] = read_slices(dicom(levels)[132:])
    assert np.array_equal(image.grey, levels)


def test_files_without_any_header_are_known_too() -> None:
    levels = RNG.integers(10, 2000, (50, 60), np.uint16)
    dataset, file = pydicom.dcmread(io.BytesIO(dicom(levels))), io.BytesIO()
    del dataset.file_meta
    pydicom.dcmwrite(file, dataset, implicit_vr=True, little_endian=True)
    [image] = read_slices(file.getvalue())
    assert np.array_equal(image.grey, read_slices(dicom(levels))[0].grey)


@pytest.mark.parametrize(("kind", "syntax"), [("JPEG", JPEGBaseline8Bit), ("JPEG2000", JPEG2000)])
def test_a_frame_larger_than_told_is_refused_before_it_is_unpacked(kind: str, syntax: UID) -> None:
    frame = io.BytesIO()
    Image.new("L", (3000, 2000)).save(frame, kind)
    with pytest.raises(DecodeError, match="64 x 64 pixels with a packed picture of 2000 x 3000"):
        read_slices(packed(frame.getvalue(), syntax))


def test_what_is_deflated_may_not_grow_without_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = RNG.integers(10, 200, (500, 600), np.uint8)
    dataset, file = pydicom.dcmread(io.BytesIO(dicom(levels))), io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.save_as(file, enforce_file_format=True)
    assert np.array_equal(read_slices(file.getvalue())[0].grey, levels)
    monkeypatch.setattr("brain_tumor.imaging.dicom.MAX_BYTES", 100_000)
    with pytest.raises(DecodeError, match="deflated DICOM: more than this reads"):
        read_slices(file.getvalue())


@pytest.mark.parametrize(
    ("syntax", "name"), [(HTJ2KLossless, "High-Throughput"), (UID("1.2.3.4"), "unknown")]
)
def test_a_compression_that_is_not_known_is_named(syntax: UID, name: str) -> None:
    with pytest.raises(DecodeError, match=rf"{name}.*gdcmconv"):
        read_slices(packed(bytes(60), syntax))


def test_free_text_is_not_repeated() -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what is written here
        data = dicom(levels, BodyPartExamined="knee of Mr. Secret^Person", Modality="MR")
    assert read_slices(data)[0].notes == ("DICOM says another body part, not head",)


def packed(frame: bytes, syntax: UID) -> bytes:
    """A DICOM file of 64 x 64 pixels with a compressed frame."""
    dataset = pydicom.dcmread(io.BytesIO(dicom(np.zeros((64, 64), np.uint8))))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    file = io.BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("SC_rgb_jpeg_gdcm", 2, 160),
        ("SC_rgb_jpeg_gdcm", 17, 195),
        ("SC_rgb_jpeg_gdcm", 22, 33),
        ("SC_rgb_jpeg_gdcm", 37, 217),
        ("MR_small_jpeg_ls_lossless", 6, 20),
    ],
)
def test_headers_at_which_gdcm_ends_the_process_do_not_reach_it(
    name: str, place: int, value: int
) -> None:
    data = bytearray(Path(str(get_testdata_file(f"{name}.dcm"))).read_bytes())
    data[data.rindex(b"\xff\xd8\xff") + place] = value
    with pytest.raises(DecodeError, match="damaged"):
        read_slices(bytes(data))


@pytest.mark.parametrize(("x", "y", "down_sign"), [(0, 1, 1), (0, 2, -1), (1, 2, -1)])
def test_every_stored_orientation_of_a_slice_is_shown_the_same_way(
    x: int, y: int, down_sign: int
) -> None:
    shown = np.random.default_rng(0).integers(10, 200, (40, 60), np.uint8)
    for turned, flip_x, flip_y in itertools.product((False, True), repeat=3):
        stored = shown[:: -1 if flip_y else 1, :: -1 if flip_x else 1]
        across, down = np.zeros(3), np.zeros(3)
        across[x], down[y] = -1 if flip_x else 1, -down_sign if flip_y else down_sign
        spacing = [1.0, 0.5]
        if turned:
            stored, across, down, spacing = stored.T, down, across, [0.5, 1.0]
        data = dicom(
            np.ascontiguousarray(stored),
            ImageOrientationPatient=[*map(float, across), *map(float, down)],
            PixelSpacing=spacing,
        )
        assert np.array_equal(read_slices(data)[0].grey, square(shown, 1.0, 0.5))


def test_an_oblique_slice_is_turned_by_its_main_axes() -> None:
    shown = np.random.default_rng(0).integers(10, 200, (40, 60), np.uint8)
    tilted = [-0.96, 0.28, 0.0, 0.28, 0.96, 0.0]
    [image] = read_slices(dicom(shown, ImageOrientationPatient=tilted))
    assert np.array_equal(image.grey, shown[:, ::-1])


def test_free_text_in_place_of_a_body_part_is_not_repeated() -> None:
    levels = np.random.default_rng(0).integers(10, 200, (40, 60), np.uint8)
    [image] = read_slices(dicom(levels, BodyPartExamined="SMITH JOHN"))
    assert image.notes == ("DICOM says another body part, not head",)
    assert read_slices(dicom(levels, BodyPartExamined="PITUITARY"))[0].notes == ()


@pytest.mark.parametrize("said", ["monochrome2", " MONOCHROME2", "Monochrome1 "])
def test_how_a_photometric_interpretation_is_written_does_not_matter(said: str) -> None:
    levels = RNG.integers(10, 200, (50, 60), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom, of such a code
        data = dicom(levels, PhotometricInterpretation=said)
    usual = dicom(levels, PhotometricInterpretation=said.strip().upper())
    assert np.array_equal(read_slices(data)[0].grey, read_slices(usual)[0].grey)


@pytest.mark.parametrize(("name", "kind"), [("Float", "f4"), ("DoubleFloat", "f8")])
def test_the_mode_of_fractions_is_told_in_bits(name: str, kind: str) -> None:
    dataset = pydicom.dcmread(io.BytesIO(dicom(np.zeros((5, 6), np.uint8))))
    del dataset.PixelData
    setattr(dataset, f"{name}PixelData", np.zeros((5, 6), kind).tobytes())
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    assert look_at(buffer.getvalue()).mode == f"f{8 * int(kind[1])}"
