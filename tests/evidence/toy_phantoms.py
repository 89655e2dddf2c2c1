"""Phantoms made by hand: a dark head with a bright square, and maps that see it or do not."""

import numpy as np
from numpy.typing import NDArray

from evidence.localisation import Floats
from evidence.phantoms import Case, Phantom
from evidence.settings import LocalisationParams

SIZE_PX, STRIDE_PX, SHAPE = 72, 8, (9, 9)
PARAMS = LocalisationParams(
    seed=0, pairs=30, random_networks=1, chance_draws=5, bootstrap_resamples=200
)


def square(row: int, column: int, side: int) -> NDArray[np.bool_]:
    made = np.zeros((SIZE_PX, SIZE_PX), np.bool_)
    made[row : row + side, column : column + side] = True
    return made


def toy_phantoms(count: int = 30, *, tumour: bool = True) -> list[Phantom]:
    """Each of another patient, with its tumour elsewhere in the head."""
    rng = np.random.default_rng(0)
    head = square(8, 8, 56)
    made = []
    for patient in range(count):
        row, column = (8 * int(at) for at in rng.integers(2, 6, 2))
        mass = square(row, column, 16) if tumour else np.zeros_like(head)
        image = (60 * head + 150 * mass).astype(np.uint8)
        made.append(Phantom(image, image, mass, head, Case(patient, tumour), "T1"))
    return made


def brightness(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """A network that calls what is bright a tumour; contributions and probability."""
    places = images.reshape(len(images), 9, 8, 9, 8).mean(axis=(2, 4))
    maps = np.clip(places - 100.0, 0, None)
    return maps, 1 / (1 + np.exp(2 - maps.sum(axis=(1, 2)) / 50))


def blindness(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """A network that sees the same in every picture."""
    return np.ones((len(images), *SHAPE)), np.full(len(images), 0.5)
