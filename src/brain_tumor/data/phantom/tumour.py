"""The phantom's tumour: its shape, what it does to the brain around it, and its signal."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom.anatomy import Anatomy, Patient
from brain_tumor.data.phantom.contrasts import Contrast
from brain_tumor.data.phantom.heads import Floats

KINDS = ("solid", "ring", "diffuse")
_KIND_ODDS = (0.4, 0.35, 0.25)


@dataclass(frozen=True)
class Tumour:
    """A mass around the patient's focus; lengths as multiples of the focus radius.

    Attributes:
        kind: solid, ring (enhancing rim around a necrotic core) or diffuse.
        radii: of the ellipsoid, (3,).
        bumps: surface waves, together below 0.4: (waves, [amplitude, phase, x, y, z frequency]).
        rim: thickness of the ring.
        oedema: reach of the swelling around it, at least 1.
        push: mass effect: the share of the way to the focus that brain was pushed outwards.
        strength: how much of the textbook difference to the tissue is kept, 0 to 1.
    """

    kind: str
    radii: Floats
    bumps: Floats
    rim: float
    oedema: float
    push: float
    strength: float


def draw_tumour(rng: np.random.Generator, contrast: tuple[float, float]) -> Tumour:
    """Draw shape, kind and strength of one patient's tumour."""
    kind = KINDS[rng.choice(3, p=_KIND_ODDS)]
    bumps = np.empty((5, 5))
    bumps[:, 0] = rng.uniform(0.02, 0.08, 5)
    bumps[:, 1] = rng.uniform(0, 2 * np.pi, 5)
    bumps[:, 2:] = rng.normal(0, 2.5, (5, 3))
    return Tumour(
        kind=kind,
        radii=rng.uniform(0.8, 1.2, 3),
        bumps=bumps,
        rim=float(rng.uniform(0.18, 0.4)),
        oedema=float(rng.uniform(1.25, 2.1)),
        push=float(rng.uniform(0.2, 0.6)),
        strength=float(rng.uniform(*contrast)),
    )


def depth(tumour: Tumour, patient: Patient, points: Floats) -> Floats:
    """Distance from the focus over the distance of the surface there: 1 on the surface, (H, W)."""
    focus, radius = patient.focus_mm, patient.focus_radius_mm
    x, y, z = ((points[i] - focus[i]) / (radius * tumour.radii[i]) for i in range(3))
    reach = np.sqrt(x * x + y * y + z * z)
    unit = 1 / np.maximum(reach, 1e-6)
    surface = np.ones_like(reach)
    for amplitude, phase, fx, fy, fz in tumour.bumps:
        surface += amplitude * np.sin((fx * x + fy * y + fz * z) * unit + phase)
    return np.asarray(reach / surface)


def push_aside(tumour: Tumour, patient: Patient, points: Floats, reach: Floats) -> Floats:
    """Sample nearer to the focus, so that tissue appears pushed outwards (mass effect)."""
    factor = tumour.push * np.exp(-((reach / 1.6) ** 2))
    focus = patient.focus_mm
    return np.stack([points[i] - (points[i] - focus[i]) * factor for i in range(3)])


def tumour_mask(reach: Floats, anatomy: Anatomy) -> NDArray[np.bool_]:
    """Pixels of the mass itself (no oedema) inside the brain, bool (H, W)."""
    return np.asarray((reach < 1) & (anatomy.hull_mm < 0))


def paint(
    signal: Floats,
    tumour: Tumour,
    reach: Floats,
    anatomy: Anatomy,
    texture: Floats,
    contrast: Contrast,
) -> Floats:
    """Blend the tumour and its oedema into the tissue signal of a healthy slice, [0, 1], (H, W).

    `reach` is what `depth` returned for the slice, `texture` smooth noise around 0, (H, W). Oedema
    follows white matter.
    """
    inside = _step(-anatomy.hull_mm, 1.0) * tumour.strength
    grey, white = anatomy.of("grey"), anatomy.of("white")
    spread = _step(tumour.oedema + 0.25 * texture - reach, 0.25) * (0.25 + 0.75 * white)
    signal = _blend(signal, contrast.oedema, 0.8 * inside * spread * (grey + white))
    edge = 0.5 if tumour.kind == "diffuse" else 0.1
    mass = inside * _step(1.0 + 0.05 * texture - reach, edge)
    return _blend(signal, _mass_signal(tumour, reach, texture, contrast), mass)


def _mass_signal(tumour: Tumour, reach: Floats, texture: Floats, contrast: Contrast) -> Floats:
    mottled = 1 + 0.12 * texture
    if tumour.kind == "diffuse":
        return contrast.diffuse * mottled
    if tumour.kind == "solid":
        return contrast.solid * mottled
    core = _step(1 - tumour.rim + 0.15 * texture - reach, 0.12)
    return _blend(contrast.ring * mottled, contrast.core, core)


def _step(value: Floats, width: float) -> Floats:
    """Rise smoothly from 0 to 1 while `value` goes from minus to plus half of `width`."""
    t = np.clip(value / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _blend(below: Floats, above: Floats | float, weight: Floats) -> Floats:
    return np.asarray(below + (above - below) * weight)
