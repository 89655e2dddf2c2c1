"""The test of a model's heat maps on phantoms, start to end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.evidence import localisation_summary as summary
from brain_tumor.evidence.localisation_grid import Floats
from brain_tumor.evidence.localisation_judged import HEAD, WEIGHTS, judged
from brain_tumor.evidence.localisation_network import (
    Look,
    looking,
    with_random_head,
    with_random_weights,
)
from brain_tumor.evidence.localisation_notes import notes
from brain_tumor.evidence.localisation_params import LocalisationParams
from brain_tumor.evidence.localisation_places import mean_shares, strongest_kinds, with_text
from brain_tumor.evidence.localisation_text import text_figures
from brain_tumor.evidence.phantom_truth import Maker, Phantom, Pixels, pairs
from brain_tumor.model.metrics import Estimate, OutOfFold, Sample, plain
from brain_tumor.model.saved import SavedModel
from brain_tumor.model.shapes import stride_px
from brain_tumor.settings import EvaluateParams


@dataclass(frozen=True)
class Tested:
    """What came of it.

    Attributes:
        figures: what localisation.json holds beside its origin.
        scored: see `localisation_judged.judged`.
        phantoms: the N with a tumour in view.
        maps: of these, the model's contributions, (N, h, w).
        probability: of these, calibrated, (N,).
        stride_px: pixels between neighbouring places of the maps.
    """

    figures: Mapping[str, Any]
    scored: pd.DataFrame
    phantoms: Sequence[Phantom]
    maps: Floats
    probability: Floats
    stride_px: int


def tested(model: SavedModel, maker: Maker, params: LocalisationParams) -> Tested:
    """Judge a model by fresh phantoms.

    Args:
        model: the trained network.
        maker: of phantoms and of their images.
        params: section `localisation`.

    Raises:
        ValueError: no phantom has its tumour in view.
    """
    phantoms = maker.make(params.seed, pairs(params.pairs), "phantoms")
    look, stride = looking(model.network, model.meta.temperature), stride_px(model.meta.head_block)
    maps, probability = look(_images(phantoms))
    has = np.array([one.tumour.any() for one in phantoms])
    healthy = np.array([not one.case.tumour for one in phantoms])
    if not has.any():
        raise ValueError(f"none of {params.pairs} phantoms has its tumour in view; make more pairs")
    with_tumour, without = _those(phantoms, has), _those(phantoms, healthy)
    random = _random_maps(model.network, _images(with_tumour), params)
    scored = judged(with_tumour, maps[has], random, stride, params.chance_draws, params.seed)
    figures: dict[str, Any] = {
        "weights": model.meta.initial_weights,
        "block": model.meta.head_block,
        "phantoms": len(with_tumour),
        "patients": params.pairs,
        **plain({"auroc": _auroc(phantoms, probability, params)}),
        "scores": summary.scores(scored, params),
        "differences": summary.differences(scored, params),
        "by_plane": summary.by("plane", scored, params),
        "by_contrast": summary.by("contrast", scored, params),
        "places": {
            "with": summary.shares(strongest_kinds(with_tumour, maps[has], stride)),
            "without": summary.shares(strongest_kinds(without, maps[healthy], stride)),
            "blind": _blind(without, maps.shape[1:], stride),
        },
        "text": _text(look, maker, {"with": with_tumour, "without": without}, stride, params),
    }
    figures["notes"] = notes(figures)
    return Tested(figures, scored, with_tumour, maps[has], probability[has], stride)


def _images(phantoms: Sequence[Phantom]) -> Pixels:
    return np.stack([one.image for one in phantoms])


def _those(phantoms: Sequence[Phantom], which: Any) -> list[Phantom]:
    return [one for one, wanted in zip(phantoms, which, strict=True) if wanted]


def _random_maps(
    network: Any, images: Pixels, params: LocalisationParams
) -> dict[str, list[Floats]]:
    """Maps of randomised networks, several of each kind."""
    seeds = range(params.seed, params.seed + params.random_networks)
    kinds = {HEAD: with_random_head, WEIGHTS: with_random_weights}
    return {
        name: [looking(drawn(network, seed))(images)[0] for seed in seeds]
        for name, drawn in kinds.items()
    }


def _auroc(
    phantoms: Sequence[Phantom], probability: Floats, params: LocalisationParams
) -> Estimate:
    truth = np.array([one.case.tumour for one in phantoms], np.int64)
    patients = np.array([str(one.case.patient) for one in phantoms])
    resamples = EvaluateParams(seed=params.seed, bootstrap_resamples=params.bootstrap_resamples)
    predicted = OutOfFold.of_one(Sample(truth, probability, probability >= 0.5), patients)
    return predicted.figures(resamples, intervals=True)["auroc"]


def _blind(phantoms: Sequence[Phantom], shape: Any, stride: int) -> dict[str, dict[str, float]]:
    shares = mean_shares(phantoms, shape, stride)
    return {name: {"value": round(value, 6)} for name, value in shares.items()}


def _text(
    look: Look,
    maker: Maker,
    classes: Mapping[str, Sequence[Phantom]],
    stride: int,
    params: LocalisationParams,
) -> dict[str, dict[str, Any]]:
    """By where the text is written and by class: in the file, on the network's input."""
    found: dict[str, dict[str, Any]] = {"in the file": {}, "on the network's input": {}}
    for label, phantoms in classes.items():
        written = {
            "in the file": maker.see([with_text(one.grey) for one in phantoms], "text in files"),
            "on the network's input": [with_text(one.image) for one in phantoms],
        }
        for where, pictures in written.items():
            figures = text_figures(look, _images(phantoms), pictures, stride, params)
            found[where][label] = figures
    return found
