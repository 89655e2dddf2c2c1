"""Models are compared on images that neither has seen, nor a relative of."""

from pathlib import Path

import pytest

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
    write_training_images(path, [odd, image("c", "test")])
    renamed = Image("yes/new.png", "hash-x", 1, "test", frozenset({"new"}))
    assert read_training_hashes(path) == {"hash-x"}
    assert unseen([renamed], read_training_hashes(path)) == []


def test_manifest_and_split_are_joined_by_path(tmp_path: Path) -> None:
    manifest, split = tmp_path / "manifest.csv", tmp_path / "split.csv"
    manifest.write_text("path,label,sha256,group\nno/a,no,1,g1\nyes/b,yes,2,g2\n", encoding="utf-8")
    split.write_text("path,label,split,group\nyes/b,yes,test,p1\n", encoding="utf-8")
    assert read_images(manifest, split) == [
        Image("no/a", "1", 0, "", frozenset({"duplicate:g1"})),
        Image("yes/b", "2", 1, "test", frozenset({"duplicate:g2", "split:p1"})),
    ]


def test_missing_files_and_columns_are_named(tmp_path: Path) -> None:
    manifest, split = tmp_path / "manifest.csv", tmp_path / "split.csv"
    split.write_text("path,split,group\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv: missing; run `dvc pull`"):
        read_images(manifest, split)
    manifest.write_text("path,label\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"manifest\.csv: columns \['group', 'sha256'\]"):
        read_images(manifest, split)
