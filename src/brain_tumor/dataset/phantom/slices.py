"""One phantom slice from a seed, a patient and a slice index: a pure function."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.dataset.phantom import acquisition, geometry
from brain_tumor.dataset.phantom import tumour as tumours
from brain_tumor.dataset.phantom.anatomy import Anatomy, Floats, sample_anatomy
from brain_tumor.settings import PhantomParams

_PATIENT, _PLACE, _TISSUE, _SCANNER, _TUMOUR, _TEXTURE = range(1, 7)  # independent random streams


@dataclass(frozen=True)
class PhantomSlice:
    """One slice and the truth about it.

    Attributes:
        image: grey levels, uint8 (H, W).
        mask: the mass without its oedema, bool (H, W); empty without a tumour.
        brain: inside of the brain's surface, bool (H, W).
        plane: axial, coronal or sagittal.
        contrast: T1, T1-CE, T2 or FLAIR.
        kind: solid, ring, diffuse, or none.
        pixel_mm: side of a pixel, millimetres of the patient.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    plane: str
    contrast: str
    kind: str
    pixel_mm: float


def make_slice(
    seed: int,
    patient: int,
    slice_index: int,
    tumour: bool,
    params: PhantomParams,
    plane: str | None = None,
) -> PhantomSlice:
    """Make one slice; the same arguments give the same slice, whatever was made before.

    With and without `tumour` everything else is drawn alike, so the two differ only where the
    tumour, its oedema and its mass effect reach: a counterfactual pair.

    Args:
        seed: of the data set (`params.seed` is not read).
        patient: number of the patient, 0 or more.
        slice_index: 0 or more; four slices in a row differ in contrast.
        tumour: whether the mass is there.
        params: ranges to draw from; the counts are not read.
        plane: axial, coronal or sagittal; None: drawn, mostly axial.
    """

    def stream(name: int, index: int = slice_index) -> np.random.Generator:
        return np.random.default_rng((seed, patient, index, name))

    person = geometry.draw_patient(stream(_PATIENT, 0), params.tumour_radius_mm)
    place = geometry.place_slice(stream(_PLACE), person, params.canvas_px, plane)
    mass = tumours.draw_tumour(stream(_TUMOUR, 0), params.tumour_contrast)
    reach = tumours.depth(mass, person, place.points)
    contrast = person.contrasts[slice_index % 4]
    pushed = tumours.push_aside(mass, person, place.points, reach) if tumour else place.points
    pushed = geometry.grow_ventricles(pushed, person.ventricle_growth)
    wall_mm = person.fluid_mm + person.skull_mm + person.scalp_mm
    anatomy = sample_anatomy(place.points, pushed, wall_mm)
    signal = _healthy_signal(stream(_TISSUE), person, anatomy, place, contrast)
    mask = np.zeros(signal.shape, dtype=np.bool_)
    if tumour:
        texture = acquisition.mottle(stream(_TEXTURE), signal.shape, place.pixel_mm)
        signal = tumours.paint(signal, mass, reach, anatomy, texture, contrast)
        mask = tumours.tumour_mask(reach, anatomy)
    return PhantomSlice(
        image=acquisition.acquire(stream(_SCANNER), signal, params),
        mask=mask,
        brain=anatomy.hull_mm < 0,
        plane=place.plane,
        contrast=acquisition.CONTRASTS[contrast],
        kind=mass.kind if tumour else "none",
        pixel_mm=place.pixel_mm,
    )


def _healthy_signal(
    rng: np.random.Generator,
    person: geometry.Patient,
    anatomy: Anatomy,
    place: geometry.Placement,
    contrast: int,
) -> Floats:
    signal = acquisition.tissue_signal(rng, person, anatomy, contrast, place.pixel_mm)
    return acquisition.harmless_extras(rng, signal, anatomy, contrast, place.points)
