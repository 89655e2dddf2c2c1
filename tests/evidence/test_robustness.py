"""Robustness: pictures degraded, classified as a user's are, and figured level by level."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from brain_tumor.files import read_artefact
from brain_tumor.imaging.read import read_grey
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier
from brain_tumor.model.saved import META_FILE, NETWORK_FILE
from brain_tumor.outputs import EXPORTED, write_manifest, write_split
from brain_tumor.report.drawings import curves_svg
from brain_tumor.settings import EvaluateParams, PreprocessParams
from evidence.pages import robustness_page
from evidence.robustness import (
    COLUMNS,
    conditions,
    curves,
    curves_table,
    degrade,
    kept,
    predict_degraded,
)
from evidence.settings import RobustnessParams
from evidence.stages import robustness
from tests import sections
from tests.evidence.toys import manifest_of, write_study
from tests.inference.toy import THRESHOLD, disc, write_model
from tests.stages.command import invoke

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


def invented(seed: int = 0) -> pd.DataFrame:
    """Predictions that get worse from `as is` to blur of two levels, as `COLUMNS`."""
    rng = np.random.default_rng(seed)
    truth = np.arange(60) % 2
    rows = []
    for kind, level, noise in (("none", 0.0, 0.6), ("blur", 0.01, 1.2), ("blur", 0.05, 6.0)):
        logit = 2.0 * (2 * truth - 1) + noise * rng.normal(size=60)
        for number, (y, z) in enumerate(zip(truth, logit, strict=True)):
            p = float(1 / (1 + np.exp(-z)))
            name = f"{number}.png"
            rows.append((kind, level, name, int(y), name, p, noise > 2, noise / 2, True))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_every_level_of_every_kind_comes_once_after_the_pictures_as_they_are() -> None:
    first, *rest = conditions(PARAMS)
    assert first == ("none", 0.0)
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
    predictions = predict_degraded(classifier, tmp_path / "data", table, PARAMS)
    assert list(predictions) == list(COLUMNS)
    assert len(predictions) == 7 * len(table)
    as_is = predictions[predictions["kind"] == "none"].set_index("path")["probability"]
    files = [(tmp_path / "data" / path).read_bytes() for path in table["path"]]
    expected = [answer[0].probability for answer in classifier.predict(files)]
    np.testing.assert_allclose(as_is.loc[table["path"]], expected, atol=1e-6)
    assert predictions.groupby(["kind", "level"])["path"].nunique().eq(len(table)).all()
    assert len(predictions[["path", "y"]].drop_duplicates()) == len(table)
    blurred = predictions[(predictions["kind"] == "blur") & (predictions["level"] == 0.05)]
    blurred = blurred.set_index("path")
    assert not np.allclose(blurred.loc[table["path"], "probability"], expected)
    again = predict_degraded(classifier, tmp_path / "data", table.iloc[::-1], PARAMS)
    key = ["kind", "level", "path"]
    np.testing.assert_allclose(
        again.sort_values(key)["probability"],
        predictions.sort_values(key)["probability"],
        atol=1e-6,
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
    as_is, mild, strong = curves(invented(), THRESHOLD, BOOTSTRAP)
    assert "change" not in as_is
    for name in ("accuracy", "auroc"):
        assert strong["figures"][name]["value"] < as_is["figures"][name]["value"]
        difference = strong["figures"][name]["value"] - as_is["figures"][name]["value"]
        assert strong["change"][name]["value"] == pytest.approx(difference, abs=2e-6)
        assert strong["change"][name]["high"] < 0
    assert mild["figures"]["flagged"]["value"] == 0
    assert strong["figures"]["flagged"]["value"] == 1


def test_identical_predictions_have_a_change_of_zero() -> None:
    table = invented()
    as_is = table[table["kind"] == "none"]
    same = pd.concat([as_is, as_is.assign(kind="jpeg", level=50.0)], ignore_index=True)
    change = curves(same, THRESHOLD, BOOTSTRAP)[1]["change"]
    assert all(figure == {"value": 0.0, "low": 0.0, "high": 0.0} for figure in change.values())


def test_pictures_that_are_like_the_training_images_are_right_more_often() -> None:
    table = invented()
    levels = kept(table, THRESHOLD)
    for label, name in ((1, "sensitivity"), (0, "specificity")):
        figures = [level for level in levels if name in level]
        assert figures[0][name]["images"] == (table["y"] == label).sum()
        assert figures[0][name]["value"] < figures[-1][name]["value"]
        half = table[table["score"] <= figures[-1]["score"]]
        assert len(half) >= len(table) / 2
        right = (half["probability"] >= THRESHOLD) == half["y"]
        assert figures[-1][name]["value"] == pytest.approx(right[half["y"] == label].mean())


def test_tables_page_and_drawing_hold_every_condition(origin: dict[str, Any]) -> None:
    levels = curves(invented(), THRESHOLD, BOOTSTRAP)
    table = curves_table(levels)
    assert set(table["level"]) == {0.0, 0.01, 0.05}
    assert {"accuracy", "auroc_change", "flagged"} <= set(table["figure"])
    assert not table.duplicated(["kind", "level", "figure"]).any()
    facts = {"images": 60, "clusters": 60, "threshold": THRESHOLD, "model": "0" * 64}
    facts |= {"made": origin, "conditions": levels, "kept": kept(invented(), THRESHOLD)}
    page = robustness_page(facts)
    assert all(f"| {level} |" in page for level in ("as is", "0.01", "0.05"))
    change = next(level for level in levels if level["level"] == 0.05)["change"]["accuracy"]
    assert (change["high"] < 0) == ("accuracy at blur 0.05" in page)
    svg = curves_svg(levels)
    assert svg.startswith("<svg")
    assert curves_svg(levels) == svg


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stage reads, where it reads it; two of the six test images are one group."""
    outputs = tmp_path / "outputs"
    (tmp_path / "data").mkdir()
    files = images(tmp_path / "data").drop(columns=["y", "cluster"])
    files["label"] = files["path"].str.split("/").str[0]
    files["group"] = [str(max(number, 1)) for number in range(len(files))]
    outputs.mkdir()
    write_manifest(manifest_of(files), outputs / "manifest.csv")
    train = files["path"].isin(["no/3.png", "yes/4.png"])
    write_split(files.assign(split=np.where(train, "train", "test")), outputs / "split.csv")
    model = write_model(tmp_path / "model")
    homes: dict[str, tuple[str, ...]] = {
        "train": (NETWORK_FILE,),
        "calibrate": (META_FILE,),
        "export": EXPORTED,
    }
    for stage, names in homes.items():
        (outputs / stage).mkdir()
        for name in names:
            shutil.copyfile(model / name, outputs / stage / name)
    preprocess = read_artefact(model / bundle.PREPROCESS_FILE, PreprocessParams)
    sections.write_params(tmp_path, preprocess=preprocess.model_dump(mode="json"))
    one_level = {"noise": [0.05], "blur": [0.02], "contrast": [0.5], "rotation": [10.0]}
    write_study(
        tmp_path, robustness=one_level | {"jpeg": [20]}, summary={"bootstrap_resamples": 30}
    )
    return tmp_path


