"""Do heat maps point at tumours? Asked of the trained model, on phantoms."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

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
    wilson,  # fmt: skip
)
from brain_tumor.model.saved import SavedModel
from brain_tumor.model.shapes import stride_px
from brain_tumor.report.evidence import RIVALS
from brain_tumor.settings import EvaluateParams
from evidence.phantoms import Maker, Phantom, Pixels, pairs
from evidence.settings import LocalisationParams

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scored = dict[str, dict[str, Plain]]
# Images, uint8 (N, s, s), to contributions of each place to the logit, float64 (N, h, w), and the
# calibrated probability of a tumour, float64 (N,).
Look = Callable[[NDArray[np.uint8]], tuple[Floats, Floats]]

NAMES = ("pointing", "mass", "overlap")
MODEL, CHANCE, CENTRE, HEAD, WEIGHTS = "model", "chance", "centre", "random_head", "random"
COMPARISONS = (CHANCE, CENTRE, HEAD, WEIGHTS)
TUMOUR, BORDER, INSIDE, OUTSIDE = PLACES = (
    "tumour", "border of the head", "elsewhere in the head", "outside the head",
)  # fmt: skip
NOWHERE = "nowhere"
_ASTRAY = {BORDER: "at the border of the head", OUTSIDE: "outside the head"}
_WORDS = "A 12  TR 4500 TE 98\nSE 3  IM 17"
_BRIGHTER = 50  # grey levels, of 255, by which a letter must brighten a pixel to be in view


@dataclass(frozen=True)
class Scores:
    """How well one map, or several maps of a kind on average, point at a mask.

    Attributes:
        pointing: 1 if the square of the strongest place touches the mask, else 0 (the pointing game
            of Zhang et al. 2016, arXiv:1608.00507, with half a stride of tolerance).
        mass: fraction of the map's sum that lies in the mask, 0 to 1.
        overlap: intersection over union of the mask and as many of the strongest pixels as it has,
            0 to 1.
    """

    pointing: float
    mass: float
    overlap: float

    @classmethod
    def mean(cls, scores: list[Self]) -> Self:
        """The average, at least one."""
        return cls(*(float(np.mean([getattr(one, f.name) for one in scores])) for f in fields(cls)))


@dataclass(frozen=True)
class Tested:
    """What came of it.

    Attributes:
        figures: what localisation.json holds beside its origin.
        scored: see `judged`.
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
        UserError: no phantom has its tumour in view.
    """
    phantoms = maker.make(params.seed, pairs(params.pairs), "phantoms")
    look, stride = looking(model.network, model.meta.temperature), stride_px(model.meta.head_block)
    maps, probability = look(_images(phantoms))
    has = np.array([one.tumour.any() for one in phantoms])
    healthy = np.array([not one.case.tumour for one in phantoms])
    if not has.any():
        raise UserError(f"none of {params.pairs} phantoms has its tumour in view; make more pairs")
    with_tumour, without = _those(phantoms, has), _those(phantoms, healthy)
    random = _random_maps(model.network, _images(with_tumour), params)
    scored = judged(with_tumour, maps[has], random, stride, params.chance_draws, params.seed)
    figures: dict[str, Any] = {
        "weights": model.meta.initial_weights,
        "block": model.meta.head_block,
        "phantoms": len(with_tumour),
        "patients": params.pairs,
        **plain({"auroc": _auroc(phantoms, probability, params)}),
        "scores": mean_scores(scored, params),
        "differences": mean_differences(scored, params),
        "by_plane": scores_by("plane", scored, params),
        "by_contrast": scores_by("contrast", scored, params),
        "places": {
            "with": kind_shares(strongest_kinds(with_tumour, maps[has], stride)),
            "without": kind_shares(strongest_kinds(without, maps[healthy], stride)),
            "blind": _blind(without, maps.shape[1:], stride),
        },
        "text": _text_by_place(
            look, maker, {"with": with_tumour, "without": without}, stride, params
        ),
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


def _text_by_place(
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


def judged(
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
        A row per phantom and map: patient, plane, contrast, map (`MODEL` or one of `COMPARISONS`),
        pointing, mass, overlap (see `Scores`; means where there are several maps of a kind).

    Raises:
        ValueError: a phantom has no tumour in view.
    """
    rows = []
    for number, phantom in enumerate(phantoms):
        shape: tuple[int, int] = maps_of_model[number].shape
        prior = centre_prior(phantom.head, shape, stride_px)
        maps = {MODEL: [maps_of_model[number]], CENTRE: [prior]}
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


