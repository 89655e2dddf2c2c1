"""`brain-tumor evaluate` on phantoms with a small real model: what it says, logs and refuses."""

import csv
from pathlib import Path

import pytest
from typer.testing import Result

from brain_tumor.inference.classifier import Classifier
from brain_tumor.model.metrics import wilson
from brain_tumor.monitoring.evaluate_report import FILES, LOG_COLUMNS
from tests.inference.toy import NAME, THRESHOLD
from tests.monitoring.pictures import write_phantoms
from tests.monitoring.world import World, evaluate, make_world, metrics, table

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "deep" / "er"
    return evaluate(world.model, world.folder, "--out", out), out


def test_predictions_are_the_classifiers(world: World, evaluated: tuple[Result, Path]) -> None:
    rows = table(evaluated[1], "predictions.csv")
    classifier = Classifier.load(world.model / "artifacts" / "bundle", "fast", NAME)
    row = rows[rows["path"] == "no/again.png"].iloc[0]
    [[expected]] = classifier.predict([(world.folder / "no" / "again.png").read_bytes()])
    assert row["probability"] == pytest.approx(expected.probability, abs=1e-6)
    assert (row["call"], row["threshold"]) == (expected.label, THRESHOLD)
    assert row["out_of_distribution"] == expected.out_of_distribution
    assert (rows["right"] == (rows["call"] == rows["label"])).all()


def test_figures_follow_from_the_predictions(evaluated: tuple[Result, Path]) -> None:
    _, out = evaluated
    rows, results = table(out, "predictions.csv"), metrics(out)
    for label, name in (("yes", "sensitivity"), ("no", "specificity")):
        class_rows, figures = rows[rows["label"] == label], results["figures"][label]
        assert figures[name]["value"] == pytest.approx(class_rows["right"].mean())
        per_cluster = class_rows.groupby("cluster")["right"].mean().mean()
        assert figures[f"{name}_per_cluster"]["value"] == pytest.approx(per_cluster)
        assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
        unlike = figures["out_of_distribution"]["value"]
        assert unlike == pytest.approx(class_rows["out_of_distribution"].mean())
        by_forest = (class_rows["baseline_probability"] >= 0.5) == (label == "yes")
        baseline = figures[f"{name}_metadata_baseline"]["value"]
        assert baseline == pytest.approx(by_forest.mean())
        assert sum(figures["probability_histogram"]) == len(class_rows)
        kinds = [one for one in results["subgroups"] if one["label"] == label]
        for by in ("format", "shorter side"):
            assert sum(one["images"] for one in kinds if one["by"] == by) == len(class_rows)
    counts = results["counts"]
    assert counts["no"]["files"] == 8 + 3
    assert (counts["no"]["copies_of_training_images"], counts["no"]["clusters"]) == (1, 8)
    assert (counts["yes"]["unreadable"], counts["yes"]["slices"]) == (1, 8 + 3)


def test_slices_most_like_the_training_images_are_judged_apart(
    evaluated: tuple[Result, Path],
) -> None:
    _, out = evaluated
    rows, results = table(out, "predictions.csv"), metrics(out)
    for label, name in (("yes", "sensitivity"), ("no", "specificity")):
        levels = [level for level in results["kept"] if name in level]
        assert levels[0][name] == results["figures"][label][name]
        assert [level["coverage"] for level in levels] == [1.0, 0.9, 0.8, 0.7, 0.6, 0.5]
        for level in levels:
            kept = rows[(rows["ood_score"] <= level["score"]) & (rows["label"] == label)]
            shown = level[name] or {"value": pytest.approx(float("nan"), nan_ok=True), "images": 0}
            assert shown["images"] == len(kept)
            assert shown["value"] == pytest.approx(kept["right"].mean(), nan_ok=True)
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "most like the training images" in text


