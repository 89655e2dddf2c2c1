"""Stored values of a DICOM frame to grey levels, as its file says they are shown."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.decode import DecodeError
from brain_tumor.imaging.slices.slice import to_grey, window

# What says how a frame is shown; in files of many frames it stands in groups of tags, per frame
# or shared by all.
_TAGS = (
    "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "PixelSpacing",
    "PixelAspectRatio", "ImageOrientationPatient",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
)  # fmt: skip


def frame_tags(dataset: Any, place: int) -> Any:
    """A data set of what says how frame `place` is shown."""
    from pydicom.dataset import Dataset

    tags = Dataset()
    _take(dataset, tags)
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[place : place + 1]
    for group in (part for groups in shared + own for part in groups if part.VR == "SQ"):
        for item in list(group.value)[:1]:
            _take(item, tags)
    return tags


def _take(source: Any, tags: Any) -> None:
    for name in _TAGS:
        if name in source:
            tags.add(source[name])


def grey_levels(stored: NDArray[Any], tags: Any) -> NDArray[np.uint8]:
    """Grey levels of a frame.

    Args:
        stored: (H, W), or colours (H, W, 3).
        tags: what `frame_tags` gave.

    Returns:
        uint8 (H, W).

    Raises:
        DecodeError: values are no numbers.
    """
    from pydicom.pixels.processing import apply_color_lut

    if tags.get("PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_color_lut(stored, tags)
    if stored.ndim == 3:
        return _luma(stored)
    grey = _shown(stored, tags)
    return 255 - grey if tags.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _luma(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """RGB to grey as Pillow does (ITU-R 601-2)."""
    from PIL import Image

    eight = colours if colours.dtype == np.uint8 else to_grey(colours, 0, 65535)
    return np.array(Image.fromarray(eight).convert("L"))


def _shown(stored: NDArray[Any], tags: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    scaled = "ModalityLUTSequence" in tags or float(tags.get("RescaleSlope") or 1) != 1
    windowed = tags.get("WindowCenter") is not None and tags.get("WindowWidth") is not None
    if stored.dtype == np.uint8 and not (scaled or windowed or "VOILUTSequence" in tags):
        return to_grey(stored, 0, 2 ** int(tags.get("BitsStored") or 8) - 1)
    values = np.asarray(apply_modality_lut(stored, tags), dtype=np.float64)
    if not np.isfinite(values).all():
        raise DecodeError("DICOM with values that are no numbers")
    if tags.get("VOILUTSequence"):
        table = apply_voi_lut(values.astype(np.int64), tags)
        return to_grey(table, 0, 2 ** int(tags.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    grey = _windowed(values, tags) if windowed else to_grey(values, *window(values))
    # A window that leaves nothing to see was made for something else.
    return grey if np.ptp(grey) else to_grey(values, *window(values))


def _windowed(values: NDArray[np.float64], tags: Any) -> NDArray[np.uint8]:
    """The first stored window (DICOM PS3.3, C.11.2.1.2)."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_windowing

    view = Dataset()  # of 8 bits, so that the window's ends become 0 and 255
    view.PhotometricInterpretation, view.BitsStored, view.PixelRepresentation = "MONOCHROME2", 8, 0
    view.WindowCenter, view.WindowWidth = (
        float(np.ravel(tags[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    view.VOILUTFunction = str(tags.get("VOILUTFunction") or "LINEAR").upper()
    if not view.WindowWidth > (1 if view.VOILUTFunction == "LINEAR" else 0):
        return to_grey(values, *window(values))
    with np.errstate(over="ignore"):
        return np.asarray(np.rint(apply_windowing(values, view)), dtype=np.uint8)
