"""From the numbers a DICOM file stores to grey levels (DICOM PS3.3, C.7.6.3, C.11.1 and C.11.2).

Stored bits, padding, the modality's scale or table, the first window or table of values of
interest, and the photometric interpretation decide a pixel's grey, in this order. What of it cannot
be read as a number is left out and noted. Nothing that a file says in free text is repeated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.imaging.grey import DecodeError, eight_bits, luma, to_grey, window

# What says how a frame is shown; in files of many frames it stands in groups of tags, per frame
# or shared by all.
_NUMBERS: Final = (
    "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
    "PixelSpacing", "PixelAspectRatio", "ImageOrientationPatient",
    "PixelPaddingValue", "PixelPaddingRangeLimit",
    "FloatPixelPaddingValue", "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue", "DoubleFloatPixelPaddingRangeLimit",
    "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
)  # fmt: skip
_COLOURS: Final = ("Red", "Green", "Blue")
_OTHERS: Final = (
    "PhotometricInterpretation", "VOILUTFunction", "ModalityLUTSequence", "VOILUTSequence",
    *(f"{colour}PaletteColorLookupTableDescriptor" for colour in _COLOURS),
    *(f"{colour}PaletteColorLookupTableData" for colour in _COLOURS),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in _COLOURS),
)  # fmt: skip
_LOST: Final = {
    "PixelSpacing": "DICOM pixel spacing cannot be read: pixels are taken as square",
    "PixelAspectRatio": "DICOM pixel aspect cannot be read: pixels are taken as square",
    "ImageOrientationPatient": "DICOM orientation cannot be read: shown as it is stored",
    "WindowCenter": "DICOM window cannot be read: percentiles decide black and white",
    "WindowWidth": "DICOM window cannot be read: percentiles decide black and white",
    "RescaleSlope": "DICOM rescaling cannot be read: percentiles decide black and white",
    "RescaleIntercept": "DICOM rescaling cannot be read: percentiles decide black and white",
    "PixelPaddingValue": "DICOM padding value cannot be read: it counts as a part of the picture",
    "PixelPaddingRangeLimit": "DICOM padding range cannot be read: only its first value is padding",
    "VOILUTFunction": "DICOM window function is not known: percentiles decide black and white",
}
_COUNTS: Final = {"PixelSpacing": 2, "PixelAspectRatio": 2, "ImageOrientationPatient": 6}


@dataclass
class Display:
    """How a frame is shown.

    Attributes:
        numbers: those of `_NUMBERS` that can be read, by their keyword; never empty ones.
        items: a pydicom data set of the others.
        lost: keywords of what is there and cannot be read.
        little_endian: byte order of the file.
    """

    items: Any
    little_endian: bool
    numbers: dict[str, list[float]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def number(self, name: str, default: float) -> float:
        """The first number of a tag."""
        return self.numbers.get(name, [default])[0]

    def whole(self, name: str, default: int) -> int:
        """The first number of a tag that counts something."""
        return int(self.number(name, default))

    @property
    def signed(self) -> bool:
        """Whether stored numbers have a sign."""
        return self.whole("PixelRepresentation", 0) == 1

    @property
    def interpretation(self) -> str:
        """The photometric interpretation; grey where a file of one sample does not say."""
        said = str(self.items.get("PhotometricInterpretation") or "").strip().upper()
        return said or ("MONOCHROME2" if self.whole("SamplesPerPixel", 1) == 1 else "RGB")

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read, once each."""
        return tuple(dict.fromkeys(_LOST[name] for name in sorted(self.lost) if name in _LOST))


def display_of(dataset: Any, place: int) -> Display:
    """What says how frame `place` is shown: its own tags, else shared ones, else the file's."""
    from pydicom.dataset import Dataset

    implicit, little_endian = dataset.original_encoding
    display = Display(Dataset(), little_endian is not False)
    display.items.set_original_encoding(bool(implicit), display.little_endian)
    _take(dataset, display)
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[place : place + 1]
    for group in (part for groups in shared + own for part in groups if part.VR == "SQ"):
        for item in list(group.value)[:1]:
            _take(item, display)
    return display