def test_there_is_no_joint_figure(evaluated: tuple[Result, Path]) -> None:
    result, out = evaluated
    names = {name for figures in metrics(out)["figures"].values() for name in figures}
    assert not {name for name in names if "accuracy" in name or "auroc" in name}
    assert "No joint figure" in result.stdout
    assert "There is no joint figure" in (out / "report.html").read_text(encoding="utf-8")


def test_the_report_names_the_worst_errors_and_what_is_left_out(
    evaluated: tuple[Result, Path],
) -> None:
    _, out = evaluated
    text = (out / "report.html").read_text(encoding="utf-8")
    rows = table(out, "predictions.csv")
    wrong = rows[~rows["right"]]
    assert len(wrong)
    assert wrong.sort_values("probability")["path"].iloc[0] in text
    assert "no/copied.jpg" in text
    assert "<svg" in text
    assert "src=" not in text
    assert metrics(out)["folder"]["digest"] in text


def test_a_second_run_says_the_same(
    world: World, evaluated: tuple[Result, Path], tmp_path: Path
) -> None:
    _, out = evaluated
    assert evaluate(world.model, world.folder, "--out", tmp_path).exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)
    assert table(tmp_path, "predictions.csv").equals(table(out, "predictions.csv"))
    first, second = metrics(out), metrics(tmp_path)
    assert first.pop("date") <= second.pop("date")
    assert first == second


def test_the_log_gets_a_line_a_run_and_nothing_else_is_written(
    world: World, evaluated: tuple[Result, Path], tmp_path: Path
) -> None:
    log = tmp_path / "log.csv"
    before = {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")}
    for _ in range(2):
        assert evaluate(world.model, world.folder, "--log", log).exit_code == 0
    with log.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2
    assert list(lines[0]) == list(LOG_COLUMNS)
    expected_metrics = metrics(evaluated[1])
    for line in lines:
        assert line["model"] == NAME
        assert line["model_digest"] == expected_metrics["model"]["digest"]
        assert line["folder_digest"] == expected_metrics["folder"]["digest"]
        assert float(line["sensitivity"]) == pytest.approx(
            expected_metrics["figures"]["yes"]["sensitivity"]["value"], abs=1e-4
        )
        assert line["yes_unreadable"] == "1"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["log.csv"]
    assert before == {path: path.stat().st_mtime_ns for path in world.folder.rglob("*")}


def test_singletons_have_wilsons_interval_and_engines_agree(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    write_phantoms(folder, 3, 3)
    (folder / "patients.csv").unlink()
    results = []
    for engine in ("fast", "keras"):
        result = evaluate(world.model, folder, "--out", tmp_path / engine, "--engine", engine)
        assert result.exit_code == 0, result.stderr
        results.append(metrics(tmp_path / engine)["figures"])
    figure = results[0]["no"]["specificity"]
    expected = wilson(figure["hits"], 3)
    assert (figure["low"], figure["high"]) == (expected.low, expected.high)
    assert figure["interval"] == "Wilson"
    assert results[0]["no"]["specificity_metadata_baseline"] is None
    fast, keras = (
        table(tmp_path / name, "predictions.csv")["probability"].to_numpy(dtype=float)
        for name in ("fast", "keras")
    )
    assert fast == pytest.approx(keras, abs=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("model", "none"), "none: no such folder; give one that holds no/"),
        (("model", "empty"), "empty: has no folder no/"),
        (("nowhere", "elsewhere"), "nowhere: no registered model: give models:/NAME@"),
        (("models:/nothing@champion", "elsewhere"), "no model yet: there is no"),
        (("model", "elsewhere", "--out", "file"), "file: is a file; give a folder with --out"),
        (("model", "elsewhere", "--log", "file"), "file: is no log of external evaluations"),
        (("model", "elsewhere", "--log", "none/log.csv"), "none/log.csv: no folder none; make it"),
    ],
)
def test_what_cannot_work_is_said_in_a_line_before_any_work(
    world: World,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("something else\n", encoding="utf-8")
    (tmp_path / "model").symlink_to(world.model)
    (tmp_path / "elsewhere").symlink_to(world.folder)
    result = evaluate(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "predict" not in result.stderr
