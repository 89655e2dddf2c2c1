"""What the study shows, summarised from its finished parts."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.data.copies import clusters
from brain_tumor.imaging.figures import contact_sheet
from brain_tumor.imaging.picture import decode
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
from brain_tumor.model.saved import ModelMeta
from brain_tumor.outputs import load_images
from brain_tumor.settings import EvaluateParams
from evidence.baselines import NAMES

LEAST_PER_CLASS = 10  # images of either class; below, a part's figures would say nothing
SHOWN = ("sensitivity", "specificity", "auroc", "log_loss")
UNKNOWN = "not known"


def traits(manifest: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image, indexed by manifest path.

    Args:
        manifest: see `outputs.MANIFEST_COLUMNS`.
        records: of stage preprocess: path, plane, fallback.

    Returns:
        Text columns plane, registration, format, colour, copies. (The sequence, T1, T2 or other, is
        not recorded in pictures without a header.)
    """
    table = manifest.set_index("path")
    found = records.set_index("path").reindex(table.index).fillna("")
    sizes = clusters(manifest).value_counts()
    members = clusters(manifest).map(sizes)
    plane = found["plane"].astype(str)
    failed = found["fallback"].astype(str) != ""
    return pd.DataFrame(
        {
            "plane": plane.where((plane != "") & ~failed, UNKNOWN),
            "registration": np.where(failed, "not trusted", "trusted"),
            "format": table["format"],
            "colour": np.where(table["mode"] == "L", "grey", "colour"),
            "copies": np.where(members > 1, "has copies", "single"),
        },
        index=table.index,
    )


def subgroup_rows(
    folds: pd.DataFrame,
    known: pd.DataFrame,
    evaluate: Callable[[pd.DataFrame], Mapping[str, Mapping[str, float]]],
) -> list[dict[str, Any]]:
    """Each part with its counts and, where it is large enough, `SHOWN` of its figures.

    Args:
        folds: predictions of all repeats; columns path, y and what `evaluate` takes.
        known: see `traits`.
        evaluate: figures of rows.
    """
    rows = []
    for trait in known.columns:
        values = folds["path"].map(known[trait])
        if values.nunique() < 2:
            continue
        for value, part in folds.groupby(values):
            counts = part.drop_duplicates("path")["y"]
            yes, no = int(counts.sum()), int((1 - counts).sum())
            enough = min(yes, no) >= LEAST_PER_CLASS
            found = evaluate(part) if enough else {}
            figures = {name: found[name] for name in SHOWN if name in found}
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
    params: EvaluateParams,
) -> dict[str, Any]:
    """All figures of the track.

    Args:
        folds: see `headline.read_folds`.
        facts: the JSON of each fold.
        traits: what is known of each image, indexed by manifest path (see `subgroups`).
        suspects: paths of images whose label is doubted.
        params: section `summary`.
    """
    half, first = at_half(folds), folds[folds["repeat"] == folds["repeat"].min()]
    baselines = {name: _baseline(half, name, params) for name in NAMES}
    raw = _figures(folds.assign(probability=folds["uncalibrated"]), params)
    best = best_baseline(baselines)
    kept = ~folds["path"].isin(suspects)
    return {
        "images": int(folds["path"].nunique()),
        "clusters": int(folds["cluster"].nunique()),
        "repeats": int(folds["repeat"].nunique()),
        "folds": int(folds["fold"].nunique()),
        "figures": _figures(folds, params),
        "at_half": _called(half, params),
        "uncalibrated": {key: one for key, one in raw.items() if key not in BY_THRESHOLD},
        "by_repeat": _by_repeat(folds),
        "baselines": baselines,
        "best_baseline": best,
        "paired": _paired(half, best, params),
        "without_suspects": {
            "left_out": list(suspects),
            "figures": _figures(folds[kept], params),
            "at_half": _called(half[kept], params),
            "best_baseline": _baseline(half[kept], best, params),
        },
        "reliability": reliability(*_pair(first)).round(6).to_dict("records"),
        "subgroups": subgroup_rows(folds, traits, lambda rows: _figures(rows, params)),
        "chosen": [_choice(one) for one in facts],
        "wall_s": _wall_s(facts),
    }


def at_half(folds: pd.DataFrame) -> pd.DataFrame:
    """The same predictions, called a tumour from 0.5 on, as the baselines' are."""
    return folds.assign(threshold=HALF)


def best_baseline(baselines: Mapping[str, Figures]) -> str:
    """The one with the highest AUROC."""
    return max(baselines, key=lambda name: baselines[name].get("auroc", {"value": 0.0})["value"])


def _called(half: pd.DataFrame, params: EvaluateParams) -> Figures:
    return {key: one for key, one in _figures(half, params).items() if key in BY_THRESHOLD}


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> Figures:
    return plain(evaluate_repeats(rows, params))


def _baseline(half: pd.DataFrame, name: str, params: EvaluateParams) -> Figures:
    found = _figures(half.assign(probability=half[name]), params)
    return {key: value for key, value in found.items() if key not in _UNDEFINED.get(name, ())}


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


