"""The headline track in figures: baselines beside it, suspects left out, parts, errors."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor.dataset.suspects import SUSPECTS, suspect_paths
from brain_tumor.evidence.confident_errors import confident_errors, errors_sheet
from brain_tumor.evidence.drawings import baselines_forest
from brain_tumor.evidence.headline_summary import summarise_headline
from brain_tumor.evidence.pages import headline_page
from brain_tumor.evidence.subgroups import UNKNOWN, traits
from brain_tumor.outputs import save_image, stored
from brain_tumor.settings import EvaluateParams

DOUBTED = ["no/60.png", "no/61.png", "yes/62.png", "yes/63.png"]
PARAMS = EvaluateParams(seed=0, bootstrap_resamples=60)
MADE = {
    "command": "make evidence",
    "commits": ["abc1234"],
    "recipe": [],
    "dates": ["2026-01-01"],
    "machines": ["2 processors"],
    "packages": ["keras 3"],
    "weights": ["random"],
    "precision": ["float32"],
    "wall_s": 60.0,
}


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


def known() -> pd.DataFrame:
    paths = folds()["path"].unique()
    plane = np.where(np.arange(len(paths)) < 50, "axial", "coronal")
    return pd.DataFrame({"plane": plane, "format": "PNG"}, index=paths)


@pytest.fixture(scope="module")
def summary() -> dict[str, Any]:
    return summarise_headline(folds(), FACTS, known(), DOUBTED, PARAMS)


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


def test_the_page_and_the_drawings_show_it(summary: dict[str, Any]) -> None:
    page = headline_page(summary, MADE, 0.95)
    for text in ("set for a sensitivity of 0.95", "majority", "linear probe", "`head_block`"):
        assert text in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert baselines_forest(summary).startswith("<svg")


def test_the_surest_errors_come_first_and_suspects_are_marked() -> None:
    found = confident_errors(folds(), DOUBTED)
    assert set(found["path"].head(4)) == set(DOUBTED)
    assert found["suspect"].head(4).all()
    truth = found["label"] == "yes"
    assert ((found["probability"] >= 0.5) != truth).all()
    away = (found["probability"] - truth).abs()
    assert away.is_monotonic_decreasing
    assert (found["missed"] <= found["repeats"]).all()


def test_the_sheet_shows_each_error(tmp_path: Path) -> None:
    errors = confident_errors(folds(), DOUBTED, most=3)
    for path in errors["path"]:
        (tmp_path / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (90, 80), 99).save(tmp_path / "data" / path, format="PNG")
        save_image(stored(tmp_path / "images", path), np.full((75, 75), 50, np.uint8))
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
        }
    )
    records = pd.DataFrame(
        {
            "path": manifest["path"],
            "plane": ["axial", "coronal", "axial"],
            "fallback": ["", "", "scale"],
        }
    )
    found = traits(manifest, records)
    assert found["plane"].tolist() == ["axial", "coronal", UNKNOWN]
    assert found["registration"].tolist() == ["trusted", "trusted", "not trusted"]
    assert found["colour"].tolist() == ["grey", "colour", "grey"]
    assert found["copies"].tolist() == ["has copies", "has copies", "single"]


def test_suspects_are_known_by_their_bytes_not_by_their_name() -> None:
    named = {"path": ["yes/Y248.JPG", "no/copied.jpg"], "sha256": ["0" * 64, SUSPECTS[0]]}
    assert suspect_paths(pd.DataFrame(named)) == ["no/copied.jpg"]
