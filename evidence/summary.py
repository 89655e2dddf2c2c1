"""What the study shows, summarised from its finished parts."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.data.copies import clusters
from brain_tumor.imaging.figures import contact_sheet
from brain_tumor.imaging.read import read_grey
from brain_tumor.model import metrics
from brain_tumor.model.calibration import HALF, reliability
from brain_tumor.model.metrics import (
    FIGURES,
    Floats,
    Plain,
    Sample,
    Statistic,
    ece_floor,
    estimate,
    evaluate_repeats,
    paired_difference,
    plain,
    with_floor,
)
from brain_tumor.settings import EvaluateParams
from brain_tumor.shards import open_images
from evidence.baselines import NAMES

LEAST_PER_CLASS = 10  # images of either class; below, a part's figures would say nothing
SHOWN = ("sensitivity", "specificity", "auroc", "log_loss")
UNKNOWN = "not known"
# Planes of the 253 (Kaggle's `brain-mri-images-for-brain-tumor-detection`) as seen by eye, by the
# SHA-256 of files; all others of that collection are axial. With images added it is not known.
SEEN_IMAGES = 253
SEEN_PLANES = {
    "9b1014fc56b1e254bfc3e6cae29a522eae9071ff2d4e125160968da77661c6e4": "coronal",  # no/19 no.jpg
    "ae6296325b0ca772eceef61bb217df54df4d8c060e9f14575b38530c62856e5d": "coronal",  # yes/Y104.jpg
    "a811436248b91154fa4c4ea04d0de367525cc5811003cfb0991bc9981aeeb0fd": "coronal",  # yes/Y147.JPG
    "839960129c2d239176e8fc23b89226143fab17ceddc05f0dc6aa433d675209da": "coronal",  # yes/Y250.jpg
    "78f18e7c21c4783fb7b731563dfff68ca4d6eb60aaf1f907972a253f8746f717": "coronal",  # yes/Y51.jpg
    "8d6c1b4cd984419b60c39cf4b70a7e6c7d67604f2e386a0113c6a85427761030": "no brain",  # yes/Y248.JPG
}


def image_traits(manifest: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image, by manifest and records of stage preprocess.

    Indexed by manifest path, text columns plane (by eye), plane (by the alignment), alignment,
    format, colour, copies. Planes were looked at in the paper's collection only. (The sequence, T1,
    T2 or other, is not recorded in pictures without a header.)
    """
    table = manifest.set_index("path")
    preprocessed = records.set_index("path").reindex(table.index).fillna("")
    cluster = clusters(manifest)
    plane = preprocessed["plane"].astype(str)
    failed = preprocessed["fallback"].astype(str) != ""
    seen = table["sha256"].map(SEEN_PLANES)
    are_seen = len(table) == SEEN_IMAGES and set(SEEN_PLANES) <= set(table["sha256"])
    return pd.DataFrame(
        {
            "plane (by eye)": seen.fillna("axial" if are_seen else UNKNOWN),
            "plane (by the alignment)": plane.where((plane != "") & ~failed, UNKNOWN),
            "alignment": np.where(failed, "not trusted", "trusted"),
            "format": table["format"],
            "colour": np.where(table["mode"] == "L", "grey", "colour"),
            "copies": np.where(cluster.map(cluster.value_counts()) > 1, "has copies", "single"),
        },
        index=table.index,
    )


def subgroup_rows(
    folds: pd.DataFrame, traits: pd.DataFrame, params: EvaluateParams
) -> list[dict[str, Any]]:
    """Each part of the images with its counts and, where it is large enough, `SHOWN` figures."""
    rows = []
    for trait in traits.columns:
        values = folds["path"].map(traits[trait])
        if values.nunique() < 2:
            continue
        for value, part in folds.groupby(values):
            counts = part.drop_duplicates("path")["y"]
            yes, no = int(counts.sum()), int((1 - counts).sum())
            computed = _figures(part, params) if min(yes, no) >= LEAST_PER_CLASS else {}
            figures = {name: computed[name] for name in SHOWN if name in computed}
            rows.append(
                {"by": trait, "value": str(value), "no": no, "yes": yes, "figures": figures}
            )
    return rows