def score(values: Floats, mask: Mask, stride_px: int) -> Scores:
    """Judge a map by a mask.

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
        return Scores(0.0, 0.0, 0.0)
    inside = share(mask, _shape(values), stride_px)
    return Scores(
        pointing=float(inside[strongest(values)] > 0),
        mass=float((values * inside).sum() / values.sum()),
        overlap=_overlap(spread_out(values, stride_px, mask.shape[0]), mask),
    )


def strongest(values: Floats) -> tuple[int, int]:
    """Row and column of the strongest place of a map (h, w)."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(row), int(column)


def chance(
    head: Mask,
    mask: Mask,
    shape: tuple[int, int],
    stride_px: int,
    rng: np.random.Generator,
    draws: int,
) -> Scores:
    """What maps score that are noise, uniform and independent at each place of the head."""
    weight = share(head, shape, stride_px)
    return Scores.mean([score(weight * rng.random(shape), mask, stride_px) for _ in range(draws)])


def centre_prior(head: Mask, shape: tuple[int, int], stride_px: int) -> Floats:
    """A Gaussian at the head's centre, its deviations a quarter of the head's height and width."""
    down, across = (
        _bell(centres(side, stride_px, head.shape[0]), at)
        for side, at in zip(shape, np.nonzero(head), strict=True)
    )
    return np.asarray(np.outer(down, across), np.float64)


def outline(mask: Mask) -> Mask:
    """The edge of a mask, one pixel wide, inside it."""
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge


def _bell(places: Floats, pixels: NDArray[np.int64]) -> Floats:
    sigma = max(float(np.ptp(pixels)), 1.0) / 4
    return np.asarray(np.exp(-0.5 * ((places - pixels.mean()) / sigma) ** 2), np.float64)


def _overlap(pixels: Floats, mask: Mask) -> float:
    area = int(mask.sum())
    chosen = np.zeros(pixels.size, dtype=np.bool_)
    chosen[np.argsort(-pixels, axis=None, kind="stable")[:area]] = True
    chosen &= pixels.ravel() > 0
    both, either = (int(f(chosen, mask.ravel()).sum()) for f in (np.logical_and, np.logical_or))
    return both / either


def _shape(values: Floats) -> tuple[int, int]:
    return int(values.shape[0]), int(values.shape[1])


def mean_scores(table: pd.DataFrame, params: LocalisationParams) -> Scored:
    """Mean of each score of each kind of map.

    Args:
        table: see `judged`.
        params: section `localisation`.
    """
    return {name: _means(_wide(table, name), params) for name in (MODEL, *COMPARISONS)}


def mean_differences(table: pd.DataFrame, params: LocalisationParams) -> Scored:
    """The model's score minus that of each rival on the same phantom, averaged."""
    ours = _wide(table, MODEL)
    return {name: _means(ours - _wide(table, name), params) for name in COMPARISONS}


def scores_by(
    what: str, table: pd.DataFrame, params: LocalisationParams
) -> dict[str, dict[str, Any]]:
    """For each plane or contrast the number of phantoms, the scores and the differences."""
    return {
        str(part): {
            "phantoms": int(rows["patient"].nunique()),
            "scores": mean_scores(rows, params),
            "differences": mean_differences(rows, params),
        }
        for part, rows in table.groupby(what)
    }


def kind_shares(kinds: Sequence[str]) -> dict[str, Plain]:
    """How often the strongest place is of which kind, one of each patient: Wilson intervals."""
    return plain({name: wilson(kinds.count(name), len(kinds)) for name in PLACES})


def mean_estimate(values: Floats, params: LocalisationParams) -> Estimate:
    """Mean of values, one of each patient, with a percentile interval over resampled patients."""
    if len(values) < 2:
        return Estimate(float(values.mean()))
    resamples = EvaluateParams(seed=params.seed, bootstrap_resamples=params.bootstrap_resamples)
    weights = cluster_bootstrap(np.arange(len(values)), resamples)
    return estimate(lambda drawn: (drawn @ values) / len(values), weights) or Estimate(np.nan)


