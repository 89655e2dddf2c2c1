"""The paper track in figures: spread over seeds, and what twins are worth."""

import numpy as np
import pandas as pd
import pytest

from brain_tumor.evidence.drawings import accuracy_by_seed
from brain_tumor.evidence.pages import paper_page
from brain_tumor.evidence.paper_summary import per_seed, summarise_paper, twins
from brain_tumor.settings import EvaluateParams

PARAMS = EvaluateParams(seed=0, bootstrap_resamples=200)
MADE = {
    "command": "make evidence",
    "commits": ["abc1234"],
    "recipe": [],
    "dates": ["2026-01-01"],
    "machines": ["2 processors"],
    "packages": ["keras 3"],
    "weights": ["random"],
    "precision": [],
    "wall_s": 60.0,
}


def seeds(with_twin: float = 1.0, without: float = 0.5, count: int = 4) -> pd.DataFrame:
    """Tests of 40 images a seed, every second with a twin, right as often as asked."""
    rng = np.random.default_rng(0)
    rows = []
    for seed in range(count):
        for split in ("train", "val", "test"):
            for number in range(40):
                twin = split == "test" and number % 4 < 2
                y = number % 2
                right = rng.random() < (with_twin if twin else without)
                said = 0.8 if right == bool(y) else 0.2
                path = f"{('no', 'yes')[y]}/{split}-{number}.png"
                rows.append((seed, split, path, path, twin, y, said))
    names = ["seed", "split", "path", "cluster", "twin", "y", "probability"]
    return pd.DataFrame(rows, columns=names)


def test_accuracy_and_loss_are_those_of_each_split() -> None:
    table = per_seed(seeds(1.0, 1.0))
    assert len(table) == 4 * 3
    assert table["accuracy"].eq(1.0).all()
    assert table["log_loss"].to_numpy() == pytest.approx(-np.log(0.8))
    assert set(table.loc[table["split"] == "test", "twins"]) == {20}


def test_calibration_error_stands_beside_that_of_labels_drawn_by_the_probabilities() -> None:
    rows = seeds(0.8, 0.8)  # right as often as it says
    found = summarise_paper(rows, [{"wall_s": 1.0}], PARAMS)["figures"]["test"]
    assert set(found["ece"]) == {"value"}
    floor = found["ece_floor"]
    assert 0 < floor["low"] < found["ece"]["value"] < floor["high"]
    rows["probability"] = rows["probability"].round()
    certain = summarise_paper(rows, [{"wall_s": 1.0}], PARAMS)["figures"]["test"]
    assert certain["ece_floor"] == {"value": 0, "low": 0, "high": 0}
    assert certain["ece"]["value"] > 0.1


def test_a_twin_in_train_shows_where_it_matters() -> None:
    rows = seeds(1.0, 0.5)
    found = twins(rows[rows["split"] == "test"], PARAMS)
    every = found["all pictures"]
    assert found["images_with_twin"] == 20
    assert every["with_twin"]["value"] == 1.0
    assert every["difference"]["value"] == pytest.approx(1.0 - every["without_twin"]["value"])
    assert every["difference"]["low"] > 0.2
    assert every["predictions"] == {"with_twin": 80, "without_twin": 80}


def test_where_twins_are_worth_nothing_the_interval_holds_zero() -> None:
    rows = seeds(0.7, 0.7, count=10)
    found = twins(rows[rows["split"] == "test"], PARAMS)["all pictures"]["difference"]
    assert found["low"] < 0 < found["high"]


def test_pictures_that_never_have_a_twin_are_not_compared_with_those_that_have() -> None:
    rows = seeds()
    found = twins(rows[rows["split"] == "test"], PARAMS)["same pictures"]
    assert found["predictions"] == {"with_twin": 80, "without_twin": 0}
    assert set(found) == {"predictions", "with_twin"}


def test_summary_counts_the_seeds_that_reach_what_was_published() -> None:
    facts = [{"wall_s": 10.0}] * 4
    good, bad = (summarise_paper(seeds(p, p), facts, PARAMS) for p in (1.0, 0.5))
    assert good["as_good_as_published"] == 4
    assert bad["as_good_as_published"] == 0
    assert good["spread"]["test"]["accuracy"]["lowest"] == 1.0
    assert good["wall_s"] == 40.0
    assert good["figures"]["test"]["accuracy"]["value"] == 1.0


def test_the_page_sets_every_published_figure_beside_ours() -> None:
    summary = summarise_paper(seeds(), [{"wall_s": 1.0}] * 4, PARAMS)
    page = paper_page(summary, MADE)
    for text in ("1.28", "0.56", "0.86", "0.90", "with a twin in train", " - |"):
        assert text in page
    assert page.count("| 0 |") + page.count("| 3 |") >= 2
    assert accuracy_by_seed(summary).startswith("<svg")
