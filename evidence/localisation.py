"""Do heat maps point at tumours? Asked of the trained model, on phantoms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.model.calibration import calibrate
from brain_tumor.model.explain import Explainer
from brain_tumor.model.metrics import (
    Estimate,
    OutOfFold,
    Plain,
    Sample,
    cluster_bootstrap,
    estimate,
    plain,
    wilson,
)
from brain_tumor.model.saved import SavedModel
from brain_tumor.report.evidence import RIVALS
from evidence.phantoms import (
    BORDER,
    OUTSIDE,
    PLACES,
    Floats,
    Maker,
    Mask,
    Phantom,
    Pixels,
    centres,
    images_of,
    in_view,
    kinds_of_places,
    pairs,
    share,
    spread_out,
    with_text,
)
from evidence.settings import LocalisationParams

Scores = dict[str, Plain]
# Images, uint8 (N, s, s), to contributions of each place to the logit, float64 (N, h, w), and the
# calibrated probability of a tumour, float64 (N,).
Explain = Callable[[Pixels], tuple[Floats, Floats]]

MODEL, CHANCE, CENTRE, HEAD, WEIGHTS = "model", "chance", "centre", "random_head", "random"
COMPARISONS = (CHANCE, CENTRE, HEAD, WEIGHTS)
NOWHERE = "nowhere"
# Of a map and a mask:
# pointing: 1 if the square of the strongest place touches the mask, else 0 (the pointing game of
#     Zhang et al. 2016, arXiv:1608.00507, with half a stride of tolerance);
# mass: fraction of the map's sum that lies in the mask, 0 to 1;
# overlap: intersection over union of the mask and as many of the strongest pixels as it has, 0
#     to 1.
SCORES = ("pointing", "mass", "overlap")


@dataclass(frozen=True)
class Localisation:
    """How well a model's heat maps point at tumours.

    Attributes:
        figures: what localisation.json holds beside its origin.
        scores: see `score_maps`.
        phantoms: the N with a tumour in view.
        maps: of these, the model's contributions, (N, h, w).
        probability: of these, calibrated, (N,).
        stride_px: pixels between neighbouring places of the maps.
    """

    figures: Mapping[str, Any]
    scores: pd.DataFrame
    phantoms: Sequence[Phantom]
    maps: Floats
    probability: Floats
    stride_px: int


def localise(model: SavedModel, maker: Maker, params: LocalisationParams) -> Localisation:
    """Judge a model by fresh phantoms.

    Raises:
        UserError: no phantom has its tumour in view.
    """
    phantoms = maker.make(params.seed, pairs(params.pairs), "phantoms")
    explain = explainer(model.network, model.meta.temperature)
    stride = model.meta.stride_px
    maps, probability = explain(images_of(phantoms))
    visible = np.array([phantom.tumour.any() for phantom in phantoms])
    healthy = np.array([not phantom.case.tumour for phantom in phantoms])
    if not visible.any():
        raise UserError(f"none of {params.pairs} phantoms has its tumour in view; make more pairs")
    with_tumour = [phantoms[number] for number in np.flatnonzero(visible)]
    without = [phantoms[number] for number in np.flatnonzero(healthy)]
    images = images_of(with_tumour)
    seeds = range(params.seed, params.seed + params.random_networks)
    random = {
        name: [explainer(draw(model.network, seed))(images)[0] for seed in seeds]
        for name, draw in ((HEAD, with_random_head), (WEIGHTS, with_random_weights))
    }
    scores = score_maps(
        with_tumour, maps[visible], random, stride, params.chance_draws, params.seed
    )
    kinds = {
        "with": strongest_kinds(with_tumour, maps[visible], stride),
        "without": strongest_kinds(without, maps[healthy], stride),
    }
    shares = mean_shares(without, maps.shape[1:], stride)
    figures: dict[str, Any] = {
        "weights": model.meta.initial_weights,
        "block": model.meta.head_block,
        "phantoms": len(with_tumour),
        "patients": params.pairs,
        **plain({"auroc": _auroc(phantoms, probability, params)}),
        "scores": mean_scores(scores, params),
        "differences": mean_differences(scores, params),
        "by_plane": scores_by("plane", scores, params),
        "by_contrast": scores_by("contrast", scores, params),
        "places": {name: kind_shares(kinds[name]) for name in kinds}
        | {"blind": {name: {"value": round(value, 6)} for name, value in shares.items()}},
        "text": _text_by_place(
            explain, maker, {"with": with_tumour, "without": without}, stride, params
        ),
    }
    figures["notes"] = notes(figures)
    return Localisation(figures, scores, with_tumour, maps[visible], probability[visible], stride)


def _auroc(
    phantoms: Sequence[Phantom], probability: Floats, params: LocalisationParams
) -> Estimate:
    truth = np.array([phantom.case.tumour for phantom in phantoms], np.int64)
    patients = np.array([str(phantom.case.patient) for phantom in phantoms])
    predicted = OutOfFold.single(Sample(truth, probability, probability >= 0.5), patients)
    return predicted.figures(params.bootstrap(), intervals=True)["auroc"]


def _text_by_place(
    explain: Explain,
    maker: Maker,
    classes: Mapping[str, Sequence[Phantom]],
    stride: int,
    params: LocalisationParams,
) -> dict[str, dict[str, Any]]:
    """By where the text is written and by class: in the file, on the network's input."""
    figures: dict[str, dict[str, Any]] = {"in the file": {}, "on the network's input": {}}
    for label, phantoms in classes.items():
        in_files = [with_text(phantom.grey) for phantom in phantoms]
        written = {
            "in the file": maker.preprocess_pictures(in_files, "text in files"),
            "on the network's input": [with_text(phantom.image) for phantom in phantoms],
        }
        for where, pictures in written.items():
            figures[where][label] = text_figures(
                explain, images_of(phantoms), pictures, stride, params
            )
    return figures


