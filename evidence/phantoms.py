"""Phantoms with a known tumour, for localisation: how they are made, what lies where in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.head import head_mask
from brain_tumor.imaging.preprocess import apply_geometry, preprocess_grey
from brain_tumor.machine import spread
from brain_tumor.settings import PhantomParams, PreprocessParams

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
TUMOUR, BORDER, INSIDE, OUTSIDE = PLACES = (
    "tumour", "border of the head", "elsewhere in the head", "outside the head",
)  # fmt: skip
_CONTRASTS = 4
_WORDS = "A 12  TR 4500 TE 98\nSE 3  IM 17"
_BRIGHTER = 50  # grey levels, of 255, by which a letter must brighten a pixel to be in view


@dataclass(frozen=True)
class Case:
    """One phantom: a slice of a patient, in turn axial, coronal and sagittal.

    Attributes:
        patient: fixes anatomy, plane and place, and the tumour it has, or would have.
        tumour: whether it is there.
    """

    patient: int
    tumour: bool

    @property
    def plane(self) -> str:
        """Axial, coronal or sagittal."""
        return PLANES[self.patient % len(PLANES)]

    @property
    def slice_index(self) -> int:
        """Which of the patient's slices; with the patient it fixes the contrast."""
        return self.patient // len(PLANES) % _CONTRASTS


def pairs(count: int) -> list[Case]:
    """Patients with their tumour and without it: all else is alike."""
    return [Case(patient, tumour) for patient, tumour in product(range(count), (False, True))]


@dataclass(frozen=True)
class Phantom:
    """A phantom and the truth about it, on the network's grid of s x s pixels.

    Attributes:
        grey: the picture before preprocessing, uint8 (height, width).
        image: the network's input, uint8 (s, s).
        tumour: the mass without its oedema, bool (s, s); empty without one.
        head: what there is to see of the head, bool (s, s): with the crop to the brain, that and
            its margin.
        case: whose slice, and whether it shows a tumour.
        contrast: T1, T1-CE, T2, FLAIR or random.
    """

    grey: Pixels
    image: Pixels
    tumour: Mask
    head: Mask
    case: Case
    contrast: str


def images_of(phantoms: Sequence[Phantom]) -> Pixels:
    """The network's inputs, uint8 (N, s, s)."""
    return np.stack([phantom.image for phantom in phantoms])


@dataclass(frozen=True)
class Maker:
    """Makes phantoms and preprocesses pictures as the pipeline does.

    Attributes:
        params: ranges to draw phantoms from; counts and copies are not read.
        preprocess: section `preprocess`.
    """

    params: PhantomParams
    preprocess: PreprocessParams

    def make(self, seed: int, cases: Sequence[Case], description: str) -> list[Phantom]:
        """Make phantoms over processes, in order; the same arguments give the same ones."""
        return list(spread(partial(_make, self, seed), list(cases), description))

    def preprocess_pictures(
        self, pictures: Sequence[tuple[Pixels, Mask]], description: str
    ) -> list[tuple[Pixels, Mask]]:
        """Preprocess pictures (height, width), each with a mask that goes the same way."""
        return list(spread(partial(_preprocess, self), list(pictures), description))


def _make(maker: Maker, seed: int, case: Case) -> Phantom:
    drawn = make_slice(seed, case.patient, case.slice_index, case.tumour, maker.params, case.plane)
    done = preprocess_grey(drawn.image, maker.preprocess)
    return Phantom(
        grey=drawn.image,
        image=done.image,
        tumour=apply_geometry(drawn.mask, done.record, order=0),
        head=apply_geometry(head_mask(drawn.image), done.record, order=0) & (done.image > 0),
        case=case,
        contrast=drawn.contrast,
    )


def _preprocess(maker: Maker, task: tuple[Pixels, Mask]) -> tuple[Pixels, Mask]:
    """A picture's stored image, and its mask on the same grid (nearest pixel)."""
    grey, mask = task
    done = preprocess_grey(grey, maker.preprocess)
    return done.image, apply_geometry(mask, done.record, order=0)


def outline(mask: Mask) -> Mask:
    """The edge of a mask, one pixel wide, inside it."""
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge


def kinds_of_places(phantom: Phantom, shape: tuple[int, ...], stride_px: int) -> NDArray[np.str_]:
    """What the square of each place touches first, of `PLACES`, (h, w)."""
    masks = [phantom.tumour, outline(phantom.head), phantom.head]
    touched = [share(mask, shape, stride_px) > 0 for mask in masks]
    return np.select(touched, [TUMOUR, BORDER, INSIDE], default=OUTSIDE)


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


@lru_cache(maxsize=32)
def _boxes(places: int, stride_px: int, size_px: int) -> Floats:
    """Share of each pixel in the mean over a place's square, along one side: (places, size_px)."""
    edges = centres(places, stride_px, size_px)[:, None] + np.array([-0.5, 0.5]) * stride_px
    pixels = np.arange(size_px)
    first, last = np.maximum(edges[:, :1], pixels - 0.5), np.minimum(edges[:, 1:], pixels + 0.5)
    return np.asarray(np.clip(last - first, 0, None) / stride_px, np.float64)


@lru_cache(maxsize=32)
def _lines(places: int, stride_px: int, size_px: int) -> Floats:
    """Weight of each place in a pixel's linear interpolation, along one side: (size_px, places)."""
    at = np.interp(
        np.arange(size_px), centres(places, stride_px, size_px), np.arange(places, dtype=float)
    )
    return np.asarray(np.clip(1 - np.abs(at[:, None] - np.arange(places)), 0, None), np.float64)


def centres(places: int, stride_px: int, size_px: int) -> Floats:
    """Pixel coordinate of each place's centre along one side, float64 (places,)."""
    away = stride_px * (np.arange(places) - 0.5 * (places - 1))
    return np.asarray(away + 0.5 * (size_px - 1), np.float64)


def share(mask: Mask, shape: tuple[int, ...], stride_px: int) -> Floats:
    """Fraction of each place's square that a mask (s, s) fills, float64 `shape`, 0 to 1."""
    down, across = (_boxes(side, stride_px, mask.shape[0]) for side in shape)
    filled: Floats = down @ mask.astype(np.float64) @ across.T
    return filled


def spread_out(values: Floats, stride_px: int, size_px: int) -> Floats:
    """Values of places on the pixels of the image, linear, edges held; float64 (s, s)."""
    down, across = (_lines(side, stride_px, size_px) for side in values.shape)
    pixels: Floats = down @ values @ across.T
    return pixels