def _take(source: Any, display: Display) -> None:
    for name in _NUMBERS:
        if name in source:
            numbers = numbers_of(source, name)
            if numbers is None or (numbers and not _fits(name, numbers)):
                display.lost.add(name)
                display.numbers.pop(name, None)
            elif numbers:
                display.lost.discard(name)
                display.numbers[name] = numbers
    for name in _OTHERS:
        if name in source and source[name].value not in (None, "", b""):
            display.items.add(source[name])


def _fits(name: str, numbers: Sequence[float]) -> bool:
    """Whether there are as many numbers as the tag has, and lengths above 0."""
    above = name not in ("PixelSpacing", "PixelAspectRatio") or min(numbers) > 0
    return above and len(numbers) == _COUNTS.get(name, len(numbers))


def numbers_of(dataset: Any, name: str) -> list[float] | None:
    """The numbers of a tag, [] where it is absent or empty; None where they cannot be read."""
    try:
        value = dataset[name].value if name in dataset else None
        if value is None or (isinstance(value, str | bytes) and not value.strip()):
            return []
        items = [value] if isinstance(value, str | bytes | int | float) else list(value)
        numbers = [float(item) for item in items]
    except (ValueError, TypeError, ArithmeticError, NotImplementedError):
        return None  # decimal commas, words, numbers beyond all bounds: pydicom raises these
    return numbers if np.isfinite(numbers).all() else None


