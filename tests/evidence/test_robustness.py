"""Robustness: pictures degraded, classified as a user's are, and figured level by level."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML

from brain_tumor.files import read_artefact
from brain_tumor.imaging.picture import decode
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier
from brain_tumor.outputs import write_manifest, write_split
from brain_tumor.report.drawings import curves_svg
from brain_tumor.settings import EvaluateParams, PreprocessParams
from evidence.pages import robustness_page
from evidence.robustness import (
    COLUMNS,
    Kind,
    RobustnessParams,
    conditions,
    curves,
    curves_table,
    degraded,
    predict_degraded,
)
from tests import sections
from tests.inference.toy import THRESHOLD, disc, write_model
from tests.stage_here import run_here

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


ROOT = Path(__file__).parents[2]
SECTIONS = """\
robustness: {seed: 0, noise: [0.05], blur: [0.02], contrast: [0.5], rotation: [10.0], jpeg: [20]}
summary: {seed: 0, bootstrap_resamples: 30}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stage reads, where it reads it; two of the six test images are one group."""
    outputs = tmp_path / "outputs"
    rows = []
    for number in range(8):
        label = ("no", "yes")[number >= 4]
        path = tmp_path / "data" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(disc(80.0 + 20 * number))
        texts = {"sha256": f"{number}", "dhash": f"{number:016x}", "format": "PNG", "mode": "L"}
        sizes = {"width": 120, "height": 90, "bytes": path.stat().st_size, "patient": ""}
        where = {"path": f"{label}/{path.name}", "label": label, "group": str(max(number, 1))}
        rows.append(where | texts | sizes | {"split": "train" if number in (3, 4) else "test"})
    table = pd.DataFrame(rows)
    outputs.mkdir()
    write_manifest(table.drop(columns="split"), outputs / "manifest.csv")
    write_split(table, outputs / "split.csv")
    made = write_model(tmp_path / "model")
    homes: dict[str, tuple[str, ...]] = {
        "train": bundle.FILES[:1],
        "calibrate": bundle.FILES[1:2],
        "preprocess": bundle.FILES[2:3],
        "export": bundle.FILES[4:],
    }
    for stage, names in homes.items():
        (outputs / stage).mkdir()
        for name in names:
            shutil.copyfile(made / name, outputs / stage / name)
    preprocess = read_artefact(made / bundle.PREPROCESS_FILE, PreprocessParams)
    sections.write_params(tmp_path, preprocess=preprocess.model_dump(mode="json"))
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "params.yaml").write_text(SECTIONS)
    return tmp_path


def command() -> str:
    described = YAML(typ="safe", pure=True).load((ROOT / "evidence" / "dvc.yaml").read_text())
    return str(described["stages"]["robustness"]["cmd"])


def run(project: Path) -> subprocess.CompletedProcess[str]:
    words = command().split()
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # where the study is imported from
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_stage_judges_test_images_alone_at_every_level(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stderr
    folder = project / "docs" / "evidence"
    said = pd.read_csv(folder / "robustness_predictions.csv")
    assert len(said) == 6 * 6
    assert not set(said["path"]) & {"no/3.png", "yes/4.png"}
    found = json.loads((folder / "robustness.json").read_text())
    assert (found["images"], found["clusters"]) == (6, 5)
    kinds = [one["kind"] for one in found["conditions"]]
    assert kinds == ["none", "noise", "blur", "contrast", "rotation", "jpeg"]
    assert all({"accuracy", "brier", "ece"} <= set(one["figures"]) for one in found["conditions"])
    assert "JPEG" in (folder / "robustness.md").read_text()
    assert (folder / "figures" / "robustness.svg").read_text().startswith("<svg")


@pytest.mark.slow
def test_an_image_that_is_gone_is_one_line(project: Path) -> None:
    (project / "data" / "yes" / "6.png").unlink()
    done = run_here(command(), project)
    assert done.returncode == 1
    assert "yes/6.png" in done.stderr
    assert "Traceback" not in done.stderr


LEVELS: dict[Kind, tuple[float, ...]] = {
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


def changed(kind: Kind, level: float, seed: int = 0, name: str = "yes/a.jpg") -> np.ndarray:
    return decode(degraded(picture(), kind, level, seed, name)).astype(float)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_same_seed_and_name_give_the_same_bytes(kind: Kind) -> None:
    level = LEVELS[kind][1]
    first = degraded(picture(), kind, level, 0, "yes/a.jpg")
    assert degraded(picture(), kind, level, 0, "yes/a.jpg") == first


def test_another_name_or_seed_gives_other_noise() -> None:
    first = changed("noise", 0.1)
    assert not np.array_equal(changed("noise", 0.1, name="yes/b.jpg"), first)
    assert not np.array_equal(changed("noise", 0.1, seed=1), first)


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_a_stronger_level_is_farther_from_the_picture(kind: Kind) -> None:
    away = [np.abs(changed(kind, level) - picture()).mean() for level in LEVELS[kind]]
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_size_stays(kind: Kind) -> None:
    assert changed(kind, LEVELS[kind][2]).shape == (80, 100)


def test_noise_has_the_stated_deviation_where_the_signal_is_strong() -> None:
    grey = np.full((200, 200), 150, np.uint8)
    noisy = decode(degraded(grey, "noise", 0.1, 0, "a"))
    assert noisy.std() == pytest.approx(15, rel=0.05)
    dark = np.where(np.arange(200)[:, None] < 100, 150, 0).astype(np.uint8) * np.ones(
        (1, 200), np.uint8
    )
    background = decode(degraded(dark, "noise", 0.1, 0, "a"))[100:]
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
        turned = decode(degraded(bar, "rotation", degrees, 0, name)).astype(float)
        columns = np.arange(turned.shape[1]) - (turned.shape[1] - 1) / 2
        return bool((turned.sum(axis=0) * columns).sum() > 0)

    ways = {name: leans_right(name, 10) for name in map(str, range(12))}
    assert set(ways.values()) == {True, False}
    assert all(leans_right(name, 40) == way for name, way in ways.items())


def test_jpeg_alone_is_written_as_jpeg() -> None:
    assert degraded(picture(), "jpeg", 50, 0, "a").startswith(b"\xff\xd8")
    assert degraded(picture(), "blur", 0.01, 0, "a").startswith(b"\x89PNG")