Figures = dict[str, Plain]
COMPARED = ("balanced_accuracy", "auroc", "log_loss", "brier")
BY_THRESHOLD = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1",
)  # fmt: skip
# What a baseline cannot have: a constant ranks nothing, and 0 or 1 has no finite log loss.
_RANKING = ("auroc", "auroc_per_fold", "auprc")
_CALIBRATION = (
    "log_loss", "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
_UNDEFINED = {
    "majority": (*_RANKING, "calibration_slope", "calibration_intercept"),
    "pixels_1nn": _CALIBRATION,
}


def summarise_headline(
    folds: pd.DataFrame,
    facts: Sequence[Mapping[str, Any]],
    traits: pd.DataFrame,
    suspects: Sequence[str],
    target: float | None,
    params: EvaluateParams,
    former: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """All figures of the track; `folds` and `facts` are as `headline.read_folds` gives them.

    `suspects` are paths of images whose label is doubted; `target` is the sensitivity that the
    operating threshold is set for (None: the threshold is 0.5). `former` has the same images in
    the same repeats, predicted by a former recipe.
    """
    half = folds.assign(threshold=HALF)  # called a tumour from 0.5 on, as the baselines are
    first = folds[folds["repeat"] == folds["repeat"].min()]
    baselines = {name: _baseline(half, name, params) for name in NAMES}
    raw = _figures(folds.assign(probability=folds["uncalibrated"]), params)
    best = max(baselines, key=lambda name: baselines[name].get("auroc", {"value": 0.0})["value"])
    kept = ~folds["path"].isin(suspects)
    chosen = ("repeat", "fold", "chosen", "temperature", "threshold", "wall_s")
    seconds = pd.DataFrame(facts, columns=["repeat", "wall_s"]).groupby("repeat")["wall_s"].sum()
    return {
        "images": int(folds["path"].nunique()),
        "clusters": int(folds["cluster"].nunique()),
        "repeats": int(folds["repeat"].nunique()),
        "folds": int(folds["fold"].nunique()),
        "target_sensitivity": target,
        "figures": _figures(folds, params),
        "at_half": _called(half, params),
        "uncalibrated": {key: raw[key] for key in raw if key not in BY_THRESHOLD},
        "by_repeat": _by_repeat(folds),
        "baselines": baselines,
        "best_baseline": best,
        "paired": _paired(half, best, params),
        "former": None if former is None else _former(half, former, params),
        "without_suspects": {
            "left_out": list(suspects),
            "figures": _figures(folds[kept], params),
            "at_half": _called(half[kept], params),
            "best_baseline": _baseline(half[kept], best, params),
        },
        "reliability": reliability(*_pair(first)).round(6).to_dict("records"),
        "subgroups": subgroup_rows(folds, traits, params),
        "chosen": [{name: fold[name] for name in chosen} for fold in facts],
        "wall_s": {str(repeat): round(float(each), 1) for repeat, each in seconds.items()},
    }


def _called(half: pd.DataFrame, params: EvaluateParams) -> Figures:
    figures = _figures(half, params)
    return {key: figures[key] for key in figures if key in BY_THRESHOLD}


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> Figures:
    return plain(evaluate_repeats(rows, params))


def _baseline(half: pd.DataFrame, name: str, params: EvaluateParams) -> Figures:
    figures = _figures(half.assign(probability=half[name]), params)
    return {key: figures[key] for key in figures if key not in _UNDEFINED.get(name, ())}


def _paired(half: pd.DataFrame, best: str, params: EvaluateParams) -> Figures:
    theirs = half.assign(probability=half[best])
    undefined = _UNDEFINED.get(best, ())
    return plain(
        {
            figure: paired_difference(half, theirs, figure, params)
            for figure in COMPARED
            if figure not in undefined
        }
    )


def _former(half: pd.DataFrame, former: pd.DataFrame, params: EvaluateParams) -> dict[str, Any]:
    """Figures of a former recipe on the same images, and the recipe's minus these."""
    theirs = former.assign(threshold=HALF)
    figures = _figures(theirs, params)
    paired = {figure: paired_difference(half, theirs, figure, params) for figure in COMPARED}
    return {"figures": {key: figures[key] for key in COMPARED}, "paired": plain(paired)}


def _by_repeat(folds: pd.DataFrame) -> dict[str, list[float]]:
    """What each repeat has on its own: how much the assignment to folds moves a figure."""
    figures: dict[str, Callable[[pd.DataFrame], float]] = {
        "balanced_accuracy": lambda rows: metrics.balanced_accuracy(
            rows["y"].to_numpy(np.int64),
            np.asarray(rows["probability"] >= rows["threshold"], np.float64),
            HALF,
        ),
        "auroc": lambda rows: metrics.auroc(*_pair(rows)),
        "log_loss": lambda rows: metrics.log_loss(*_pair(rows)),
    }
    return {
        name: [round(figure(rows), 6) for _, rows in folds.groupby("repeat")]
        for name, figure in figures.items()
    }


def _pair(rows: pd.DataFrame) -> tuple[metrics.Labels, metrics.Floats]:
    return rows["y"].to_numpy(np.int64), rows["probability"].to_numpy(np.float64)


# Kim & Ye 2019: figures of the last epoch and of the confusion matrices.
PUBLISHED = {
    "train": {"accuracy": 0.90, "log_loss": 0.5638},
    "val": {
        "accuracy": 43 / 50,
        "sensitivity": 28 / 32,
        "specificity": 15 / 18,
        "log_loss": 1.2766,
    },
    "test": {"accuracy": 36 / 40, "sensitivity": 18 / 20, "specificity": 18 / 20},
}
SPREAD = ("accuracy", "sensitivity", "specificity", "log_loss")
QUANTILES = {"lowest": 0.0, "quarter": 0.25, "median": 0.5, "three_quarters": 0.75, "highest": 1.0}


def summarise_paper(
    seeds: pd.DataFrame, facts: Sequence[Mapping[str, Any]], params: EvaluateParams
) -> dict[str, Any]:
    """All figures of the track; `seeds` and `facts` are as `paper.read_seeds` gives them."""
    by_seed = per_seed(seeds)
    test = by_seed[by_seed["split"] == "test"]["accuracy"]
    published = PUBLISHED["test"]["accuracy"]
    return {
        "seeds": int(seeds["seed"].nunique()),
        "published": PUBLISHED,
        "spread": {name: _spread(rows) for name, rows in by_seed.groupby("split")},
        "as_good_as_published": int((test >= published - 1e-9).sum()),
        "figures": {name: _mean_figures(seeds, name, params) for name in ("val", "test")},
        "twins": twins(seeds[seeds["split"] == "test"], params),
        "by_seed": by_seed.round(6).to_dict("records"),
        "wall_s": round(float(sum(seed["wall_s"] for seed in facts)), 1),
    }


def per_seed(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row for each seed and split: `SPREAD`, images, twins (of them in train)."""
    rows = []
    for (seed, split), part in seeds.groupby(["seed", "split"]):
        truth, probability = _pair(part)
        hits = metrics.proportions(metrics.confusion(truth, probability, HALF))
        rows.append(
            {
                "seed": seed,
                "split": split,
                **{figure: hits[figure][0] / hits[figure][1] for figure in SPREAD[:3]},
                "log_loss": metrics.log_loss(truth, probability),
                "images": len(part),
                "twins": int(part["twin"].sum()),
            }
        )
    return pd.DataFrame(rows)


def _spread(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean and quantiles over seeds."""
    return {
        figure: {"mean": round(float(rows[figure].mean()), 6)}
        | {name: round(float(rows[figure].quantile(at)), 6) for name, at in QUANTILES.items()}
        for figure in SPREAD
    }


def _mean_figures(seeds: pd.DataFrame, name: str, params: EvaluateParams) -> dict[str, Plain]:
    """Means over seeds, with intervals over clusters resampled jointly over seeds.

    A resample in which a figure is undefined for some seeds is the mean of the others.
    """
    rows = seeds[seeds["split"] == name].reset_index(drop=True)
    member = np.unique(rows["cluster"].to_numpy(str), return_inverse=True)[1]
    image = np.unique(rows["path"].to_numpy(str), return_inverse=True)[1]
    samples, floors = [], []
    for _, part in rows.groupby("seed", sort=True):
        truth, p = _pair(part)
        samples.append((Sample(truth, p, p >= HALF), member[part.index.to_numpy()]))
        floors.append((p, image[part.index]))

    def mean(figure: Statistic, weights: Floats) -> Floats:
        each = np.array([figure(sample, weights[:, places]) for sample, places in samples])
        return _divided(np.nansum(each, axis=0), np.isfinite(each).sum(axis=0))

    weights = _resamples(int(member.max()) + 1, params)
    figures = {key: estimate(partial(mean, figure), weights) for key, figure in FIGURES.items()}
    return plain(with_floor(figures, ece_floor(floors, params)))


# Not `metrics.cluster_bootstrap`: that draws other resamples, and committed intervals would move.
def _resamples(clusters: int, params: EvaluateParams) -> Floats:
    """How often each cluster is drawn in each resample: float64 (resamples, clusters)."""
    rng = np.random.default_rng(params.seed)
    shares = np.full(clusters, 1.0 / clusters)
    return rng.multinomial(clusters, shares, params.bootstrap_resamples).astype(np.float64)


def twins(test: pd.DataFrame, params: EvaluateParams) -> dict[str, Any]:
    """Accuracy on test images with a twin in train and without one.

    Pooled over seeds, with percentile intervals over clusters, resampled jointly. `same pictures`
    looks at pictures that have copies at all only: what differs there is whether one is in train.
    """
    right = (test["probability"] >= HALF) == (test["y"] == 1)
    table = test.assign(right=right.astype("int64"))
    copied = table["cluster"].isin(set(table.loc[table["twin"], "cluster"]))
    return {
        "images_with_twin": round(float(table.groupby("seed")["twin"].sum().mean()), 3),
        "all pictures": _compared(table, params),
        "same pictures": _compared(table[copied], params),
    }


def _compared(table: pd.DataFrame, params: EvaluateParams) -> dict[str, Any]:
    """Accuracy with a twin, without, and the difference; nothing where there are none."""
    clusters = sorted(set(table["cluster"]))
    by_twin = [table[table["twin"] == twin].groupby("cluster")["right"] for twin in (True, False)]
    right, images = (
        np.stack([rows.agg(how).reindex(clusters).fillna(0) for rows in by_twin]).astype(np.float64)
        for how in ("sum", "size")
    )
    predictions = {"with_twin": int(images[0].sum()), "without_twin": int(images[1].sum())}
    if not clusters:
        return {"predictions": predictions}

    def share(which: int, weights: Floats) -> Floats:
        return _divided(weights @ right[which], weights @ images[which])

    weights = _resamples(len(clusters), params)
    figures = {
        "with_twin": estimate(partial(share, 0), weights),
        "without_twin": estimate(partial(share, 1), weights),
        "difference": estimate(lambda drawn: share(0, drawn) - share(1, drawn), weights),
    }
    defined = {key: figure for key, figure in figures.items() if figure}
    return {"predictions": predictions, **plain(defined)}


def _divided(hits: Floats, images: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.asarray(np.divide(hits, images, out=np.full(len(hits), np.nan), where=images > 0))


def confident_errors(
    folds: pd.DataFrame, suspects: Collection[str], most: int = 20
) -> pd.DataFrame:
    """Images whose mean probability over repeats is on the wrong side of 0.5, the surest first.

    Returns:
        Columns path, label, cluster, probability (mean over repeats), lowest, highest, missed (in
        how many repeats it was called wrong at the operating threshold), repeats, suspect (whether
        the label was doubted before any model).
    """
    called = folds["probability"] >= folds["threshold"]
    table = folds.assign(missed=(called != (folds["y"] == 1)).astype("int64"))
    images = table.groupby(["path", "label", "cluster", "y"], as_index=False).agg(
        probability=("probability", "mean"),
        lowest=("probability", "min"),
        highest=("probability", "max"),
        missed=("missed", "sum"),
        repeats=("repeat", "nunique"),
    )
    images["suspect"] = images["path"].isin(suspects)
    images["away"] = (images["probability"] - images["y"]).abs()
    wrong = images[images["away"] > HALF].sort_values(["away", "path"], ascending=[False, True])
    return wrong.drop(columns=["away", "y"]).head(most).reset_index(drop=True)


def errors_sheet(errors: pd.DataFrame, data: Path, images: Path, path: Path) -> None:
    """Draw errors, raw (in `data`) and preprocessed (in `images`), under name and probability.

    The PNG at `path` shows real images, so it never goes under git.
    """
    names = list(errors["path"])
    tiles = [
        (f"{name}: {probability:.2f}", (read_grey((data / name).read_bytes()), image))
        for name, probability, image in zip(
            names, errors["probability"], open_images(images, names)[:], strict=True
        )
    ]
    title = f"The {len(names)} surest errors: raw and preprocessed, mean probability of a tumour"
    contact_sheet(tiles, path, title, columns=4, side_px=104)