def _means(wide: pd.DataFrame, params: LocalisationParams) -> dict[str, Plain]:
    return plain({name: mean_estimate(wide[name].to_numpy(np.float64), params) for name in NAMES})


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The scores of one kind of map, indexed by patient."""
    return table[table["map"] == name].set_index("patient").sort_index()[list(NAMES)]


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


def looking(network: Any, temperature: float | None = None) -> Look:
    """How a network is asked; `temperature` as for `calibrate`."""
    explainer = Explainer(network)

    def look(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        seen = explainer.see(images)
        return seen.contributions.astype(np.float64), calibrate(seen.probability, temperature)

    return look


def with_random_head(network: Any, seed: int) -> Any:
    """A copy whose sigmoid unit has normal weights; trunk and standardisation stay."""
    copy = _clone(network)
    copy.set_weights(network.get_weights())
    dense = _units(copy)[-1]
    kernel, bias = dense.get_weights()
    drawn = np.random.default_rng(seed).normal(0, 1 / np.sqrt(len(kernel)), kernel.shape)
    dense.set_weights([drawn.astype(np.float32), np.zeros_like(bias)])
    return copy


def with_random_weights(network: Any, seed: int) -> Any:
    """A copy with every weight drawn anew, as before any training."""
    import keras

    keras.utils.set_random_seed(seed)
    return _clone(network)


def _clone(network: Any) -> Any:
    import keras

    return keras.models.clone_model(network)


def _units(network: Any) -> list[Any]:
    """Dense layers, also those within layers."""
    leaves = [leaf for layer in network.layers for leaf in getattr(layer, "layers", [layer])]
    return [leaf for leaf in leaves if type(leaf).__name__ == "Dense"]


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


def share(mask: NDArray[np.bool_], shape: tuple[int, int], stride_px: int) -> Floats:
    """Fraction of each place's square that a mask (s, s) fills, float64 `shape`, 0 to 1."""
    down, across = (_boxes(side, stride_px, mask.shape[0]) for side in shape)
    filled: Floats = down @ mask.astype(np.float64) @ across.T
    return filled


def spread_out(values: Floats, stride_px: int, size_px: int) -> Floats:
    """Values of places on the pixels of the image, linear, edges held; float64 (s, s)."""
    down, across = (_lines(side, stride_px, size_px) for side in values.shape)
    pixels: Floats = down @ values @ across.T
    return pixels


def notes(found: Mapping[str, Any]) -> list[str]:
    """Sentences on what maps beat, where else they point, and scanner text.

    Args:
        found: see stage localisation: differences, by_plane, places, text.
    """
    planes = found["by_plane"]
    return [
        _verdict("All planes", found["differences"]),
        *(_verdict(name.capitalize(), one["differences"]) for name, one in planes.items()),
        *(_astray(*place, found["places"]) for place in _ASTRAY.items()),
        *_text(found["text"]),
    ]


def _verdict(where: str, differences: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Which differences are shown: their interval lies above zero."""
    failed = {
        rival: [name for name, one in figures.items() if one.get("low", 0.0) <= 0]
        for rival, figures in differences.items()
    }
    total, missing = (sum(map(len, one.values())) for one in (differences, failed))
    told = "; ".join(
        f"{' and '.join(names)} against {RIVALS[rival]}" for rival, names in failed.items() if names
    )
    start = f"{where}: {total - missing} of {total} differences have an interval above zero"
    return f"{start}; not shown: {told}." if told else f"{start}."


def _astray(place: str, where: str, places: Mapping[str, Mapping[str, Any]]) -> str:
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


def _text(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Iterator[str]:
    for where, classes in found.items():
        for label, one in classes.items():
            start = (
                f"Scanner text {where}, phantoms {label} tumour: letters reach the network in "
                f"{one['in_view']} of {one['phantoms']}"
            )
            yield f"{start}; {_drawn(one)}" if one["in_view"] else f"{start}."


def _drawn(one: Mapping[str, Any]) -> str:
    hits, without, moved = (
        one[name] for name in ("strongest_at_text", "strongest_there_without", "probability_moved")
    )
    word = "point" if hits["low"] > without["high"] else "are not shown to point"
    return (
        f"maps {word} at it (strongest place there in {_percent(hits)}; without text in "
        f"{without['value']:.0%}), and it moves the probability by {moved['value']:+.3f}"
        f"{_ends(moved, '{:+.3f}')} on average."
    )


def _percent(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.0%}{_ends(figure, '{:.0%}')}"


def _ends(figure: Mapping[str, Any], form: str) -> str:
    if "low" not in figure:
        return ""
    return f" [{form.format(figure['low'])}, {form.format(figure['high'])}]"
