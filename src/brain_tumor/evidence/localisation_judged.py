"""Heat maps of phantoms against the truth, and against maps that know nothing of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.evidence.localisation import Mask, Scores, centre_prior, chance, score
from brain_tumor.evidence.localisation_grid import Floats
from brain_tumor.evidence.phantom_truth import Phantom

MODEL, CHANCE, CENTRE, HEAD, WEIGHTS = "model", "chance", "centre", "random_head", "random"
RIVALS = (CHANCE, CENTRE, HEAD, WEIGHTS)


def judged(
    phantoms: Sequence[Phantom],
    found: Floats,
    random: Mapping[str, Sequence[Floats]],
    stride_px: int,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Scores of all maps of each phantom.

    Args:
        phantoms: N of them, each with a tumour in view.
        found: the network's contributions, (N, h, w).
        random: the same of randomised networks, several of each kind.
        stride_px: pixels between neighbouring places.
        draws: noise maps per phantom.
        seed: of the noise.

    Returns:
        A row per phantom and map: patient, plane, contrast, map (`MODEL` or one of `RIVALS`),
        pointing, mass, overlap (see `Scores`; means where there are several maps of a kind).

    Raises:
        ValueError: a phantom has no tumour in view.
    """
    rows = []
    for number, phantom in enumerate(phantoms):
        shape: tuple[int, int] = found[number].shape
        prior = centre_prior(phantom.head, shape, stride_px)
        maps = {MODEL: [found[number]], CENTRE: [prior]}
        maps |= {name: [one[number] for one in several] for name, several in random.items()}
        scores = {name: _mean(several, phantom.tumour, stride_px) for name, several in maps.items()}
        rng = np.random.default_rng((seed, number))
        scores[CHANCE] = chance(phantom.head, phantom.tumour, shape, stride_px, rng, draws)
        rows += [_what(phantom) | {"map": name} | vars(one) for name, one in scores.items()]
    return pd.DataFrame(rows)


def _mean(maps: Sequence[NDArray[np.float64]], mask: Mask, stride_px: int) -> Scores:
    return Scores.mean([score(one, mask, stride_px) for one in maps])


def _what(phantom: Phantom) -> dict[str, int | str]:
    return {
        "patient": phantom.case.patient,
        "plane": phantom.case.plane,
        "contrast": phantom.contrast,
    }