# Scores of maps.


def score_maps(
    phantoms: Sequence[Phantom],
    maps_of_model: Floats,
    random: Mapping[str, Sequence[Floats]],
    stride_px: int,
    draws: int,
    seed: int,
) -> pd.DataFrame:
    """Scores of all maps of each phantom.

    Args:
        phantoms: N of them, each with a tumour in view.
        maps_of_model: the network's contributions, (N, h, w).
        random: the same of randomised networks, several of each kind.
        stride_px: pixels between neighbouring places.
        draws: noise maps per phantom.
        seed: of the noise.

    Returns:
        A row per phantom and map: patient, plane, contrast, map (`MODEL` or one of `COMPARISONS`)
        and `SCORES`, means where there are several maps of a kind.

    Raises:
        ValueError: a phantom has no tumour in view.
    """
    rows = []
    for number, phantom in enumerate(phantoms):
        shape: tuple[int, int] = maps_of_model[number].shape
        prior = centre_prior(phantom.head, shape, stride_px)
        rng = np.random.default_rng((seed, number))
        maps = {MODEL: [maps_of_model[number]], CENTRE: [prior]}
        maps |= {name: [each[number] for each in several] for name, several in random.items()}
        maps[CHANCE] = noise(phantom.head, shape, stride_px, rng, draws)
        case = {"patient": phantom.case.patient, "plane": phantom.case.plane}
        for name, several in maps.items():
            scores = mean_score(several, phantom.tumour, stride_px)
            rows.append(case | {"contrast": phantom.contrast, "map": name} | scores)
    return pd.DataFrame(rows)


def mean_score(maps: Sequence[Floats], mask: Mask, stride_px: int) -> dict[str, float]:
    """Means of the `SCORES` of maps by one mask, see `score`."""
    scores = [score(values, mask, stride_px) for values in maps]
    return {name: float(np.mean([each[name] for each in scores])) for name in SCORES}


def score(values: Floats, mask: Mask, stride_px: int) -> dict[str, float]:
    """Judge a map by a mask; gives `SCORES`.

    Args:
        values: float64 (h, w), what each place speaks for; values below 0 count as 0. A map
            without any above 0 points nowhere and scores 0.
        mask: bool (s, s), not empty.
        stride_px: pixels between neighbouring places.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError(f"the mask {mask.shape} is empty; there is nothing to point at")
    values = np.clip(np.asarray(values, np.float64), 0, None)
    if not values.any():
        return dict.fromkeys(SCORES, 0.0)
    inside = share(mask, values.shape, stride_px)
    return {
        "pointing": float(inside[strongest(values)] > 0),
        "mass": float((values * inside).sum() / values.sum()),
        "overlap": _overlap(spread_out(values, stride_px, mask.shape[0]), mask),
    }


def strongest(values: Floats) -> tuple[int, int]:
    """Row and column of the strongest place of a map (h, w)."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(row), int(column)


def noise(
    head: Mask, shape: tuple[int, int], stride_px: int, rng: np.random.Generator, draws: int
) -> list[Floats]:
    """Maps that are noise, uniform and independent at each place of the head."""
    weight = share(head, shape, stride_px)
    return [weight * rng.random(shape) for _ in range(draws)]


