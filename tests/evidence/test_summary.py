"""The headline track in figures: baselines beside it, suspects left out, parts, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor.data.copies import SUSPECTS, suspect_paths
from brain_tumor.settings import EvaluateParams
from brain_tumor.shards import write_images
from evidence.pages import accuracy_by_seed, baselines_forest, headline_page, paper_page
from evidence.summary import (
    SEEN_IMAGES,
    SEEN_PLANES,
    UNKNOWN,
    confident_errors,
    errors_sheet,
    image_traits,
    per_seed,
    summarise_headline,
    summarise_paper,
    twins,
)

DOUBTED = ["no/60.png", "no/61.png", "yes/62.png", "yes/63.png"]
PARAMS = EvaluateParams(seed=0, bootstrap_resamples=60)


def folds() -> pd.DataFrame:
    """Two repeats of 60 images; the recipe is good, wrong about suspects, the probe worse."""
    rng = np.random.default_rng(0)
    paths = [f"{('no', 'yes')[n % 2]}/{n:03d}.png" for n in range(56)] + DOUBTED
    y = np.array([path.startswith("yes") for path in paths]).astype(np.int64)
    parts = []
    for repeat in range(2):
        logit = 3.0 * (2 * y - 1) + rng.normal(0, 1.5, len(y))
        logit[-4:] = -6.0 * (2 * y[-4:] - 1)
        weak = 1.0 * (2 * y - 1) + rng.normal(0, 1.5, len(y))
        columns = {
            "path": paths,
            "label": np.where(y == 1, "yes", "no"),
            "cluster": paths,
            "probability": 1 / (1 + np.exp(-logit)),
            "uncalibrated": 1 / (1 + np.exp(-2 * logit)),
            "temperature": 2.0,
            "threshold": 0.3,
            "majority": 0.5,
            "metadata": rng.random(len(y)),
            "pixels_1nn": (rng.random(len(y)) < 0.5).astype(float),
            "probe": 1 / (1 + np.exp(-weak)),
            "repeat": repeat,
            "fold": np.arange(len(y)) % 3,
            "y": y,
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


FACTS: list[dict[str, Any]] = [
    {
        "repeat": repeat,
        "fold": fold,
        "chosen": {"head_block": 6, "head_penalty": 0.1},
        "temperature": 2.0,
        "threshold": 0.3,
        "wall_s": 10.0,
    }
    for repeat in range(2)
    for fold in range(3)
]


def traits() -> pd.DataFrame:
    paths = folds()["path"].unique()
    plane = np.where(np.arange(len(paths)) < 50, "axial", "coronal")
    return pd.DataFrame({"plane": plane, "format": "PNG"}, index=paths)


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return summarise_headline(folds(), FACTS, traits(), DOUBTED, 0.95, PARAMS)


def test_the_best_baseline_is_the_one_that_ranks_best(summary: dict[str, Any]) -> None:
    assert summary["best_baseline"] == "probe"
    assert summary["paired"]["auroc"]["value"] > 0
    assert set(summary["paired"]) == {"balanced_accuracy", "auroc", "log_loss", "brier"}


def test_what_a_baseline_cannot_have_is_left_out(summary: dict[str, Any]) -> None:
    assert "auroc" not in summary["baselines"]["majority"]
    assert "log_loss" not in summary["baselines"]["pixels_1nn"]
    assert "accuracy" in summary["baselines"]["majority"]


def test_suspects_are_left_out_once_and_figures_are_given_both_ways(
    summary: dict[str, Any],
) -> None:
    without = summary["without_suspects"]
    assert without["left_out"] == DOUBTED
    assert without["figures"]["auroc"]["value"] > summary["figures"]["auroc"]["value"]
    assert set(without["at_half"]) == set(summary["at_half"])
    assert without["best_baseline"].keys() == summary["baselines"]["probe"].keys()


def test_reliability_is_of_one_repeat(summary: dict[str, Any]) -> None:
    assert sum(row["images"] for row in summary["reliability"]) == summary["images"]


def test_thresholds_are_applied_to_what_they_decide_only(summary: dict[str, Any]) -> None:
    ours, half = summary["figures"], summary["at_half"]
    assert ours["sensitivity"]["value"] >= half["sensitivity"]["value"]
    assert "auroc" not in half
    assert summary["uncalibrated"]["log_loss"]["value"] != ours["log_loss"]["value"]
    assert summary["uncalibrated"]["auroc"] == ours["auroc"]


def test_parts_have_counts_and_small_ones_no_figures(summary: dict[str, Any]) -> None:
    parts = {row["value"]: row for row in summary["subgroups"]}
    assert set(parts) == {"axial", "coronal"}  # all are PNG: no part
    assert (parts["axial"]["no"], parts["axial"]["yes"]) == (25, 25)
    assert "sensitivity" in parts["axial"]["figures"]
    assert parts["coronal"]["figures"] == {}


def test_time_is_that_of_each_repeat(summary: dict[str, Any]) -> None:
    assert summary["wall_s"] == {"0": 30.0, "1": 30.0}
    assert len(summary["by_repeat"]["auroc"]) == 2


def test_the_page_and_the_drawings_show_it(summary: dict[str, Any], origin: dict[str, Any]) -> None:
    page = headline_page({"made": {"headline": origin}, "headline": summary})
    for text in ("set for a sensitivity of 0.95", "majority", "linear probe", "`head_block`"):
        assert text in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert baselines_forest(summary).startswith("<svg")


def test_a_former_recipe_stands_beside_it_paired(origin: dict[str, Any]) -> None:
    worse = folds().assign(probability=folds()["probe"])
    summary = summarise_headline(folds(), FACTS, traits(), DOUBTED, 0.95, PARAMS, worse)
    former = summary["former"]
    assert former["paired"]["auroc"] == summary["paired"]["auroc"]  # the probe's, once more
    assert former["figures"]["auroc"] == summary["baselines"]["probe"]["auroc"]
    page = headline_page({"made": {"headline": origin, "former": origin}, "headline": summary})
    assert "Paired with the former recipe" in page


def test_the_surest_errors_come_first_and_suspects_are_marked() -> None:
    errors = confident_errors(folds(), DOUBTED)
    assert set(errors["path"].head(4)) == set(DOUBTED)
    assert errors["suspect"].head(4).all()
    truth = errors["label"] == "yes"
    assert ((errors["probability"] >= 0.5) != truth).all()
    away = (errors["probability"] - truth).abs()
    assert away.is_monotonic_decreasing
    assert (errors["missed"] <= errors["repeats"]).all()


def test_the_sheet_shows_each_error(tmp_path: Path) -> None:
    errors = confident_errors(folds(), DOUBTED, most=3)
    for path in errors["path"]:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (90, 80), 99).save(tmp_path / "data" / path, format="PNG")
    pixels = np.full((75, 75), 50, np.uint8)
    write_images(tmp_path / "images", [(path, pixels) for path in errors["path"]])
    sheet = tmp_path / "sheet.png"
    errors_sheet(errors, tmp_path / "data", tmp_path / "images", sheet)
    with Image.open(sheet) as image:
        assert image.width > 3 * 2 * 104


def test_traits_are_known_or_said_not_to_be() -> None:
    manifest = pd.DataFrame(
        {
            "path": ["no/a.png", "no/b.jpg", "yes/c.jpg"],
            "format": ["PNG", "JPEG", "JPEG"],
            "mode": ["L", "RGB", "L"],
            "group": ["no/a.png", "no/a.png", "yes/c.jpg"],
            "patient": "",
            "sha256": ["a" * 64, "b" * 64, "c" * 64],
        }
    )
    records = pd.DataFrame(
        {
            "path": manifest["path"],
            "plane": ["axial", "coronal", "axial"],
            "fallback": ["", "", "scale"],
        }
    )
    table = image_traits(manifest, records)
    assert table["plane (by the alignment)"].tolist() == ["axial", "coronal", UNKNOWN]
    assert table["plane (by eye)"].tolist() == [UNKNOWN] * 3
    assert table["alignment"].tolist() == ["trusted", "trusted", "not trusted"]
    assert table["colour"].tolist() == ["grey", "colour", "grey"]
    assert table["copies"].tolist() == ["has copies", "has copies", "single"]


def test_planes_of_the_paper_s_collection_are_as_seen_by_eye() -> None:
    digests = [*SEEN_PLANES, *(f"{number:064}" for number in range(SEEN_IMAGES))][:SEEN_IMAGES]
    names = [f"no/{number}.jpg" for number in range(SEEN_IMAGES)]
    columns = {"path": names, "group": names, "sha256": digests}
    manifest = pd.DataFrame(columns).assign(format="JPEG", mode="L", patient="")
    records = pd.DataFrame({"path": names, "plane": "axial", "fallback": ""})
    seen = image_traits(manifest, records)["plane (by eye)"]
    assert seen.tolist()[: len(SEEN_PLANES)] == list(SEEN_PLANES.values())
    assert set(seen[len(SEEN_PLANES) :]) == {"axial"}
    fewer = image_traits(manifest[:-1], records)["plane (by eye)"]
    assert fewer.iloc[-1] == UNKNOWN


def test_suspects_are_known_by_their_bytes_not_by_their_name() -> None:
    named = {"path": ["yes/Y248.JPG", "no/copied.jpg"], "sha256": ["0" * 64, SUSPECTS[0]]}
    assert suspect_paths(pd.DataFrame(named)) == ["no/copied.jpg"]


MORE = EvaluateParams(seed=0, bootstrap_resamples=200)


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
                p = 0.8 if right == bool(y) else 0.2
                path = f"{('no', 'yes')[y]}/{split}-{number}.png"
                rows.append((seed, split, path, path, twin, y, p))
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
    figures = summarise_paper(rows, [{"wall_s": 1.0}], MORE)["figures"]["test"]
    assert set(figures["ece"]) == {"value"}
    floor = figures["ece_floor"]
    assert 0 < floor["low"] < figures["ece"]["value"] < floor["high"]
    rows["probability"] = rows["probability"].round()
    certain = summarise_paper(rows, [{"wall_s": 1.0}], MORE)["figures"]["test"]
    assert certain["ece_floor"] == {"value": 0, "low": 0, "high": 0}
    assert certain["ece"]["value"] > 0.1


def test_a_twin_in_train_shows_where_it_matters() -> None:
    rows = seeds(1.0, 0.5)
    figures = twins(rows[rows["split"] == "test"], MORE)
    every = figures["all pictures"]
    assert figures["images_with_twin"] == 20
    assert every["with_twin"]["value"] == 1.0
    assert every["difference"]["value"] == pytest.approx(1.0 - every["without_twin"]["value"])
    assert every["difference"]["low"] > 0.2
    assert every["predictions"] == {"with_twin": 80, "without_twin": 80}


def test_where_twins_are_worth_nothing_the_interval_holds_zero() -> None:
    rows = seeds(0.7, 0.7, count=10)
    figures = twins(rows[rows["split"] == "test"], MORE)["all pictures"]["difference"]
    assert figures["low"] < 0 < figures["high"]


def test_pictures_that_never_have_a_twin_are_not_compared_with_those_that_have() -> None:
    rows = seeds()
    figures = twins(rows[rows["split"] == "test"], MORE)["same pictures"]
    assert figures["predictions"] == {"with_twin": 80, "without_twin": 0}
    assert set(figures) == {"predictions", "with_twin"}


def test_summary_counts_the_seeds_that_reach_what_was_published() -> None:
    facts = [{"wall_s": 10.0}] * 4
    good, bad = (summarise_paper(seeds(p, p), facts, MORE) for p in (1.0, 0.5))
    assert good["as_good_as_published"] == 4
    assert bad["as_good_as_published"] == 0
    assert good["spread"]["test"]["accuracy"]["lowest"] == 1.0
    assert good["wall_s"] == 40.0
    assert good["figures"]["test"]["accuracy"]["value"] == 1.0


def test_the_page_sets_every_published_figure_beside_ours(origin: dict[str, Any]) -> None:
    summary = summarise_paper(seeds(), [{"wall_s": 1.0}] * 4, MORE)
    page = paper_page({"made": {"paper": origin}, "paper": summary})
    for text in ("1.28", "0.56", "0.86", "0.90", "with a twin in train", " - |"):
        assert text in page
    assert page.count("| 0 |") + page.count("| 3 |") >= 2
    assert accuracy_by_seed(summary).startswith("<svg")