def _by_repeat(folds: pd.DataFrame) -> dict[str, list[float]]:
    """What each repeat has on its own: how much the assignment to folds moves a figure."""
    figures: dict[str, Callable[[pd.DataFrame], float]] = {
        "balanced_accuracy": _balanced,
        "auroc": lambda rows: metrics.auroc(*_pair(rows)),
        "log_loss": lambda rows: metrics.log_loss(*_pair(rows)),
    }
    return {
        name: [round(figure(rows), 6) for _, rows in folds.groupby("repeat")]
        for name, figure in figures.items()
    }


def _balanced(rows: pd.DataFrame) -> float:
    called = np.asarray(rows["probability"] >= rows["threshold"], dtype=np.float64)
    return metrics.balanced_accuracy(rows["y"].to_numpy(np.int64), called, HALF)


def _pair(rows: pd.DataFrame) -> tuple[metrics.Labels, metrics.Floats]:
    return rows["y"].to_numpy(np.int64), rows["probability"].to_numpy(np.float64)


def _choice(facts: Mapping[str, Any]) -> dict[str, Any]:
    names = ("repeat", "fold", "chosen", "temperature", "threshold", "wall_s")
    return {name: facts[name] for name in names}


def _wall_s(facts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of all folds of each repeat."""
    table = pd.DataFrame([{"repeat": one["repeat"], "wall_s": one["wall_s"]} for one in facts])
    per_repeat = table.groupby("repeat")["wall_s"].sum()
    return {str(repeat): round(float(seconds), 1) for repeat, seconds in per_repeat.items()}


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

    def mean(figure: Statistic, weights: Floats) -> Floats:
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


MOST = 20


def confident_errors(
    folds: pd.DataFrame, suspects: Collection[str], most: int = MOST
) -> pd.DataFrame:
    """Images whose mean probability over repeats is on the wrong side of 0.5, the surest first.

    Args:
        folds: see `headline.read_folds`.
        suspects: paths of images whose label is doubted.
        most: at most so many.

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
    """Draw each image, raw and as the network sees it, under name and probability.

    Args:
        errors: see `confident_errors`.
        data: folder of the raw files.
        images: folder of the preprocessed ones.
        path: PNG to write; it shows real images, so it never goes under git.
    """
    names = list(errors["path"])
    tiles = [
        (f"{name}: {said:.2f}", (decode((data / name).read_bytes()), stored))
        for name, said, stored in zip(
            names, errors["probability"], load_images(images, names), strict=True
        )
    ]
    title = f"The {len(names)} surest errors: raw and preprocessed, mean probability of a tumour"
    contact_sheet(tiles, path, title, columns=4, side_px=104)


def made_from(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When, where and from which weights the parts of a track were made, of their JSON files."""
    places = [part["environment"] for part in facts]

    def distinct(values: Iterable[Any]) -> list[Any]:
        return sorted({value for value in values if value})

    packages = ("tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "optuna")
    return {
        "command": "make evidence",
        "commits": distinct(place["commit"] for place in places),
        "recipe": distinct(part.get("recipe") for part in facts),
        "dates": distinct(place["date"] for place in places),
        "machines": distinct(
            f"{place['processors']} processors, {place['machine']}, Python {place['python']}"
            for place in places
        ),
        "packages": distinct(
            f"{name} {place[name]}" for place in places for name in packages if name in place
        ),
        "weights": distinct(part.get("weights") for part in facts),
        "precision": distinct(part.get("precision") for part in facts),
        "wall_s": round(float(sum(part["wall_s"] for part in facts)), 1),
    }


def recipe_of(meta: ModelMeta) -> str:
    """How a trained model came about, in a phrase."""
    tuned = (
        f"{meta.fine_tuned_blocks} blocks fine-tuned"
        if meta.fine_tuned_blocks
        else ("nothing fine-tuned")
    )
    return f"{meta.head} head on mixed{meta.head_block}, {tuned}"


def recipe_line(origin: Mapping[str, Any], params: str = "params.yaml") -> str:
    """The first line of a page: of which recipe it is, since the default may have moved on.

    Args:
        origin: see `made_from`.
        params: the file that holds the recipe's parameters.
    """
    commits = origin["commits"]
    hashes = [commit.removesuffix("-dirty") for commit in commits]
    shown = " and ".join(f"`{commit}`" for commit in commits)
    recipe = "".join(f"; {text}" for text in origin["recipe"])
    return (
        f"> Made with the recipe of commit {shown} (`git show {hashes[-1]}:{params}`{recipe}). "
        f"The default recipe may have changed since: `git diff {hashes[-1]} -- {params}`, "
        "CHANGELOG.md."
    )


def made_line(origin: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    precision = f"; tuned blocks in {', '.join(origin['precision'])}" if origin["precision"] else ""
    return (
        f"`{origin['command']}`, {' and '.join(origin['dates'])}; {'; '.join(origin['machines'])}; "
        f"{', '.join(origin['packages'])}{precision}. Initial weights: "
        f"`{'`, `'.join(origin['weights'])}`. Wall time {origin['wall_s'] / 60:.0f} min."
    )