def centre_prior(head: Mask, shape: tuple[int, int], stride_px: int) -> Floats:
    """A Gaussian at the head's centre, its deviations a quarter of the head's height and width."""
    down, across = (
        _bell(centres(side, stride_px, head.shape[0]), pixels)
        for side, pixels in zip(shape, np.nonzero(head), strict=True)
    )
    return np.asarray(np.outer(down, across), np.float64)


def _bell(places: Floats, pixels: NDArray[np.int64]) -> Floats:
    sigma = max(float(np.ptp(pixels)), 1.0) / 4
    return np.asarray(np.exp(-0.5 * ((places - pixels.mean()) / sigma) ** 2), np.float64)


def _overlap(pixels: Floats, mask: Mask) -> float:
    area = int(mask.sum())
    chosen = np.zeros(pixels.size, dtype=np.bool_)
    chosen[np.argsort(-pixels, axis=None, kind="stable")[:area]] = True
    chosen &= pixels.ravel() > 0
    return int((chosen & mask.ravel()).sum()) / int((chosen | mask.ravel()).sum())


def mean_scores(table: pd.DataFrame, params: LocalisationParams) -> dict[str, Scores]:
    """Mean of each score of each kind of map, by the table of `score_maps`."""
    return {name: _means(_wide(table, name), params) for name in (MODEL, *COMPARISONS)}


def mean_differences(table: pd.DataFrame, params: LocalisationParams) -> dict[str, Scores]:
    """The model's score minus that of each rival on the same phantom, averaged."""
    ours = _wide(table, MODEL)
    return {name: _means(ours - _wide(table, name), params) for name in COMPARISONS}


def scores_by(
    column: str, table: pd.DataFrame, params: LocalisationParams
) -> dict[str, dict[str, Any]]:
    """For each plane or contrast the number of phantoms, the scores and the differences."""
    return {
        str(part): {
            "phantoms": int(rows["patient"].nunique()),
            "scores": mean_scores(rows, params),
            "differences": mean_differences(rows, params),
        }
        for part, rows in table.groupby(column)
    }


def _means(wide: pd.DataFrame, params: LocalisationParams) -> Scores:
    return plain({name: mean_estimate(wide[name].to_numpy(np.float64), params) for name in SCORES})


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The scores of one kind of map, indexed by patient."""
    return table[table["map"] == name].set_index("patient").sort_index()[list(SCORES)]


def mean_estimate(values: Floats, params: LocalisationParams) -> Estimate:
    """Mean of values, one of each patient, with a percentile interval over resampled patients."""
    if len(values) < 2:
        return Estimate(float(values.mean()))
    weights = cluster_bootstrap(np.arange(len(values)), params.bootstrap())
    return estimate(lambda drawn: (drawn @ values) / len(values), weights) or Estimate(np.nan)


# Where maps point.


def strongest_kinds(phantoms: Sequence[Phantom], maps: Floats, stride_px: int) -> list[str]:
    """What the strongest place for a tumour touches, of contributions (N, h, w).

    A map with nothing above 0 points nowhere: its kind is none of `PLACES`.
    """
    return [
        str(kinds_of_places(phantom, values.shape, stride_px)[strongest(values)])
        if values.max() > 0
        else NOWHERE
        for phantom, values in zip(phantoms, maps, strict=True)
    ]


def kind_shares(kinds: Sequence[str]) -> dict[str, Plain]:
    """How often the strongest place is of which kind, one of each patient: Wilson intervals."""
    return plain({name: wilson(kinds.count(name), len(kinds)) for name in PLACES})


def mean_shares(
    phantoms: Sequence[Phantom], shape: tuple[int, ...], stride_px: int
) -> dict[str, float]:
    """Share of all places that are of each kind: how often a place taken blindly is."""
    kinds = np.stack([kinds_of_places(phantom, shape, stride_px) for phantom in phantoms])
    return {name: float((kinds == name).mean()) for name in PLACES}


def text_figures(
    explain: Explain,
    before: Pixels,
    written: Sequence[tuple[Pixels, Mask]],
    stride_px: int,
    params: LocalisationParams,
) -> dict[str, Any]:
    """What text does to phantoms of one class, one of each patient.

    Args:
        explain: the network.
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
    (maps, p), (maps_without, p_without) = explain(after[kept]), explain(before[kept])
    figures = {
        "strongest_at_text": _hits(maps, masks, stride_px),
        "strongest_there_without": _hits(maps_without, masks, stride_px),
        "probability_moved": mean_estimate(p - p_without, params),
    }
    return counts | plain(figures)


