"""The metadata baseline: finds what files give away, and nothing where they give nothing away."""

import numpy as np
import pandas as pd

from brain_tumor.external.baseline import MIN_CLUSTERS, metadata_probability


def table(labels: list[str], clusters: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, "cluster": [str(one) for one in clusters]})


def right(features: pd.DataFrame, rows: pd.DataFrame) -> float:
    probability = metadata_probability(features, rows)
    assert probability is not None
    return float(((probability >= 0.5) == (rows["label"] == "yes")).mean())


def test_it_finds_classes_of_different_sources() -> None:
    labels = ["no", "yes"] * 20
    features = pd.DataFrame({"bytes": [100.0 if one == "no" else 900.0 for one in labels]})
    assert right(features, table(labels, list(range(40)))) == 1.0


def test_it_does_not_recognise_copies() -> None:
    """Every cluster has bytes of its own, so a copy in training would give the label away."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 4)
    labels = np.where(rng.permutation(40) % 2, "yes", "no")[clusters]
    features = pd.DataFrame({"bytes": rng.permutation(40).astype(float)[clusters]})
    assert right(features, table(list(labels), list(clusters))) < 0.75


def test_too_few_clusters_have_no_baseline() -> None:
    labels = ["no"] * 20 + ["yes"] * 20
    features = pd.DataFrame({"bytes": np.arange(40.0)})
    few = [number % (MIN_CLUSTERS - 1) for number in range(20)] + list(range(100, 120))
    assert metadata_probability(features, table(labels, few)) is None
    one_class = table(["no"] * 40, list(range(40)))
    assert metadata_probability(features, one_class) is None
