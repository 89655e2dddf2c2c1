"""Copies do not count: of training images, inside the folder, mirrored, and their kin."""

import shutil
from pathlib import Path

import pytest
from tests.external.pictures import write_phantoms
from tests.external.world import World, evaluate, make_world, metrics, table
from typer.testing import Result

from brain_tumor.dataset.training_images import TRAINING_IMAGES

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "deep" / "er"
    return evaluate(world.model, world.folder, "--out", out), out


def test_copies_and_unreadable_files_are_left_out_with_the_reason(
    evaluated: tuple[Result, Path],
) -> None:
    result, out = evaluated
    assert result.exit_code == 0, result.stderr
    rows = table(out, "left_out.csv").set_index("path")
    assert list(rows.index) == ["no/copied.jpg", "yes/broken.png", "yes/mirrored.jpg"]
    assert rows["detail"]["no/copied.jpg"] == "same picture"
    assert rows["detail"]["yes/mirrored.jpg"] == "mirrored picture"
    assert rows["training_image"]["yes/mirrored.jpg"].startswith("no/p")
    assert "cannot decode" in rows["detail"]["yes/broken.png"]
    assert set(rows.index).isdisjoint(table(out, "predictions.csv")["path"])
    assert "could not be read, and are left out: 1" in result.stderr


def test_copies_inside_the_folder_and_slices_of_a_file_are_one_cluster(
    evaluated: tuple[Result, Path],
) -> None:
    rows = table(evaluated[1], "predictions.csv")
    sizes = rows.groupby("cluster")["path"].apply(sorted)
    many = [paths for paths in sizes if len(paths) > 1]
    assert sorted(map(len, many)) == [2, 2, 3]
    assert ["yes/scan.nii.gz"] * 3 in many
    assert any("no/again.png" in paths for paths in many)
    assert any("no/turned.png" in paths for paths in many)


def test_slices_of_a_patient_are_one_cluster(world: World, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "few", 3, 3)
    assert evaluate(world.model, tmp_path / "few", "--out", tmp_path / "out").exit_code == 0
    rows = table(tmp_path / "out", "predictions.csv")
    assert rows["cluster"].nunique() == rows["patient"].nunique()


def test_what_is_related_to_a_copy_is_left_out_too(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    write_phantoms(folder, 3, 3)
    first = sorted((world.trained / "no").glob("*.png"))[0]
    shutil.copy(first, folder / "no" / "copy.png")
    patients = folder / "patients.csv"
    lines = patients.read_text(encoding="utf-8").splitlines()
    kin = next(line for line in lines if line.startswith("yes/"))
    path, patient = kin.split(",")
    patients.write_text("\n".join([*lines, f"no/copy.png,{patient}"]) + "\n", encoding="utf-8")
    assert evaluate(world.model, folder, "--out", tmp_path / "out").exit_code == 0
    rows = table(tmp_path / "out", "left_out.csv").set_index("path")
    assert rows["why"]["no/copy.png"] == "copy of a training image"
    assert rows["why"][path] == "related to such a copy"
    assert "no/copy.png" in rows["detail"][path]


def test_a_folder_of_nothing_but_copies_has_no_figures(world: World, tmp_path: Path) -> None:
    result = evaluate(world.model, world.trained, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert metrics(tmp_path / "out")["figures"]["yes"]["sensitivity"] is None
    assert "All files in no/ were left out" in result.stderr
    assert len(table(tmp_path / "out", "left_out.csv")) == 12
    assert "There is no joint figure" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_copies_in_both_classes_are_said(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    write_phantoms(folder, 3, 2)
    (folder / "patients.csv").unlink()
    one = sorted((folder / "no").glob("*.png"))[0]
    shutil.copy(one, folder / "yes" / "twin.png")
    result = evaluate(world.model, folder)
    assert result.exit_code == 0
    assert "in the other class folder: 2" in result.stderr
    assert "yes/twin.png" in result.stderr


def test_an_older_list_of_training_images_is_said(world: World, tmp_path: Path) -> None:
    model, folder = tmp_path / "model", tmp_path / "few"
    shutil.copytree(world.model, model)
    (model / TRAINING_IMAGES).write_text("path,sha256,group\nno/a.png,11,g\n", encoding="utf-8")
    write_phantoms(folder, 3, 1)
    first = evaluate(model, folder, "--out", tmp_path / "out")
    (model / TRAINING_IMAGES).unlink()
    second = evaluate(model, folder)
    assert "only files with the same bytes were found" in first.stderr
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "only files with the same bytes were found" in text
    assert "no list of its training images" in second.stderr