def _hits(maps: Floats, masks: Sequence[Mask], stride_px: int) -> Estimate:
    """Share of maps with a strongest place above 0 whose square touches their mask."""
    hits = [
        values.max() > 0 and share(mask, values.shape, stride_px)[strongest(values)] > 0
        for values, mask in zip(maps, masks, strict=True)
    ]
    return wilson(int(np.sum(hits)), len(masks))


# Networks.


def explainer(network: Any, temperature: float | None = None) -> Explain:
    """What gives a network's maps and probabilities; `temperature` as for `calibrate`."""
    whole = Explainer(network)

    def explain(images: Pixels) -> tuple[Floats, Floats]:
        answer = whole.see(images)
        return answer.contributions.astype(np.float64), calibrate(answer.probability, temperature)

    return explain


def with_random_head(network: Any, seed: int) -> Any:
    """A copy whose sigmoid unit has normal weights; trunk and standardisation stay."""
    import keras

    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    leaves = [leaf for layer in copy.layers for leaf in getattr(layer, "layers", [layer])]
    dense = [leaf for leaf in leaves if type(leaf).__name__ == "Dense"][-1]
    kernel, bias = dense.get_weights()
    drawn = np.random.default_rng(seed).normal(0, 1 / np.sqrt(len(kernel)), kernel.shape)
    dense.set_weights([drawn.astype(np.float32), np.zeros_like(bias)])
    return copy


def with_random_weights(network: Any, seed: int) -> Any:
    """A copy with every weight drawn anew, as before any training."""
    import keras

    keras.utils.set_random_seed(seed)
    return keras.models.clone_model(network)


# Sentences.


def notes(figures: Mapping[str, Any]) -> list[str]:
    """Sentences on what maps beat, where else they point, and scanner text.

    Read are `differences`, `by_plane`, `places` and `text` of `Localisation.figures`.
    """
    planes, places = figures["by_plane"], figures["places"]
    return [
        _verdict("All planes", figures["differences"]),
        *(_verdict(name.capitalize(), part["differences"]) for name, part in planes.items()),
        _preference(BORDER, "at the border of the head", places),
        _preference(OUTSIDE, "outside the head", places),
        *_text_notes(figures["text"]),
    ]


def _verdict(where: str, differences: Mapping[str, Scores]) -> str:
    """Which differences are shown: their interval lies above zero."""
    failed = {
        rival: [name for name, figure in figures.items() if figure.get("low", 0.0) <= 0]
        for rival, figures in differences.items()
    }
    total, missing = (sum(map(len, each.values())) for each in (differences, failed))
    reasons = "; ".join(
        f"{' and '.join(names)} against {RIVALS[rival]}" for rival, names in failed.items() if names
    )
    start = f"{where}: {total - missing} of {total} differences have an interval above zero"
    return f"{start}; not shown: {reasons}." if reasons else f"{start}."


def _preference(place: str, where: str, places: Mapping[str, Scores]) -> str:
    """Whether maps prefer a kind of place where there is no tumour to point at."""
    healthy, blind = places["without"][place], places["blind"][place]["value"]
    if healthy["low"] > blind:
        word = "favour"
    elif healthy["high"] < blind:
        word = "avoid"
    else:
        word = "neither favour nor avoid"
    return (
        f"Maps {word} places {where}: without a tumour the strongest is one in "
        f"{_percent(healthy)} of phantoms, with a tumour in {_percent(places['with'][place])}; "
        f"{blind:.0%} of all places are."
    )


def _text_notes(text: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    for where, classes in text.items():
        for label, figures in classes.items():
            start = (
                f"Scanner text {where}, phantoms {label} tumour: letters reach the network in "
                f"{figures['in_view']} of {figures['phantoms']}"
            )
            if not figures["in_view"]:
                yield f"{start}."
                continue
            hits, without, moved = (
                figures[name]
                for name in ("strongest_at_text", "strongest_there_without", "probability_moved")
            )
            word = "point" if hits["low"] > without["high"] else "are not shown to point"
            yield (
                f"{start}; maps {word} at it (strongest place there in {_percent(hits)}; without "
                f"text in {without['value']:.0%}), and it moves the probability by "
                f"{moved['value']:+.3f}{_ends(moved, '{:+.3f}')} on average."
            )


def _percent(figure: Plain) -> str:
    return f"{figure['value']:.0%}{_ends(figure, '{:.0%}')}"


def _ends(figure: Plain, form: str) -> str:
    if "low" not in figure:
        return ""
    return f" [{form.format(figure['low'])}, {form.format(figure['high'])}]"
