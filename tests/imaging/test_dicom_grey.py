"""What PS3.3 C.7.6.3, C.11.1 and C.11.2 say of a pixel's grey is honoured, or refused by name."""

import io
import itertools
import warnings
from typing import Any, Literal

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
)

from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.read import look_at, read_single

LITTLE, BIG = ExplicitVRLittleEndian, ExplicitVRBigEndian
SYNTAXES = (ImplicitVRLittleEndian, LITTLE, BIG)
INDEX = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
DEEP = INDEX.astype(np.uint16) * 16  # 12 bits
SIGNED = DEEP.astype(np.int16) - 2048
WHOLE: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
FLOATS = {4: "FloatPixelData", 8: "DoubleFloatPixelData"}


def dicom(pixels: NDArray[Any], syntax: UID = LITTLE, **tags: Any) -> bytes:
    """A file of (H, W) numbers or (H, W, samples) colours, in the byte order of its syntax."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, syntax
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = pixels.shape[2] if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    order: Literal["<", ">"] = ">" if syntax == BIG else "<"
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    if pixels.dtype.kind == "f":
        setattr(dataset, FLOATS[pixels.dtype.itemsize], data)
    else:
        dataset.BitsStored, dataset.HighBit = dataset.BitsAllocated, dataset.BitsAllocated - 1
        dataset.PixelRepresentation, dataset.PlanarConfiguration = int(pixels.dtype.kind == "i"), 0
        dataset.PixelData = data
        dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of what the tests get wrong on purpose
        for name, value in tags.items():
            setattr(dataset, name, value)
        file = io.BytesIO()
        pydicom.dcmwrite(
            file,
            dataset,
            implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != BIG,
            enforce_file_format=True,
        )
    return file.getvalue()


def words(values: NDArray[Any], syntax: UID, *, packed: bool = False) -> bytes:
    """Entries of a table as OW: a word each, or, packed, two of 8 bits in a word, lower first."""
    numbers = values.astype("<u2") if not packed else values.astype(np.uint8).view("<u2")
    return numbers.astype(">u2" if syntax == BIG else "<u2").tobytes()


def table(first: int, bits: int, data: Any, entries: int, kind: str = "OW") -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [entries % 65536, first, bits], data
    item["LUTDescriptor"].VR = "SS" if first < 0 else "US"
    item["LUTData"].VR = kind
    return item


def close(data: bytes, expected: NDArray[Any], levels: float = 1) -> tuple[str, ...]:
    """The notes of a picture that must look so."""
    picture = read_single(data)
    np.testing.assert_allclose(picture.grey, expected, rtol=0, atol=levels)
    return picture.notes


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("encoding", ["words", "numbers", "packed"])
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_of_every_encoding_are_followed(syntax: UID, encoding: str, name: str) -> None:
    """Larger values are darker, which no window and no percentile would give."""
    entries, bits = (256, 8) if encoding == "packed" else (4096, 16)
    outputs = np.arange(entries)[::-1] * (1 if bits == 8 else 16)
    pixels = (DEEP // 16).astype(np.uint16) if bits == 8 else DEEP
    data: Any = words(outputs, syntax, packed=bits == 8)
    item = table(0, bits, data, entries)
    if encoding == "numbers":
        item = table(0, bits, outputs.tolist(), entries, "US")
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    tags = {name: [item]} | (window if name == "ModalityLUTSequence" else {})
    assert close(dicom(pixels, syntax, **tags), 255 - INDEX) == ()


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("first", [-2048, 65536 - 2048])
@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
def test_tables_may_begin_below_zero_whatever_type_says_so(
    syntax: UID, first: int, name: str
) -> None:
    item = table(first, 16, words(np.arange(4096) * 16, syntax), 4096)
    window = {"WindowCenter": 32768, "WindowWidth": 65536}
    tags = {name: [item]} | (window if name == "ModalityLUTSequence" else {})
    close(dicom(SIGNED, syntax, **tags), INDEX)


def test_no_entries_mean_as_many_as_16_bits_have() -> None:
    item = table(0, 16, words(np.arange(65536), LITTLE), 65536)
    close(dicom(DEEP * 16, VOILUTSequence=[item]), INDEX)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (table(0, 16, words(np.arange(100), LITTLE), 4096), "lookup table of 200 entries instead"),
        (table(0, 40, words(np.arange(4096), LITTLE), 4096), "lookup table of 40 bits"),
    ],
)
def test_tables_that_are_none_are_named(item: Dataset, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        read_single(dicom(DEEP, VOILUTSequence=[item]))


def test_tables_agree_with_pydicom() -> None:
    rng = np.random.default_rng(0)
    outputs = np.sort(rng.integers(0, 65536, 4096))
    modality = table(0, 16, words(np.arange(4096) ** 2 // 256, LITTLE), 4096)
    data = dicom(
        DEEP,
        ModalityLUTSequence=[modality],
        VOILUTSequence=[table(0, 16, words(outputs, LITTLE), 4096)],
    )
    dataset = pydicom.dcmread(io.BytesIO(data))
    shown = apply_voi_lut(apply_modality_lut(DEEP, dataset), dataset)
    close(data, shown / 65535 * 255)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(
    ("high_bit", "signed"), list(itertools.product((11, 13, 15), (False, True)))
)
def test_only_stored_bits_count_wherever_they_lie(syntax: UID, high_bit: int, signed: bool) -> None:
    shift = high_bit - 11
    pixels = (DEEP ^ 0x800 if signed else DEEP) << shift
    pixels |= np.uint16(0xFFFF ^ (0xFFF << shift))  # overlays, once, stood in the others
    tags = {"BitsStored": 12, "HighBit": high_bit, "PixelRepresentation": int(signed)}
    window = {"WindowCenter": 0 if signed else 2048, "WindowWidth": 4096}
    close(dicom(pixels, syntax, **tags, **window), INDEX)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("said", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_sets_no_level(syntax: UID, signed: bool, said: str) -> None:
    pixels = (SIGNED if signed else DEEP + 100).copy()
    plain = read_single(dicom(pixels, syntax, PhotometricInterpretation=said)).grey
    pixels[:3] = -30000 if signed else 63536
    pixels[3] = -29000 if signed else 63000
    tags = {
        "PixelPaddingValue": int(pixels[0, 0]),
        "PixelPaddingRangeLimit": int(pixels[3, 0]),
        "PhotometricInterpretation": said,
    }
    grey = read_single(dicom(pixels, syntax, **tags)).grey
    assert not grey[:4].any()
    np.testing.assert_allclose(grey[4:], plain[4:], rtol=0, atol=2)


def test_padding_of_fractions_and_what_is_no_number_is_black() -> None:
    pixels = DEEP.astype(np.float32) / 4095
    pixels[0, 9], pixels[1, 200] = np.nan, -999
    picture = read_single(dicom(pixels, FloatPixelPaddingValue=-999.0))
    assert picture.notes == ("values that are no numbers are shown black",)
    assert picture.grey[0, 9] == picture.grey[1, 200] == 0
    np.testing.assert_allclose(picture.grey[2:], INDEX[2:], rtol=0, atol=2)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_fractions_are_shown(kind: type) -> None:
    close(dicom((DEEP / 7).astype(kind)), INDEX, 2)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        ("LINEAR", 1024, 3071),
        ("LINEAR_EXACT", 1024, 3072),
        ("linear ", 1024, 3071),
        ("", 1024, 3071),
    ],
)
def test_linear_windows_end_where_the_standard_says(function: str, low: int, high: int) -> None:
    data = dicom(DEEP, VOILUTFunction=function, WindowCenter=2048, WindowWidth=2048)
    close(data, np.clip((DEEP - float(low)) / (high - low), 0, 1) * 255)


def test_a_sigmoid_window_has_no_end() -> None:
    data = dicom(DEEP, VOILUTFunction="SIGMOID", WindowCenter=2048, WindowWidth=2048)
    close(data, 255 / (1 + np.exp(-4 * (DEEP - 2048.0) / 2048)))


def test_of_several_windows_the_first_is_taken() -> None:
    close(dicom(DEEP, WindowCenter=[2048, 10], WindowWidth=[4096, 20]), INDEX)


def test_the_narrowest_window_is_a_threshold() -> None:
    data = dicom(DEEP, WindowCenter=2048, WindowWidth=1)
    close(data, np.where(DEEP > 2047, 255, 0), 0)


@pytest.mark.parametrize(
    ("tags", "note"),
    [
        ({"VOILUTFunction": "ODD"}, "window function is not known"),
        ({"WindowWidth": 0}, "window cannot be read"),
        ({"WindowWidth": -5}, "window cannot be read"),
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "rescaling cannot be read"),
    ],
)
def test_windows_that_are_none_are_left_out_with_a_note(tags: dict[str, Any], note: str) -> None:
    notes = close(dicom(DEEP, **WHOLE | tags), INDEX, 2)
    assert [note in told for told in notes] == [True]


def test_a_window_is_of_rescaled_values_falling_ones_too() -> None:
    tags: dict[str, Any] = {"RescaleSlope": -2, "RescaleIntercept": 100}
    close(dicom(DEEP, **tags, WindowCenter=100 - 4095, WindowWidth=8192), 255 - INDEX)


@pytest.mark.parametrize(
    ("written", "odd", "note"),
    [
        (b"1.25\\1.25 ", b"0,50\\1,25 ", "spacing"),
        (b"1.25\\1.25 ", b"unknown   ", "spacing"),
        (b"1.25\\1.25 ", b"1.25      ", "spacing"),
        (b"1.25\\1.25 ", b"1\\2\\3     ", "spacing"),
        (b"1.25\\1.25 ", b"-1.0\\1.25 ", "spacing"),
        (b"1.25\\1.25 ", b"0\\0       ", "spacing"),
        (b"1.25\\1.25 ", b"NaN\\NaN   ", "spacing"),
        (b"1.25\\1.25 ", b"1e999\\1   ", "spacing"),
        (b"1.25\\1.25 ", b"          ", ""),
        (b"4096", b"40,6", "window"),
        (b"2048", b"AUTO", "window"),
        (b"1.0\\0.0\\0.0", b"1,0\\0.0\\0.0", "orientation"),
        (b"1.0\\0.0\\0.0\\0.0\\1.0\\0.0", b"1.0\\0.0\\0.0\\0.0\\1.0    ", "orientation"),
    ],
)
def test_odd_numbers_cost_what_they_say_and_not_the_picture(
    written: bytes, odd: bytes, note: str
) -> None:
    data = dicom(
        DEEP, **WHOLE, PixelSpacing=[1.25, 1.25], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]
    )
    assert data.count(written) == 1
    notes = close(data.replace(written, odd), INDEX, 2)
    assert len(notes) == bool(note)
    assert all(f"DICOM {note}" in told or f"DICOM pixel {note}" in told for told in notes)


def test_a_rescaling_that_cannot_be_read_takes_the_window_with_it() -> None:
    data = dicom(DEEP, RescaleSlope="1.50", RescaleIntercept="0", WindowCenter=50, WindowWidth=9)
    (note,) = close(data.replace(b"1.50", b"1,50"), INDEX, 2)
    assert "rescaling cannot be read" in note


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize(("bits", "index"), list(itertools.product((8, 16), (np.uint8, np.uint16))))
def test_palettes_of_every_depth_and_byte_order(syntax: UID, bits: int, index: type) -> None:
    values = np.arange(256)[::-1] * (1 if bits == 8 else 257)
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        entries = words(values, syntax, packed=bits == 8)
        tags[f"{colour}PaletteColorLookupTableData"] = entries
    close(dicom(INDEX.astype(index), syntax, **tags), 255 - INDEX)


def test_a_palette_in_segments_is_followed() -> None:
    line = np.array([0, 1, 0, 1, 255, 255 * 257], np.uint16)  # one entry of 0, then a line to white
    tags: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tags[f"Segmented{colour}PaletteColorLookupTableData"] = line.tobytes()
    close(dicom(INDEX, **tags), INDEX)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("stored", [12, 16])
def test_colours_of_12_bits_keep_their_levels(syntax: UID, stored: int) -> None:
    colours = np.stack([DEEP] * 3, axis=-1)
    data = dicom(colours, syntax, BitsStored=stored, HighBit=stored - 1)
    close(data, INDEX, 2)
    assert len(np.unique(read_single(data).grey)) > 200


@pytest.mark.parametrize(
    ("said", "low", "high"), [("YBR_FULL_422", 0, 255), ("YBR_PARTIAL_422", 16, 235)]
)
def test_luma_is_grey(said: str, low: int, high: int) -> None:
    luma = np.rint(low + INDEX / 255 * (high - low)).astype(np.uint8)
    even = np.full_like(luma[:, ::2], 128)
    halves = np.stack([luma[:, ::2], luma[:, 1::2], even, even], axis=-1)
    whole = np.stack([luma, luma, luma], axis=-1)
    close(dicom(whole, PhotometricInterpretation=said, PixelData=halves.tobytes()), INDEX)
    full = np.stack([INDEX, np.full_like(INDEX, 128), np.full_like(INDEX, 128)], axis=-1)
    close(dicom(full, PhotometricInterpretation="YBR_FULL"), INDEX)


@pytest.mark.parametrize(
    ("samples", "said", "name"),
    [
        (3, "HSV", "HSV"),
        (3, "YBR_PARTIAL_420", "YBR_PARTIAL_420"),
        (3, "XYB", "XYB"),
        (3, "MONOCHROME2", "MONOCHROME2"),
        (4, "ARGB", "ARGB"),
        (4, "CMYK", "CMYK"),
        (2, "RGB", "RGB"),
        (3, "SMITH^JOHN", "that is not known"),
    ],
)
def test_an_interpretation_whose_grey_is_not_known_is_refused_by_name(
    samples: int, said: str, name: str
) -> None:
    data = dicom(np.stack([INDEX] * samples, axis=-1), PhotometricInterpretation=said)
    with pytest.raises(DecodeError, match=f"interpretation {name} with {samples} samples"):
        read_single(data)
    with pytest.raises(DecodeError, match="interpretation RGB with 1 samples"):
        read_single(dicom(INDEX, PhotometricInterpretation="RGB"))


@pytest.mark.parametrize(
    "name",
    [
        "PhotometricInterpretation",
        "SamplesPerPixel",
        "PixelRepresentation",
        "BitsStored",
        "HighBit",
    ],
)
def test_what_old_files_leave_out_is_what_the_rest_leaves_open(name: str) -> None:
    dataset, file = pydicom.dcmread(io.BytesIO(dicom(INDEX))), io.BytesIO()
    del dataset[name]
    dataset.save_as(file)
    close(file.getvalue(), INDEX)


def test_bits_that_are_not_read_are_named() -> None:
    data = dicom(DEEP, BitsAllocated=12, BitsStored=12, HighBit=11)
    with pytest.raises(DecodeError, match="12 bits allocated"):
        read_single(data)


def test_an_overlay_is_not_drawn_and_noted() -> None:
    dataset, file = pydicom.dcmread(io.BytesIO(dicom(INDEX))), io.BytesIO()
    dataset.add_new(0x60000010, "US", 8)
    dataset.add_new(0x60000011, "US", 256)
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OW", b"\xff" * 256)
    dataset.save_as(file)
    notes = close(file.getvalue(), INDEX, 0)
    assert notes == ("DICOM has an overlay: the marks drawn in it are not shown",)


def test_the_patient_is_known_by_a_hash_that_tells_nothing() -> None:
    first, again, other = (
        look_at(dicom(pixels, PatientID=number)).patient
        for pixels, number in ((INDEX, "4711"), (DEEP, "4711 "), (INDEX, "4712"))
    )
    assert first == again != other
    assert "4711" not in first
    elsewhere = look_at(dicom(INDEX, PatientID="4711", IssuerOfPatientID="B")).patient
    assert elsewhere not in (first, "")


@pytest.mark.parametrize(
    "number", ["", "0", "000", "ANONYMOUS", "Anonymized", "Unknown", "N/A", "XXX"]
)
def test_a_number_that_stands_for_nobody_joins_nobody(number: str) -> None:
    assert look_at(dicom(INDEX, PatientID=number)).patient == ""
