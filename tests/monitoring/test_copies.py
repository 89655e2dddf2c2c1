"""Pictures that are not independent are one cluster."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from brain_tumor.data.training_images import TRAINING_IMAGES
from brain_tumor.imaging.read import read_grey
from brain_tumor.monitoring.copies import (
    Fingerprint,
    KnownImages,
    Match,
    fingerprints,
    slice_clusters,
)
from brain_tumor.monitoring.evaluate import file_sha256
from brain_tumor.registry.versions import Image, write_training_images
from tests.monitoring.pictures import Edit, brighter, larger, pictures, save_edited, write_phantoms
from tests.monitoring.world import World, evaluate, make_world, metrics, table


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("clusters"), 3)


def prints(files: list[Path]) -> list[Fingerprint]:
    return [prints for file in files for prints in fingerprints([read_grey(file.read_bytes())])]


def clusters(files: list[Path], sha256: str = "abcdefghijklmnop", patients: str = "") -> list[str]:
    names = [str(number) for number in range(len(files))]
    known = list(patients) if patients else [""] * len(files)
    return slice_clusters(names, list(sha256[: len(files)]), known, prints(files))


def test_different_pictures_are_clusters_of_their_own(files: list[Path]) -> None:
    assert clusters(files) == [str(number) for number in range(len(files))]


def test_copies_and_mirrored_copies_are_one_cluster(files: list[Path], tmp_path: Path) -> None:
    larger_one = save_edited(files[0], tmp_path / "larger.png", larger)
    mirrored = save_edited(files[0], tmp_path / "mirrored.jpg", brighter, mirrored=True)
    assert clusters([files[0], files[1], larger_one, mirrored]) == ["0", "1", "0", "0"]


def test_slices_of_a_file_and_of_a_patient_are_one_cluster(files: list[Path]) -> None:
    assert clusters(files[:4], sha256="xxyz") == ["0", "0", "2", "3"]
    assert slice_clusters(list("abc"), list("xyz"), ["p", "", "p"], prints(files[:3])) == [
        "a",
        "b",
        "a",
    ]


def test_no_slices_no_clusters() -> None:
    assert slice_clusters([], [], [], []) == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def evaluated(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    out = tmp_path_factory.mktemp("out") / "deep" / "er"
    return evaluate(world.model, world.folder, "--out", out), out


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_slices_of_a_patient_are_one_cluster(world: World, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "few", 3, 3)
    assert evaluate(world.model, tmp_path / "few", "--out", tmp_path / "out").exit_code == 0
    rows = table(tmp_path / "out", "predictions.csv")
    assert rows["cluster"].nunique() == rows["patient"].nunique()


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_folder_of_nothing_but_copies_has_no_figures(world: World, tmp_path: Path) -> None:
    result = evaluate(world.model, world.trained, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert metrics(tmp_path / "out")["figures"]["yes"]["sensitivity"] is None
    assert "All files in no/ were left out" in result.stderr
    assert len(table(tmp_path / "out", "left_out.csv")) == 12
    assert "There is no joint figure" in (tmp_path / "out" / "report.html").read_text("utf-8")


@pytest.mark.slow
def test_copies_in_both_classes_are_said(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "few"
    write_phantoms(folder, 3, 2)
    (folder / "patients.csv").unlink()
    file = sorted((folder / "no").glob("*.png"))[0]
    shutil.copy(file, folder / "yes" / "twin.png")
    result = evaluate(world.model, folder)
    assert result.exit_code == 0
    assert "in the other class folder: 2" in result.stderr
    assert "yes/twin.png" in result.stderr


@pytest.mark.slow
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


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("known")


@pytest.fixture(scope="module")
def trained(root: Path) -> list[Path]:
    return pictures(root, 1)


@pytest.fixture(scope="module")
def known(root: Path, trained: list[Path]) -> KnownImages:
    """As a registered model has them: the first five trained it, the sixth chose it."""
    rows = [
        Image(
            path=file.relative_to(root).as_posix(),
            sha256=file_sha256(file),
            is_yes=int(file.parent.name == "yes"),
            split="val" if number == 5 else "train" if number < 5 else "test",
            groups=frozenset({f"split:{number}"}),
            dhash=f"{print_of(file).straight.dhash:016x}",
        )
        for number, file in enumerate(trained)
    ]
    write_training_images(root / TRAINING_IMAGES, rows, root)
    return KnownImages.load(root)


def print_of(file: Path) -> Fingerprint:
    return fingerprints([read_grey(file.read_bytes())])[0]


def match(known: KnownImages, file: Path) -> Match | None:
    return known.match(file_sha256(file), [print_of(file)])


def test_the_same_bytes_come_first(known: KnownImages, trained: list[Path]) -> None:
    for number in (0, 5):
        copy = match(known, trained[number])
        assert copy is not None
        assert (copy.reason, copy.image.split) == ("same bytes", "val" if number else "train")
        assert copy.image.path.endswith(trained[number].name)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("edit", [larger, brighter])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_edited_copies_are_found(
    known: KnownImages, trained: list[Path], tmp_path: Path, edit: Edit, mirrored: bool, name: str
) -> None:
    for source in trained[:6]:
        copy = match(known, save_edited(source, tmp_path / name, edit, mirrored=mirrored))
        assert copy is not None
        assert copy.reason == ("mirrored picture" if mirrored else "same picture")
        assert copy.image.path.endswith(f"{source.parent.name}/{source.name}")


def test_other_pictures_are_not_copies(known: KnownImages, trained: list[Path], root: Path) -> None:
    others = [*trained[6:], *pictures(root, 2, 20)]
    assert [file.name for file in others if match(known, file)] == []


def test_without_the_finer_hash_the_coarse_one_serves_and_it_is_said(
    known: KnownImages, trained: list[Path], tmp_path: Path
) -> None:
    coarse = KnownImages(tuple(replace(image, fhash="") for image in known.images))
    copy = match(coarse, save_edited(trained[0], tmp_path / "a.png", larger))
    assert copy is not None
    assert copy.reason == "same picture"
    assert "64-bit hash alone" in coarse.limits
    assert known.limits == ""


def test_tables_without_hashes_know_bytes_only_and_it_is_said(
    known: KnownImages, trained: list[Path], tmp_path: Path
) -> None:
    bare = KnownImages(tuple(replace(image, fhash="", dhash="") for image in known.images))
    assert match(bare, trained[0]) is not None
    assert match(bare, save_edited(trained[0], tmp_path / "a.png", larger)) is None
    assert "only files with the same bytes" in bare.limits


def test_a_model_without_a_table_knows_nothing_and_it_is_said(
    trained: list[Path], tmp_path: Path
) -> None:
    nothing = KnownImages.load(tmp_path)
    assert match(nothing, trained[0]) is None
    assert "no list of its training images" in nothing.limits
