"""Models are compared on images that neither has seen, nor a relative of."""

from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from brain_tumor.dataset.frequency_hash import frequency_hash
from brain_tumor.dataset.training_images import TrainingImage, read
from brain_tumor.registry.images import (
    Image,
    read_images,
    read_training_hashes,
    unseen,
    write_training_images,
)


def image(name: str, split: str, *groups: str) -> Image:
    return Image(f"yes/{name}.png", f"hash-{name}", 1, split, frozenset(groups or (name,)))


def names(images: list[Image]) -> list[str]:
    return [one.path[4:-4] for one in images]


def test_training_images_themselves_are_left_out() -> None:
    images = [image("a", "train"), image("b", "val"), image("c", "test"), image("d", "")]
    assert names(unseen(images, {"hash-a"})) == ["b", "c"]
    assert names(unseen(images, {"hash-a", "hash-c"})) == ["b"]
    assert names(unseen(images, set())) == ["b", "c"]


def test_relatives_of_a_training_image_are_left_out() -> None:
    twin, patient = "duplicate:1", "split:p7"
    images = [
        image("a", "test", twin, patient),
        image("b", "test", twin, "split:x"),
        image("c", "val", "duplicate:2", patient),
        image("d", "test", "duplicate:3", "split:y"),
    ]
    assert names(unseen(images, {"hash-a"})) == ["d"]


def test_relation_to_an_image_that_left_the_split_counts() -> None:
    images = [image("a", "", "twins"), image("b", "test", "twins"), image("c", "test")]
    assert names(unseen(images, {"hash-a"})) == ["c"]


def test_renamed_training_images_are_recognised_by_content(tmp_path: Path) -> None:
    path = tmp_path / "training_images.csv"
    odd = Image('yes/a, "b".png', "hash-x", 1, "train", frozenset({"g"}))
    write_training_images(path, [odd, image("b", "val"), image("c", "test")], tmp_path)
    renamed = Image("yes/new.png", "hash-x", 1, "test", frozenset({"new"}))
    assert read_training_hashes(path) == {"hash-x"}
    assert unseen([renamed], read_training_hashes(path)) == []


def test_the_table_holds_train_and_val_images_with_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "yes").mkdir()
    gradient = PIL.Image.linear_gradient("L").rotate(30)
    gradient.save(tmp_path / "yes" / "a.png")
    path = tmp_path / "training_images.csv"
    first = replace(image("a", "train", "p", "d"), dhash="00ff00ff00ff00ff")
    write_training_images(path, [first, image("b", "val"), image("c", "test")], tmp_path)
    picture = f"{frequency_hash(gradient):064x}"
    assert read(path) == [
        TrainingImage("yes/a.png", "hash-a", "d p", "train", "00ff00ff00ff00ff", picture),
        TrainingImage("yes/b.png", "hash-b", "b", "val", "", ""),  # its file is not there
    ]
    assert read_training_hashes(path) == {"hash-a"}


def test_manifest_and_split_are_joined_by_path(tmp_path: Path) -> None:
    manifest, split = tmp_path / "manifest.csv", tmp_path / "split.csv"
    rows = "path,label,sha256,group,dhash\nno/a,no,1,g1,0f\nyes/b,yes,2,g2,f0\n"
    manifest.write_text(rows, encoding="utf-8")
    split.write_text("path,label,split,group\nyes/b,yes,test,p1\n", encoding="utf-8")
    assert read_images(manifest, split) == [
        Image("no/a", "1", 0, "", frozenset({"duplicate:g1"}), "0f"),
        Image("yes/b", "2", 1, "test", frozenset({"duplicate:g2", "split:p1"}), "f0"),
    ]


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    manifest, split = tmp_path / "manifest.csv", tmp_path / "split.csv"
    split.write_text("path,split,group\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv: missing; run `dvc pull`"):
        read_images(manifest, split)
    manifest.write_text("path,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv: columns \['group', 'sha256'\]"):
        read_images(manifest, split)
