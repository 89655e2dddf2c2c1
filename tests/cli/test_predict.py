"""`brain-tumor predict` on what people have: good files, bad files, folders, patterns, volumes."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from brain_tumor.cli.app import app
from brain_tumor.inference.classifier import Classifier
from tests.inference.toy import NAME, THRESHOLD, disc, disc_pixels, write_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pulled") / "model"
    write_model(root)
    return root


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good pictures, a volume, a broken one, and what is no image at all."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "a.png").write_bytes(disc(120))
    (folder / "b.jpg").write_bytes(disc(200, "JPEG"))
    (folder / "deep" / "er" / "a.png").write_bytes(disc(160))
    (folder / "broken.png").write_bytes(disc(120)[:100])
    (folder / "patients.csv").write_text("path,patient\n", encoding="utf-8")
    (folder / ".hidden.png").write_bytes(b"")
    volume = np.repeat(disc_pixels(150).T[:, ::-1, None], 20, axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "scan.nii.gz")
    return folder


def predict(model: Path, *arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["predict", "--model", str(model), *map(str, arguments)])


def rows_of(result: Result) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_a_bad_file_has_its_own_row_and_the_others_are_done(model: Path, files: Path) -> None:
    result = predict(model, files, "--json")
    assert result.exit_code == 1
    rows = rows_of(result)
    names = [str(Path(row["file"]).relative_to(files)) for row in rows]
    assert names == ["a.png", "b.jpg", "broken.png", "deep/er/a.png", *["scan.nii.gz"] * 3]
    bad = rows[2]
    assert "cannot decode" in bad["error"]
    assert bad["probability"] is None
    assert not any(row["error"] for row in rows if row is not bad)
    assert "1 of 5 files failed" in result.stderr


def test_rows_say_what_the_classifier_says(model: Path, files: Path) -> None:
    rows = rows_of(predict(model, files / "a.png", files / "b.jpg", "--json"))
    classifier = Classifier.load(model / "artifacts" / "bundle", "fast", NAME)
    data = [(files / name).read_bytes() for name in ("a.png", "b.jpg")]
    for row, [expected] in zip(rows, classifier.predict(data), strict=True):
        assert row["probability"] == pytest.approx(expected.probability, abs=1e-6)
        assert row["label"] == expected.label
        assert row["threshold"] == THRESHOLD
        assert row["out_of_distribution"] == expected.out_of_distribution
        assert (row["plane"], row["aligned"]) == (expected.plane, expected.aligned)
        assert row["alignment"] == pytest.approx(expected.alignment, abs=1e-6)
        assert row["model"] == NAME
        assert row["engine"] == "onnxruntime"


def test_engines_agree(model: Path, files: Path) -> None:
    fast, keras = (
        rows_of(predict(model, files / "b.jpg", "--engine", engine, "--json"))[0]
        for engine in ("fast", "keras")
    )
    assert fast["probability"] == pytest.approx(keras["probability"], abs=1e-3)
    assert (fast["engine"], keras["engine"]) == ("onnxruntime", "keras")


def test_csv_and_json_hold_the_same(model: Path, files: Path) -> None:
    as_json = rows_of(predict(model, files, "--json"))
    as_csv = list(csv.DictReader(io.StringIO(predict(model, files, "--csv").stdout)))
    texts = [{k: "" if v is None else str(v) for k, v in row.items()} for row in as_json]
    assert as_csv == texts


def test_table_is_for_people(model: Path, files: Path) -> None:
    result = predict(model, files / "a.png", files / "broken.png")
    assert "Research only" in result.stdout
    assert NAME in result.stdout
    assert "error: cannot decode" in " ".join(result.stdout.split())


def test_patterns_and_missing_files(model: Path, files: Path) -> None:
    result = predict(model, f"{files}/**/a.png", files / "a.png", files / "none.png", "--json")
    assert result.exit_code == 1
    rows = rows_of(result)
    assert [Path(row["file"]).name for row in rows] == ["a.png", "a.png", "none.png"]
    assert rows[2]["error"] == "no such file"


def test_slices_bounds_a_volume(model: Path, files: Path) -> None:
    rows = rows_of(predict(model, files / "scan.nii.gz", "--slices", "2", "--json"))
    assert [row["slice"] for row in rows] == ["axial 7 of 20", "axial 14 of 20"]


def test_heat_maps_of_files_of_one_name_do_not_meet(
    model: Path, files: Path, tmp_path: Path
) -> None:
    result = predict(model, files, "--heatmap", tmp_path / "maps", "--json")
    paths = [Path(row["heatmap"]) for row in rows_of(result) if not row["error"]]
    assert len(set(paths)) == len(paths) == 6
    assert {path.name for path in paths} >= {"b.jpg.png"}
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width > picture.height


def test_a_heat_map_that_cannot_be_written_costs_nothing_else(
    model: Path, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "maps/b.jpg.png").mkdir(parents=True)
    (tmp_path / "maps/b.jpg.png/mine").touch()
    paths = (files / "b.jpg", files / "a.png")
    result = predict(model, *paths, "--heatmap", tmp_path / "maps", "--json")
    first, second = rows_of(result)
    assert result.exit_code == 1
    assert first["error"].startswith("heat map not written")
    assert (tmp_path / "maps/b.jpg.png/mine").exists()
    assert first["probability"] is not None
    assert not second["error"]


NAMES = (
    "n" * 251 + ".png",
    "a\nb\r.png",
    "\x1b[2J\x1b]0;title\x07.png",
    "ü脑 $x$ [red]bold[end] *?.png",
    "-x.png",
    "=1+1.png",
)


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    for name in NAMES:
        (folder / name).write_bytes(disc(120))
    return folder


def test_any_name_has_its_answer_and_its_heat_map(
    model: Path, oddly_named: Path, tmp_path: Path
) -> None:
    result = predict(model, oddly_named, "--json", "--heatmap", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    rows = rows_of(result)
    assert sorted(row["file"] for row in rows) == sorted(str(oddly_named / n) for n in NAMES)
    assert len(list((tmp_path / "maps").iterdir())) == len(NAMES)
    for form in ((), ("--csv",), ("--json",)):
        printed = predict(model, oddly_named, *form).stdout
        assert printed.replace("\n", "").isprintable()
    lines = predict(model, oddly_named, "--csv").stdout.splitlines()
    assert len(lines) == 1 + len(NAMES)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_encoding_that_lacks_signs_loses_no_answer(
    model: Path, oddly_named: Path, encoding: str
) -> None:
    program = str(Path(sys.executable).with_name("brain-tumor"))
    outputs = [
        subprocess.run(
            [program, "predict", "--model", str(model), str(oddly_named), *form],
            env=os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "200"},
            capture_output=True,
            check=True,
        ).stdout.decode(encoding)
        for form in (["--json"], ["--csv"], [])
    ]
    names = [row["file"] for row in json.loads(outputs[0])]
    assert sorted(names) == sorted(str(oddly_named / name) for name in NAMES)
    assert len(list(csv.DictReader(io.StringIO(outputs[1])))) == len(NAMES)
    assert outputs[2].count("0.") >= len(NAMES)
    assert r"\u8111" in outputs[1]
    assert r"\u8111" in outputs[2]


def test_two_runs_may_write_the_same_heat_maps_at_once(
    model: Path, files: Path, tmp_path: Path
) -> None:
    program = str(Path(sys.executable).with_name("brain-tumor"))
    command = [program, "predict", "--model", str(model), str(files / "deep"), str(files / "b.jpg")]
    runs = [
        subprocess.Popen([*command, "--heatmap", str(tmp_path / "maps")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["a.png.png", "b.jpg.png"]
    for run in runs:
        assert run.stdout
        run.stdout.close()


def test_earlier_heat_maps_are_not_looked_at(model: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(disc(120))
    for _ in range(2):
        result = predict(model, tmp_path, "--heatmap", tmp_path / "maps", "--json")
        assert [Path(row["file"]).name for row in rows_of(result)] == ["a.png"]


def test_names_of_any_bytes_can_be_printed(model: Path, tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Path(os.fsdecode(name)).write_bytes(disc(120))
    [row] = rows_of(predict(model, tmp_path, "--json"))
    assert row["file"].endswith(r"caf\xe9.png")
    assert r"caf\xe9.png" in predict(model, tmp_path, "--csv").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "models:/nothing@champion", "x.png"), "mlflow.db. `make repro` trains"),
        (("--model", "no/folder", "x.png"), "no/folder: no registered model: give models:/NAME@"),
        (("--json", "--csv", "x.png"), "not both"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(arguments: tuple[str, ...], message: str) -> None:
    result = CliRunner().invoke(app, ["predict", *arguments])
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.stderr.split())


def test_empty_folder_is_an_error(model: Path, tmp_path: Path) -> None:
    result = predict(model, tmp_path)
    assert result.exit_code == 1
    assert "no files that may be images" in result.stderr


def test_command_needs_no_store_no_tensorflow_and_no_repository(
    model: Path, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "tensorflow.py").write_text("raise ImportError('not wanted')", encoding="utf-8")
    (tmp_path / "mlflow.py").write_text("raise ImportError('not wanted')", encoding="utf-8")
    program = str(Path(sys.executable).with_name("brain-tumor"))
    done = subprocess.run(
        [program, "predict", "--model", str(model), str(files / "a.png"), "--json"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["label"] in ("yes", "no")
    assert list(tmp_path.glob("mlruns")) == []


def test_without_a_champion_the_challenger_predicts_and_says_so(
    model: Path, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from brain_tumor.tracking import connection

    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client, name = connection.make_and_connect(), "brain-tumor-inceptionv3"
    client.create_registered_model(name)
    client.create_model_version(name, source=str(model))
    client.set_registered_model_alias(name, "challenger", "1")
    result = CliRunner().invoke(app, ["predict", str(files / "a.png"), "--json"])
    assert result.exit_code == 0, result.output
    assert "has no @champion yet, its @challenger is used" in result.stderr
    [row] = json.loads(result.stdout)
    client.set_registered_model_alias(name, "champion", "1")
    again = CliRunner().invoke(app, ["predict", str(files / "a.png"), "--json"])
    assert "challenger" not in again.stderr
    assert json.loads(again.stdout) == [row]
    exact = CliRunner().invoke(app, ["predict", "--model", f"models:/{name}@other", "a.png"])
    assert exact.exit_code == 1
