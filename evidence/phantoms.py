"""Phantoms with a known tumour, for localisation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom.anatomy import PLANES
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.head import head_mask
from brain_tumor.imaging.preprocess import Record, apply_geometry, preprocess_grey
from brain_tumor.machine import spread
from brain_tumor.settings import PhantomParams, PreprocessParams

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
_CONTRASTS = 4


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
        head: the outline of the head, filled, bool (s, s).
        case: whose slice, and whether it shows a tumour.
        contrast: T1, T1-CE, T2 or FLAIR.
    """

    grey: Pixels
    image: Pixels
    tumour: Masks
    head: Masks
    case: Case
    contrast: str


@dataclass(frozen=True)
class Maker:
    """Makes phantoms and preprocesses pictures as the pipeline does.

    Attributes:
        params: ranges to draw phantoms from; counts and copies are not read.
        atlas: as for `preprocess_grey`.
        preprocess: section `preprocess`.
    """

    params: PhantomParams
    atlas: Atlas | None
    preprocess: PreprocessParams

    def make(self, seed: int, cases: Sequence[Case], description: str) -> list[Phantom]:
        """Make phantoms over processes, in order; the same arguments give the same ones."""
        return list(spread(partial(_make, self, seed), list(cases), description))

    def see(
        self, pictures: Sequence[tuple[Pixels, Masks]], description: str
    ) -> list[tuple[Pixels, Masks]]:
        """Preprocess pictures (height, width), each with a mask that goes the same way."""
        return list(spread(partial(_see, self), list(pictures), description))


def warped(mask: Masks, record: Record) -> Masks:
    """A mask of a raw picture on the grid of its stored image (nearest pixel)."""
    return apply_geometry(mask, record, order=0)


def _make(maker: Maker, seed: int, case: Case) -> Phantom:
    made = make_slice(seed, case.patient, case.slice_index, case.tumour, maker.params, case.plane)
    done = preprocess_grey(made.image, maker.atlas, maker.preprocess)
    return Phantom(
        grey=made.image,
        image=done.image,
        tumour=warped(made.mask, done.record),
        head=warped(head_mask(made.image), done.record),
        case=case,
        contrast=made.contrast,
    )


def _see(maker: Maker, task: tuple[Pixels, Masks]) -> tuple[Pixels, Masks]:
    grey, mask = task
    done = preprocess_grey(grey, maker.atlas, maker.preprocess)
    return done.image, warped(mask, done.record)
