"""The paper track in figures: what another seed would have published, and what twins are worth."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.model import metrics
from brain_tumor.model.calibration import HALF
from brain_tumor.model.metrics import (
    FIGURES,
    Figure,
    Floats,
    Plain,
    Sample,
    ece_floor,
    estimate,
    plain,
    with_floor,
)  # fmt: skip
from brain_tumor.settings import EvaluateParams

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
    """All figures of the track.

    Args:
        seeds: see `paper_track.read_seeds`.
        facts: the JSON of each seed.
        params: section `summary`.
    """
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
        "wall_s": round(float(sum(one["wall_s"] for one in facts)), 1),
    }


def per_seed(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row for each seed and split: `SPREAD`, images, twins (of them in train)."""
    return pd.DataFrame(
        [_one_seed(int(str(seed)), str(name), rows) for (seed, name), rows in _parts(seeds)]
    )


def _parts(seeds: pd.DataFrame) -> Any:
    return seeds.groupby(["seed", "split"])


def _one_seed(seed: int, name: str, rows: pd.DataFrame) -> dict[str, Any]:
    truth, said = rows["y"].to_numpy(np.int64), rows["probability"].to_numpy(np.float64)
    hits = metrics.proportions(metrics.confusion(truth, said, HALF))
    shares = {figure: hits[figure][0] / hits[figure][1] for figure in SPREAD[:3]}
    loss = {"log_loss": metrics.log_loss(truth, said)}
    counts = {"images": len(rows), "twins": int(rows["twin"].sum())}
    return {"seed": seed, "split": name, **shares, **loss, **counts}


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
    parts = [
        (_sample(part), member[part.index.to_numpy()])
        for _, part in rows.groupby("seed", sort=True)
    ]

    def mean(figure: Figure, weights: Floats) -> Floats:
        each = np.array([figure(sample, weights[:, places]) for sample, places in parts])
        return _divided(np.nansum(each, axis=0), np.isfinite(each).sum(axis=0))

    weights = _resamples(int(member.max()) + 1, params)
    found = {key: estimate(partial(mean, figure), weights) for key, figure in FIGURES.items()}
    image = np.unique(rows["path"].to_numpy(str), return_inverse=True)[1]
    said = rows["probability"].to_numpy(np.float64)
    floor = ece_floor(
        [(said[part.index], image[part.index]) for _, part in rows.groupby("seed")], params
    )
    return plain(with_floor(found, floor))


def _sample(rows: pd.DataFrame) -> Sample:
    said = rows["probability"].to_numpy(np.float64)
    return Sample(rows["y"].to_numpy(np.int64), said, said >= HALF)


def _resamples(clusters: int, params: EvaluateParams) -> Floats:
    """How often each cluster is drawn in each resample: float64 (resamples, clusters)."""
    rng = np.random.default_rng(params.seed)
    shares = np.full(clusters, 1.0 / clusters)
    return rng.multinomial(clusters, shares, params.bootstrap_resamples).astype(np.float64)


def twins(test: pd.DataFrame, params: EvaluateParams) -> dict[str, Any]:
    """Accuracy on test images with a twin in train and without one.

    Pooled over seeds, with percentile intervals over clusters, resampled jointly. `same pictures`
    looks at pictures that have copies at all only: what differs there is whether one is in train.

    Args:
        test: test rows of all seeds: path, cluster, twin, y, probability.
        params: section `summary`.
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
    right, of = (
        np.stack(
            [
                table[table["twin"] == twin]
                .groupby("cluster")["right"]
                .agg(how)
                .reindex(clusters)
                .fillna(0)
                for twin in (True, False)
            ]
        ).astype(np.float64)
        for how in ("sum", "size")
    )
    predictions = {"with_twin": int(of[0].sum()), "without_twin": int(of[1].sum())}
    if not clusters:
        return {"predictions": predictions}

    def share(which: int, weights: Floats) -> Floats:
        return _divided(weights @ right[which], weights @ of[which])

    weights = _resamples(len(clusters), params)
    found = {
        "with_twin": estimate(partial(share, 0), weights),
        "without_twin": estimate(partial(share, 1), weights),
        "difference": estimate(lambda drawn: share(0, drawn) - share(1, drawn), weights),
    }
    return {"predictions": predictions, **plain({key: one for key, one in found.items() if one})}


def _divided(hits: Floats, of: Floats) -> Floats:
    """NaN where there is nothing to divide by."""
    return np.asarray(np.divide(hits, of, out=np.full(len(hits), np.nan), where=of > 0))
