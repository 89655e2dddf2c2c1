"""Does scanner text draw heat maps, or move the probability? The same phantoms with and without."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from brain_tumor.evidence.localisation import Mask
from brain_tumor.evidence.localisation_grid import Floats
from brain_tumor.evidence.localisation_network import Look
from brain_tumor.evidence.localisation_params import LocalisationParams
from brain_tumor.evidence.localisation_places import in_view, points_at
from brain_tumor.evidence.localisation_summary import mean_estimate
from brain_tumor.evidence.phantom_truth import Pixels
from brain_tumor.model.metrics import Estimate, plain, wilson


def text_figures(
    look: Look,
    before: Pixels,
    written: Sequence[tuple[Pixels, Mask]],
    stride_px: int,
    params: LocalisationParams,
) -> dict[str, Any]:
    """What text does to phantoms of one class, one of each patient.

    Args:
        look: the network.
        before: images without text, uint8 (N, s, s).
        written: the same with text, each with where that should be, bool (s, s).
        stride_px: pixels between neighbouring places of the network's maps.
        params: of the bootstrap.

    Returns:
        phantoms; in_view, those of them in which letters are seen; and of these, if any:
        strongest_at_text and, of the maps without text, strongest_there_without (shares);
        probability_moved (with text minus without).
    """
    after = np.stack([image for image, _ in written])
    text = [in_view(a, b, mask) for a, (b, mask) in zip(before, written, strict=True)]
    kept = [number for number, mask in enumerate(text) if mask.any()]
    counts = {"phantoms": len(before), "in_view": len(kept)}
    if not kept:
        return counts
    masks = [text[number] for number in kept]
    (maps, said), (maps_without, said_without) = look(after[kept]), look(before[kept])
    figures = {
        "strongest_at_text": _hits(maps, masks, stride_px),
        "strongest_there_without": _hits(maps_without, masks, stride_px),
        "probability_moved": mean_estimate(said - said_without, params),
    }
    return counts | plain(figures)


def _hits(maps: Floats, masks: Sequence[Mask], stride_px: int) -> Estimate:
    pairs = zip(maps, masks, strict=True)
    return wilson(sum(points_at(one, mask, stride_px) for one, mask in pairs), len(masks))