def grey_levels(
    stored: NDArray[Any], display: Display
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Grey levels of a frame, uint8 (H, W), and what is to be known of them.

    `stored` are its numbers (H, W), or colours (H, W, 3): RGB, or YBR whose first is the luma.

    Raises:
        DecodeError: a table is not known, or nothing is a number.
    """
    said, stored = display.interpretation, stored.astype(stored.dtype.newbyteorder("="), copy=False)
    if said in ("MONOCHROME1", "MONOCHROME2") and stored.ndim == 2:
        return _monochrome(stored, display)
    if said == "PALETTE COLOR" and stored.ndim == 2:
        return _coloured(_palette(_of_stored_bits(stored, display), display), 16), display.notes
    if said in (*_LIKE_RGB, *_PARTIAL) and stored.ndim == 3 and stored.shape[2] == 3:
        if said in _PARTIAL:  # black is 16 and white 235
            return to_grey(stored[..., 0], 16, 235), display.notes
        bits = display.whole("BitsStored", 8 * stored.dtype.itemsize)
        return _coloured(_of_stored_bits(stored, display), bits), display.notes
    raise DecodeError("DICOM whose frame has not the samples that its tags say: it is damaged")


def require_known(display: Display) -> None:
    """Refuse what the grey levels of a file are not known by, before it is unpacked.

    Raises:
        DecodeError: the photometric interpretation does not go with the samples, or is not known.
    """
    said, samples = display.interpretation, display.whole("SamplesPerPixel", 1)
    if samples == (1 if said in _GREY else 3) and said in (*_GREY, *_LIKE_RGB, *_PARTIAL):
        return
    name = said if said in _NAMED else "that is not known"
    raise DecodeError(
        f"DICOM of photometric interpretation {name} with {samples} samples per pixel: its grey is "
        "not known; convert it to MONOCHROME2 or RGB"
    )


_GREY: Final = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")
_LIKE_RGB: Final = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PARTIAL: Final = ("YBR_PARTIAL_422",)
_NAMED: Final = (
    *_GREY, *_LIKE_RGB, *_PARTIAL,
    "YBR_PARTIAL_420", "HSV", "ARGB", "CMYK", "XYB",
)  # fmt: skip


def _coloured(colours: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """Colours (H, W, 3) to grey as Pillow does it; those of more than 8 bits by their own range."""
    if colours.dtype == np.uint8:
        if bits < 8:
            return to_grey(luma(colours), 0, 2**bits - 1)
        return np.array(Image.fromarray(colours).convert("L"))
    return eight_bits(luma(colours))


def _of_stored_bits(stored: NDArray[Any], display: Display) -> NDArray[Any]:
    """Numbers of the bits that hold the picture; the others may hold overlays (C.7.6.3.1.1)."""
    allocated = 8 * stored.dtype.itemsize
    bits = display.whole("BitsStored", allocated)
    shift = display.whole("HighBit", bits - 1) + 1 - bits
    if (
        stored.dtype.kind not in "iu"
        or not 0 < bits < allocated
        or not 0 <= shift <= allocated - bits
    ):
        return stored
    unsigned = stored.view(stored.dtype.str.replace("i", "u"))
    values = (unsigned >> shift) & ((1 << bits) - 1)
    if not display.signed:
        return np.asarray(values.astype(unsigned.dtype))
    return np.asarray(
        (values << (allocated - bits)).view(unsigned.dtype.str.replace("u", "i"))
        >> (allocated - bits)
    )


def _monochrome(
    stored: NDArray[Any], display: Display
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    stored = _of_stored_bits(stored, display)
    padding = _padding(stored, display)
    finite = np.isfinite(stored)
    notes = () if finite.all() else ("values that are no numbers are shown black",)
    hidden = padding | ~finite
    if hidden.all():
        if not finite.any():
            raise DecodeError("DICOM without a single number: all its values are NaN or endless")
        hidden = ~finite
    grey = _shown(stored, hidden, display)
    if display.interpretation == "MONOCHROME1":
        grey = 255 - grey
    grey[hidden] = 0
    return grey, (*display.notes, *notes)


def _padding(stored: NDArray[Any], display: Display) -> NDArray[np.bool_]:
    """Which pixels were filled in and show nothing (C.7.5.1.1.2)."""
    kind = {"f4": "Float", "f8": "DoubleFloat"}.get(stored.dtype.str[1:], "")
    first = display.numbers.get(f"{kind}PixelPaddingValue")
    if not first:
        return np.zeros(stored.shape, bool)
    ends = [first[0], display.number(f"{kind}PixelPaddingRangeLimit", first[0])]
    if stored.dtype.kind in "iu":  # the tags may have another sign than the numbers
        bits = 8 * stored.dtype.itemsize
        ends = [_with_sign(int(end), bits, signed=display.signed) for end in ends]
    return np.asarray((stored >= min(ends)) & (stored <= max(ends)))


def _with_sign(value: int, bits: int, *, signed: bool) -> int:
    value %= 1 << bits
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _shown(stored: NDArray[Any], hidden: NDArray[np.bool_], display: Display) -> NDArray[np.uint8]:
    """Grey levels before inversion; pixels that are hidden set none of them."""
    scaled = _modality_values(stored, hidden, display)
    table = display.items.get("VOILUTSequence")
    voi = bool(table) or {"WindowCenter", "WindowWidth"} <= display.numbers.keys()
    if scaled is None and stored.dtype == np.uint8 and not voi:
        return to_grey(stored, 0, 2 ** display.whole("BitsStored", 8) - 1)
    values = stored.astype(np.float64) if scaled is None else scaled
    values = np.where(hidden, values[~hidden].min(), values)
    grey = None
    if not display.lost & {"RescaleSlope", "RescaleIntercept"}:  # else a window is of other units
        if table:
            lut = _table_of(table[0], signed=bool(values.min() < 0), display=display)
            grey = to_grey(lut.of(values), 0, 2**lut.bits - 1)
        elif voi:
            grey = _windowed(values, display)
    # A window that leaves nothing to see was made for something else.
    if grey is not None and np.ptp(grey[~hidden]):
        return grey
    seen = values[~hidden]
    if display.interpretation == "MONOCHROME1":  # air is the highest value then
        low, high = window(seen.max() - seen)
        return 255 - to_grey(seen.max() - values, low, high)
    return to_grey(values, *window(seen))


def _modality_values(
    stored: NDArray[Any], hidden: NDArray[np.bool_], display: Display
) -> NDArray[np.float64] | None:
    """What the modality's table or scale makes of stored numbers (C.11.1); None: nothing."""
    sequence = display.items.get("ModalityLUTSequence")
    if sequence:
        lut = _table_of(sequence[0], signed=display.signed, display=display)
        return lut.of(np.where(hidden, stored[~hidden].min(), stored))
    slope, shift = display.number("RescaleSlope", 1.0), display.number("RescaleIntercept", 0.0)
    if not slope:
        display.lost.add("RescaleSlope")
    if display.lost & {"RescaleSlope", "RescaleIntercept"} or (slope == 1 and not shift):
        return None
    windowed = {"WindowCenter", "WindowWidth"} <= display.numbers.keys()
    if slope == 1 and not windowed and not display.items.get("VOILUTSequence"):
        return None  # a shift alone changes nothing that is seen
    return stored.astype(np.float64) * slope + shift


def _windowed(values: NDArray[np.float64], display: Display) -> NDArray[np.uint8] | None:
    """The first stored window (C.11.2.1.2 and C.11.2.1.3); None where it is none."""
    function = str(display.items.get("VOILUTFunction") or "LINEAR").strip().upper()
    centre, width = display.number("WindowCenter", 0.0), display.number("WindowWidth", 0.0)
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        display.lost.add("VOILUTFunction")
        return None
    if not (width >= 1 if function == "LINEAR" else width > 0):
        display.lost.add("WindowWidth")
        return None
    if function == "SIGMOID":
        with np.errstate(over="ignore"):
            return to_grey(1.0 / (1.0 + np.exp(-4.0 * (values - centre) / width)), 0.0, 1.0)
    if function == "LINEAR_EXACT":
        return to_grey(values, centre - width / 2, centre + width / 2)
    if width == 1:
        return np.where(values > centre - 0.5, 255, 0).astype(np.uint8)
    return to_grey(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


@dataclass(frozen=True)
class _Table:
    """A lookup table: outputs, the input that has the first of them, and bits of an output."""

    outputs: NDArray[np.int64]
    first: int
    bits: int

    def of(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Outputs for values; those beyond an end of the table have that end's."""
        place = np.clip(np.rint(values) - self.first, 0, len(self.outputs) - 1).astype(np.int64)
        return np.asarray(self.outputs[place], dtype=np.float64)


def _table_of(item: Any, *, signed: bool, display: Display) -> _Table:
    return _table(
        item["LUTDescriptor"].value, item["LUTData"].value, signed=signed, display=display
    )


def _table(descriptor: Any, data: Any, *, signed: bool, display: Display) -> _Table:
    """A table whose descriptor and data are numbers or bytes, as the file's encoding has it."""
    entries, first, bits = (int(value) for value in _words(descriptor, display)[:3])
    entries, first = entries % 65536 or 65536, first % 65536
    if signed and first > 32767:
        first -= 65536
    if not 1 <= bits <= 16:
        raise DecodeError(f"DICOM with a lookup table of {bits} bits: not known")
    words = _words(data, display)
    if len(words) < entries:  # two outputs of 8 bits in a word
        words = np.frombuffer(words.astype("<u2").tobytes(), np.uint8)
    if len(words) < entries:
        raise DecodeError(f"DICOM with a lookup table of {len(words)} entries instead of {entries}")
    return _Table(words[:entries].astype(np.int64), first, bits)


def _words(value: Any, display: Display) -> NDArray[np.uint16]:
    if isinstance(value, bytes):
        order = "<u2" if display.little_endian else ">u2"
        return np.frombuffer(value + b"\0" * (len(value) % 2), order).astype(np.uint16)
    numbers: Sequence[int] = [value] if isinstance(value, int) else list(value)
    return np.array([int(number) % 65536 for number in numbers], np.uint16)


def _palette(stored: NDArray[Any], display: Display) -> NDArray[Any]:
    """Colours of indices; a palette of at most 8 bits gives uint8, else uint16 (C.7.6.3.1.5)."""
    from pydicom.pixels.processing import apply_color_lut

    if "SegmentedRedPaletteColorLookupTableData" in display.items:
        return np.asarray(apply_color_lut(stored, display.items))
    channels, bits = [], 8
    for colour in _COLOURS:
        table = _table(
            display.items[f"{colour}PaletteColorLookupTableDescriptor"].value,
            display.items[f"{colour}PaletteColorLookupTableData"].value,
            signed=display.signed,
            display=display,
        )
        channels.append(table.of(stored))
        bits = max(bits, table.bits)
    colours = np.stack(channels, axis=-1)
    return colours.astype(np.uint8 if bits == 8 and colours.max() <= 255 else np.uint16)
