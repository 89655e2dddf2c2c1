"""Where heat maps point besides tumours: the head's border, the background, scanner text."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from brain_tumor.evidence.localisation import Mask, outline, strongest
from brain_tumor.evidence.localisation_grid import Floats, share
from brain_tumor.evidence.phantom_truth import Phantom, Pixels

TUMOUR, BORDER, INSIDE, OUTSIDE = PLACES = (
    "tumour", "border of the head", "elsewhere in the head", "outside the head",
)  # fmt: skip
NOWHERE = "nowhere"
_WORDS = "A 12  TR 4500 TE 98\nSE 3  IM 17"
_BRIGHTER = 50  # grey levels, of 255, by which a letter must brighten a pixel to be in view


def kinds_of_places(phantom: Phantom, shape: tuple[int, int], stride_px: int) -> NDArray[np.str_]:
    """What the square of each place touches first, of `PLACES`, (h, w)."""
    masks = [phantom.tumour, outline(phantom.head), phantom.head]
    touched = [share(mask, shape, stride_px) > 0 for mask in masks]
    return np.select(touched, [TUMOUR, BORDER, INSIDE], default=OUTSIDE)


def strongest_kinds(phantoms: Sequence[Phantom], found: Floats, stride_px: int) -> list[str]:
    """What the strongest place for a tumour touches, of contributions (N, h, w).

    A map with nothing above 0 points nowhere: its kind is none of `PLACES`.
    """
    return [
        str(kinds_of_places(phantom, values.shape, stride_px)[strongest(values)])
        if values.max() > 0
        else NOWHERE
        for phantom, values in zip(phantoms, found, strict=True)
    ]


def mean_shares(
    phantoms: Sequence[Phantom], shape: tuple[int, int], stride_px: int
) -> dict[str, float]:
    """Share of all places that are of each kind: how often a place taken blindly is."""
    kinds = np.stack([kinds_of_places(one, shape, stride_px) for one in phantoms])
    return {name: float((kinds == name).mean()) for name in PLACES}


def points_at(values: Floats, mask: Mask, stride_px: int) -> bool:
    """Whether a map has a strongest place above 0 whose square touches a mask."""
    shape: tuple[int, int] = values.shape
    return bool(values.max() > 0 and share(mask, shape, stride_px)[strongest(values)] > 0)


def with_text(grey: Pixels) -> tuple[Pixels, Mask]:
    """A picture with a scanner's words in white in its upper left corner, and where they are."""
    height, width = grey.shape
    layer = Image.new("L", (width, height))
    font = ImageFont.load_default(max(8, round(width / 22)))
    ImageDraw.Draw(layer).multiline_text((2, 2), _WORDS, fill=255, font=font)
    letters = np.asarray(layer)
    around = ndimage.binary_dilation(letters > 0, iterations=2)
    return np.maximum(grey, letters), np.asarray(around, np.bool_)


def in_view(before: Pixels, after: Pixels, around: Mask) -> Mask:
    """Where letters are to be seen on the network's input, bool (s, s); empty: nowhere.

    Args:
        before: the network's input without text, uint8 (s, s).
        after: with text.
        around: where the text should be, bool (s, s).
    """
    brighter: Mask = after.astype(np.int16) - before.astype(np.int16) >= _BRIGHTER
    return brighter & around
