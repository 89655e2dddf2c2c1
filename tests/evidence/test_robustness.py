"""Robustness: pictures degraded, classified as a user's are, and figured level by level."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from tests.inference.toy import THRESHOLD, disc, write_model

from brain_tumor.evidence.pages import robustness_page
from brain_tumor.evidence.robustness import COLUMNS, conditions, predict_degraded
from brain_tumor.evidence.robustness_curves import curves, curves_table
from brain_tumor.evidence.robustness_params import RobustnessParams
from brain_tumor.inference.classifier import Classifier
from brain_tumor.report.drawings import curves_svg
from brain_tumor.settings import EvaluateParams

PARAMS = RobustnessParams(
    seed=0, noise=(0.05,), blur=(0.01, 0.05), contrast=(0.5,), rotation=(20.0,), jpeg=(10,)
)
BOOTSTRAP = EvaluateParams(seed=0, bootstrap_resamples=40)


def images(folder: Path, count: int = 8) -> pd.DataFrame:
    """Discs of different brightness, the brighter half `yes`; two of them are one cluster."""
    paths = []
    for number in range(count):
        label = ("no", "yes")[number >= count // 2]
        path = f"{label}/{number}.png"
        (folder / label).mkdir(exist_ok=True)
        (folder / path).write_bytes(disc(80.0 + 20 * number))
        paths.append(path)
    return pd.DataFrame(
        {
            "path": paths,
            "y": [int(path.startswith("yes")) for path in paths],
            "cluster": ["a", "a", *paths[2:]],
        }
    )


def made_up(seed: int = 0) -> pd.DataFrame:
    """Predictions that get worse from `as is` to blur of two levels, as `COLUMNS`."""
    rng = np.random.default_rng(seed)
    truth = np.arange(60) % 2
    rows = []
    for kind, level, noise in (("none", 0.0, 0.6), ("blur", 0.01, 1.2), ("blur", 0.05, 6.0)):
        logit = 2.0 * (2 * truth - 1) + noise * rng.normal(size=60)
        for number, (y, z) in enumerate(zip(truth, logit, strict=True)):
            said = float(1 / (1 + np.exp(-z)))
            name = f"{number}.png"
            rows.append((kind, level, name, int(y), name, said, noise > 2, True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_every_level_of_every_kind_comes_once_after_the_pictures_as_they_are() -> None:
    first, *rest = conditions(PARAMS)
    assert (first.kind, first.level) == ("none", 0.0)
    assert len(rest) == len(set(rest)) == 6


@pytest.mark.parametrize(("field", "value"), [("jpeg", (0,)), ("blur", (0.1, 0.1)), ("noise", ())])
def test_a_level_that_means_nothing_is_refused(field: str, value: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match=field):
        RobustnessParams.model_validate(PARAMS.model_dump() | {field: value})


@pytest.mark.slow
def test_undegraded_pictures_get_what_a_user_gets(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = images(tmp_path / "data")
    classifier = Classifier.load(write_model(tmp_path / "model"), "fast")
    said = predict_degraded(classifier, tmp_path / "data", table, PARAMS)
    assert list(said) == list(COLUMNS)
    assert len(said) == 7 * len(table)
    as_is = said[said["kind"] == "none"].set_index("path")["probability"]
    files = [(tmp_path / "data" / path).read_bytes() for path in table["path"]]
    expected = [answer[0].probability for answer in classifier.predict(files)]
    np.testing.assert_allclose(as_is.loc[table["path"]], expected, atol=1e-6)
    assert said.groupby(["kind", "level"])["path"].nunique().eq(len(table)).all()
    assert len(said[["path", "y"]].drop_duplicates()) == len(table)
    blurred = said[(said["kind"] == "blur") & (said["level"] == 0.05)].set_index("path")
    assert not np.allclose(blurred.loc[table["path"], "probability"], expected)
    again = predict_degraded(classifier, tmp_path / "data", table.iloc[::-1], PARAMS)
    key = ["kind", "level", "path"]
    np.testing.assert_allclose(
        again.sort_values(key)["probability"], said.sort_values(key)["probability"], atol=1e-6
    )


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table = images(tmp_path / "data")
    (tmp_path / "data" / table["path"][3]).write_text("not a picture")
    classifier = Classifier.load(write_model(tmp_path / "model"), "fast")
    with pytest.raises(ValueError, match=table["path"][3]):
        predict_degraded(classifier, tmp_path / "data", table, PARAMS)


def test_worse_pictures_have_worse_figures_and_the_change_says_by_how_much() -> None:
    as_is, mild, strong = curves(made_up(), THRESHOLD, BOOTSTRAP)
    assert "change" not in as_is
    for name in ("accuracy", "auroc"):
        assert strong["figures"][name]["value"] < as_is["figures"][name]["value"]
        difference = strong["figures"][name]["value"] - as_is["figures"][name]["value"]
        assert strong["change"][name]["value"] == pytest.approx(difference, abs=2e-6)
        assert strong["change"][name]["high"] < 0
    assert mild["figures"]["flagged"]["value"] == 0
    assert strong["figures"]["flagged"]["value"] == 1


def test_identical_predictions_have_a_change_of_zero() -> None:
    table = made_up()
    as_is = table[table["kind"] == "none"]
    same = pd.concat([as_is, as_is.assign(kind="jpeg", level=50.0)], ignore_index=True)
    change = curves(same, THRESHOLD, BOOTSTRAP)[1]["change"]
    assert all(one == {"value": 0.0, "low": 0.0, "high": 0.0} for one in change.values())


def test_tables_page_and_drawing_hold_every_condition() -> None:
    found = curves(made_up(), THRESHOLD, BOOTSTRAP)
    table = curves_table(found)
    assert set(table["level"]) == {0.0, 0.01, 0.05}
    assert {"accuracy", "auroc_change", "flagged"} <= set(table["figure"])
    assert not table.duplicated(["kind", "level", "figure"]).any()
    facts = {"images": 60, "clusters": 60, "threshold": THRESHOLD, "model": "0" * 64}
    made = {
        "command": "make evidence",
        "commits": ["abc1234"],
        "recipe": [],
        "dates": ["2026-01-01"],
        "machines": ["one"],
        "packages": [],
        "weights": ["random"],
        "precision": [],
        "wall_s": 1.0,
    }
    page = robustness_page(found, facts, made)
    assert all(f"| {level} |" in page for level in ("as is", "0.01", "0.05"))
    lost = next(one for one in found if one["level"] == 0.05)["change"]["accuracy"]
    assert (lost["high"] < 0) == ("accuracy at blur 0.05" in page)
    svg = curves_svg(found)
    assert svg.startswith("<svg")
    assert curves_svg(found) == svg
