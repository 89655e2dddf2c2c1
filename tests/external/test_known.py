"""Copies of training images are found, whatever was done to them, and other pictures are not."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.external.pictures import Edit, brighter, larger, pictures, save_edited

from brain_tumor.dataset.training_images import TRAINING_IMAGES
from brain_tumor.external.fingerprint import Fingerprint, fingerprints
from brain_tumor.external.known import KnownImages, Match
from brain_tumor.external.seen import file_sha256
from brain_tumor.imaging.slices.read import read_slices
from brain_tumor.registry.images import Image, write_training_images


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
    [grey] = [one.grey for one in read_slices(file.read_bytes())]
    return fingerprints(file, [grey])[0]


def match(known: KnownImages, file: Path) -> Match | None:
    return known.match(file_sha256(file), [print_of(file)])


def test_the_same_bytes_come_first(known: KnownImages, trained: list[Path]) -> None:
    for number in (0, 5):
        found = match(known, trained[number])
        assert found is not None
        assert (found.reason, found.image.split) == ("same bytes", "val" if number else "train")
        assert found.image.path.endswith(trained[number].name)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("edit", [larger, brighter])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_edited_copies_are_found(
    known: KnownImages, trained: list[Path], tmp_path: Path, edit: Edit, mirrored: bool, name: str
) -> None:
    for source in trained[:6]:
        found = match(known, save_edited(source, tmp_path / name, edit, mirrored=mirrored))
        assert found is not None
        assert found.reason == ("mirrored picture" if mirrored else "same picture")
        assert found.image.path.endswith(f"{source.parent.name}/{source.name}")


def test_other_pictures_are_not_copies(known: KnownImages, trained: list[Path], root: Path) -> None:
    others = [*trained[6:], *pictures(root, 2, 20)]
    assert [file.name for file in others if match(known, file)] == []


def test_without_the_finer_hash_the_coarse_one_serves_and_it_is_said(
    known: KnownImages, trained: list[Path], tmp_path: Path
) -> None:
    coarse = KnownImages(tuple(replace(one, fhash="") for one in known.images))
    found = match(coarse, save_edited(trained[0], tmp_path / "a.png", larger))
    assert found is not None
    assert found.reason == "same picture"
    assert "64-bit hash alone" in coarse.limits
    assert known.limits == ""


def test_tables_without_hashes_know_bytes_only_and_it_is_said(
    known: KnownImages, trained: list[Path], tmp_path: Path
) -> None:
    bare = KnownImages(tuple(replace(one, fhash="", dhash="") for one in known.images))
    assert match(bare, trained[0]) is not None
    assert match(bare, save_edited(trained[0], tmp_path / "a.png", larger)) is None
    assert "only files with the same bytes" in bare.limits


def test_a_model_without_a_table_knows_nothing_and_it_is_said(
    trained: list[Path], tmp_path: Path
) -> None:
    nothing = KnownImages.load(tmp_path)
    assert match(nothing, trained[0]) is None
    assert "no list of its training images" in nothing.limits