@pytest.mark.slow
def test_the_stage_judges_test_images_alone_at_every_level(project: Path) -> None:
    done = invoke(robustness.main, project)
    assert done.exit_code == 0, done.stderr
    folder = project / "docs" / "evidence"
    predictions = pd.read_csv(folder / "robustness_predictions.csv")
    assert len(predictions) == 6 * 6
    assert not set(predictions["path"]) & {"no/3.png", "yes/4.png"}
    facts = json.loads((folder / "robustness.json").read_text())
    assert (facts["images"], facts["clusters"]) == (6, 5)
    levels = facts["conditions"]
    kinds = ["none", "noise", "blur", "contrast", "rotation", "jpeg"]
    assert [level["kind"] for level in levels] == kinds
    assert all({"accuracy", "brier", "ece"} <= set(level["figures"]) for level in levels)
    assert len(facts["made"]["commits"]) == 1
    assert (folder / "robustness.md").read_text() == robustness_page(facts)
    assert (folder / "figures" / "robustness.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_an_image_that_is_gone_is_one_line(project: Path) -> None:
    (project / "data" / "yes" / "6.png").unlink()
    done = invoke(robustness.main, project)
    assert done.exit_code == 1
    assert "yes/6.png" in done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in done.stderr


LEVELS: dict[str, tuple[float, ...]] = {
    "noise": (0.02, 0.1, 0.3),
    "blur": (0.003, 0.01, 0.03),
    "contrast": (0.8, 0.4, 0.1),
    "rotation": (5.0, 15.0, 40.0),
    "jpeg": (75, 25, 5),
}


def picture(height: int = 80, width: int = 100) -> np.ndarray:
    """A head-like disc with texture on black, uint8."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    texture = np.random.default_rng(3).normal(0, 12, (height, width))
    return np.where(x**2 + y**2 < 0.6, 130 + 60 * x + texture, 0).clip(0, 255).astype(np.uint8)


def changed(kind: str, level: float, seed: int = 0, name: str = "yes/a.jpg") -> np.ndarray:
    return read_grey(degrade(picture(), kind, level, seed, name)).astype(float)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_same_seed_and_name_give_the_same_bytes(kind: str) -> None:
    level = LEVELS[kind][1]
    first = degrade(picture(), kind, level, 0, "yes/a.jpg")
    assert degrade(picture(), kind, level, 0, "yes/a.jpg") == first


def test_another_name_or_seed_gives_other_noise() -> None:
    first = changed("noise", 0.1)
    assert not np.array_equal(changed("noise", 0.1, name="yes/b.jpg"), first)
    assert not np.array_equal(changed("noise", 0.1, seed=1), first)


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_a_stronger_level_is_farther_from_the_picture(kind: str) -> None:
    away = [np.abs(changed(kind, level) - picture()).mean() for level in LEVELS[kind]]
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_size_stays(kind: str) -> None:
    assert changed(kind, LEVELS[kind][2]).shape == (80, 100)


def test_noise_has_the_stated_deviation_where_the_signal_is_strong() -> None:
    grey = np.full((200, 200), 150, np.uint8)
    noisy = read_grey(degrade(grey, "noise", 0.1, 0, "a"))
    assert noisy.std() == pytest.approx(15, rel=0.05)
    dark = np.where(np.arange(200)[:, None] < 100, 150, 0).astype(np.uint8) * np.ones(
        (1, 200), np.uint8
    )
    background = read_grey(degrade(dark, "noise", 0.1, 0, "a"))[100:]
    assert background.mean() == pytest.approx(15 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh


def test_contrast_keeps_the_mean_and_shrinks_differences() -> None:
    low = changed("contrast", 0.4)
    assert low.mean() == pytest.approx(picture().mean(), abs=0.6)
    assert low.std() == pytest.approx(0.4 * picture().std(), rel=0.02)


def test_rotation_cuts_nothing_off_and_fills_with_the_edge() -> None:
    turned = changed("rotation", 30.0)
    assert min(turned.shape) > 80
    assert turned[0, 0] == turned[-1, -1] == 0
    assert turned.sum() == pytest.approx(picture().sum(dtype=float), rel=0.01)


def test_a_file_turns_the_same_way_at_every_level_and_files_turn_either_way() -> None:
    def leans_right(name: str, degrees: float) -> bool:
        bar = np.zeros((61, 61), np.uint8)
        bar[5:31, 30] = 255  # up from the middle
        turned = read_grey(degrade(bar, "rotation", degrees, 0, name)).astype(float)
        columns = np.arange(turned.shape[1]) - (turned.shape[1] - 1) / 2
        return bool((turned.sum(axis=0) * columns).sum() > 0)

    ways = {name: leans_right(name, 10) for name in map(str, range(12))}
    assert set(ways.values()) == {True, False}
    assert all(leans_right(name, 40) == way for name, way in ways.items())


def test_jpeg_alone_is_written_as_jpeg() -> None:
    assert degrade(picture(), "jpeg", 50, 0, "a").startswith(b"\xff\xd8")
    assert degrade(picture(), "blur", 0.01, 0, "a").startswith(b"\x89PNG")
