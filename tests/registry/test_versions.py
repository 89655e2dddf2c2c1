"""The card of a registered model is the stage's, under the model's name and digest."""

import sys
from dataclasses import replace
from importlib.metadata import packages_distributions
from pathlib import Path

import grimp
import PIL.Image
import pytest

from brain_tumor.data.copies import frequency_hash
from brain_tumor.data.training_images import TrainingImage, read
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.versions import (
    Image,
    inference_requirements,
    read_images,
    read_training_hashes,
    registered_card,
    short_description,
    unseen,
    write_both,
    write_training_images,
)
from brain_tumor.report.card import CARD_FILE, read_card
from tests.registry.conftest import NAME, MakeOutputs

DIGEST = "f" * 64


@pytest.fixture
def outputs(tmp_path: Path, make_outputs: MakeOutputs) -> StageOutputs:
    return make_outputs(tmp_path)


@pytest.mark.slow
def test_it_names_model_digest_and_what_it_was_registered_from(
    outputs: StageOutputs, tmp_path: Path
) -> None:
    card = registered_card(outputs, NAME, DIGEST)
    assert (card.name, card.digest) == (NAME, DIGEST)
    before = read_card(outputs.report / CARD_FILE)
    assert before.lineage.items() <= card.lineage.items()
    assert {"md5.model", "md5.report", "md5.metrics"} <= set(card.lineage)
    assert card.metrics == before.metrics
    written = write_both(tmp_path / "model", card)
    assert read_card(written["model_card.json"]) == card
    text = written["MODEL_CARD.md"].read_text(encoding="utf-8")
    assert text.startswith(f"# {NAME}\n")
    assert DIGEST in text


@pytest.mark.slow
def test_short_description_names_use_weights_and_figures(outputs: StageOutputs) -> None:
    text = short_description(registered_card(outputs, NAME, DIGEST))
    assert text == ("Research only: not for diagnosis. Initial weights: random. Test: AUROC 0.80.")


@pytest.mark.slow
def test_without_a_card_nothing_is_registered(outputs: StageOutputs) -> None:
    (outputs.report / CARD_FILE).unlink()
    with pytest.raises(ValueError, match="dvc repro report"):
        registered_card(outputs, NAME, DIGEST)


def image(name: str, split: str, *groups: str) -> Image:
    return Image(f"yes/{name}.png", f"hash-{name}", 1, split, frozenset(groups or (name,)))


def names(images: list[Image]) -> list[str]:
    return [item.path[4:-4] for item in images]


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
    quoted = Image('yes/a, "b".png', "hash-x", 1, "train", frozenset({"g"}))
    write_training_images(path, [quoted, image("b", "val"), image("c", "test")], tmp_path)
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


# Imported inside functions that prediction never calls: drawing phantoms, scoring, progress.
_NOT_FOR_PREDICTION = {"nilearn", "sklearn", "matplotlib", "rich"} | {
    "cloudpickle", "dask", "distributed"  # of a cluster, which a registered model never uses
}  # fmt: skip
_COME_WITH_OTHERS = {"pydantic_core"}  # pydantic pins its version


def test_every_import_of_the_classifier_is_required() -> None:
    graph = grimp.build_graph("brain_tumor", include_external_packages=True)
    ours = graph.find_upstream_modules("brain_tumor.inference.classifier")
    needed = {
        imported
        for module in [*ours, "brain_tumor.inference.classifier"]
        if module.startswith("brain_tumor")
        for imported in graph.find_modules_directly_imported_by(module)
        if not imported.startswith("brain_tumor") and imported not in sys.stdlib_module_names
    }
    distributions = packages_distributions()
    required = {item.partition("==")[0].lower() for item in inference_requirements()}
    for package in needed - _NOT_FOR_PREDICTION - _COME_WITH_OTHERS:
        names = {name.lower() for name in distributions.get(package, [package])}
        assert names & required, f"{package} is imported but not among {sorted(required)}"


def test_requirements_are_pinned_and_few() -> None:
    required = inference_requirements()
    assert all("==" in item for item in required)
    names = {item.partition("==")[0] for item in required}
    assert not names & {"dvc", "optuna", "great-expectations", "nilearn", "matplotlib"}
