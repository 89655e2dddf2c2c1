"""A study has another name exactly where its trials could come out otherwise."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.model import recipe
from brain_tumor.model.training import number_format
from brain_tumor.outputs import TuneInputs
from brain_tumor.settings import AugmentParams, TrainSection, TuneParams, load
from brain_tumor.tuning.plan import Plan, read_plan
from tests import stored
from tests.tuning.project import SIDE_PX, Project, make_project

pytestmark = pytest.mark.slow  # the name holds the number format, which TensorFlow resolves

Changes = Callable[[Project], None]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose weights are only named: reading a plan does not open them."""
    return make_project(tmp_path_factory.mktemp("plan") / "original")


@pytest.fixture
def changed(original: Project, tmp_path: Path) -> Project:
    """A copy to change."""
    return original.copy(tmp_path / "changed")


def plan(project: Project) -> Plan:
    folder, outputs = project.folder, project.folder / "outputs"
    inputs = TuneInputs(
        manifest=outputs / "manifest.csv",
        split=outputs / "split.csv",
        images=outputs / "preprocess" / "images",
        augmented=outputs / "augment" / "images",
        records=outputs / "augment" / "records.csv",
        weights=outputs / "backbone" / "backbone.weights.h5",
        source=outputs / "backbone" / "backbone.json",
        params=folder / "params.yaml",
    )
    sections = load(inputs.params, "train", TrainSection), load(inputs.params, "tune", TuneParams)
    return read_plan(inputs, *sections, load(inputs.params, "augment", AugmentParams))


def setting(section: str, **values: Any) -> Changes:
    return lambda project: project.set_params(section, **values)


def other_precision(project: Project) -> None:
    """Ask for a number format that this machine would not choose by itself."""
    is_fast = number_format("auto") == "bfloat16"
    project.set_params("train", precision="float32" if is_fast else "bfloat16")


def space(**values: dict[str, Any]) -> Changes:
    """Change a range of the search space."""

    def change(project: Project) -> None:
        text = (project.folder / "params.yaml").read_text(encoding="utf-8")
        ranges = YAML(typ="safe", pure=True).load(text)["tune"]["space"]
        project.set_params("tune", space={**ranges, **values})

    return change


def together(*changes: Changes) -> Changes:
    def all_of_them(project: Project) -> None:
        for change in changes:
            change(project)

    return all_of_them


def paths(project: Project, split: str) -> list[str]:
    table = pd.read_csv(project.folder / "outputs" / "split.csv")
    return list(table.loc[table["split"] == split, "path"])


def one_pixel(split: str) -> Changes:
    def change(project: Project) -> None:
        folder = project.folder / "outputs" / "preprocess" / "images"
        other = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        other[10, 10] = 1
        stored.change(folder, paths(project, split)[0], lambda image: image ^ other)

    return change


def one_label(split: str) -> Changes:
    def change(project: Project) -> None:
        file = project.folder / "outputs" / "split.csv"
        table = pd.read_csv(file)
        row = table.index[table["split"] == split][0]
        table.loc[row, "label"] = "yes" if table.loc[row, "label"] == "no" else "no"
        table.to_csv(file, index=False)

    return change


def delete_test_images(project: Project) -> None:
    images = project.folder / "outputs" / "preprocess" / "images"
    stored.spoil(images, paths(project, "test"))


def other_weights(project: Project) -> None:
    folder = project.folder / "outputs" / "backbone"
    weights, file = folder / "backbone.weights.h5", folder / "backbone.json"
    weights.unlink()  # (a copy may share its bytes with the original)
    weights.write_bytes(b"others")
    facts = json.loads(file.read_text(encoding="utf-8"))
    digest = hashlib.sha256(b"others").hexdigest()
    file.write_text(json.dumps(facts | {"sha256": digest}), encoding="utf-8")


def one_patient_of_many(project: Project) -> None:
    file = project.folder / "outputs" / "manifest.csv"
    table = pd.read_csv(file, dtype={"patient": "str"})
    table.loc[table.index[:12:2], "patient"] = "one"
    table.to_csv(file, index=False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(one_pixel("train"), id="a pixel of train"),
        pytest.param(one_pixel("val"), id="a pixel of val"),
        pytest.param(one_label("train"), id="a label of train"),
        pytest.param(one_label("val"), id="a label of val"),
        pytest.param(other_weights, id="weights"),
        pytest.param(space(head_penalty={"low": 0.1, "high": 0.5, "log": True}), id="a range"),
        pytest.param(space(head_block={"low": 2, "high": 4}), id="a range of blocks"),
        pytest.param(setting("train", learning_rate=1e-3), id="an explicit value"),
        pytest.param(setting("train", fine_tune_epochs=2), id="epochs"),
        pytest.param(setting("train", batch_size=16), id="batch size"),
        pytest.param(setting("train", seed=1), id="seed of training"),
        pytest.param(other_precision, id="precision"),
        pytest.param(setting("tune", seed=1), id="seed of the sampler"),
        pytest.param(setting("tune", objective="auroc"), id="objective"),
        pytest.param(setting("tune", folds=2), id="folds"),
        pytest.param(setting("tune", pruner="none"), id="pruner"),
        pytest.param(setting("tune", startup_trials=3), id="startup trials"),
    ],
)
def test_another_name_for(change: Changes, original: Project, changed: Project) -> None:
    change(changed)
    assert plan(changed).name != plan(original).name


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(together(), id="another folder"),
        pytest.param(setting("tune", n_trials=50), id="more trials"),
        pytest.param(setting("train", head_epochs=7), id="epochs of a head that is solved"),
        pytest.param(setting("tune", timeout_s=60.0), id="a timeout"),
        pytest.param(setting("calibrate", sensitivity=0.9), id="target of the threshold"),
        pytest.param(setting("evaluate", seed=9), id="another section"),
        pytest.param(one_patient_of_many, id="groups, without folds"),
        pytest.param(setting("augment", copies=3), id="copies, while those on disk are the same"),
        pytest.param(delete_test_images, id="no test images"),
        pytest.param(one_label("test"), id="a label of test"),
    ],
)
def test_same_name_with(change: Changes, original: Project, changed: Project) -> None:
    change(changed)
    assert plan(changed).name == plan(original).name


def test_range_of_what_has_a_value_does_not_count(original: Project, tmp_path: Path) -> None:
    value, unused = setting("train", head_penalty=0.1), {"low": 0.1, "high": 0.9, "log": False}
    first, second = original.copy(tmp_path / "one"), original.copy(tmp_path / "two")
    value(first)
    together(value, space(head_penalty=unused))(second)
    assert plan(first).name == plan(second).name


def test_groups_and_augmentation_count_with_folds(original: Project, tmp_path: Path) -> None:
    folds = setting("tune", folds=2)
    cases = [
        folds,
        together(folds, one_patient_of_many),
        together(folds, setting("augment", seed=1)),
    ]
    names = set()
    for number, change in enumerate(cases):
        project = original.copy(tmp_path / str(number))
        change(project)
        names.add(plan(project).name)
    assert len(names) == len(cases)


def test_a_recipe_that_predicts_otherwise_has_other_studies(
    original: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan(original).name
    monkeypatch.setattr(recipe, "VERSION", recipe.VERSION + 1)
    assert plan(original).name != before


def test_folds_are_data_of_the_plan(changed: Project) -> None:
    changed.set_params("tune", folds=3)
    parts = plan(changed).data
    assert len(parts) == 3
    held = np.concatenate([part.val for part in parts])
    assert len(set(held)) == len(held) == len(paths(changed, "train") + paths(changed, "val"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            setting("train", head_block=0),
            r"tune\.space\.fine_tune_blocks\.high is 2, .*head_block 0",
        ),
        (setting("tune", folds=50), r"50 folds asked for \(tune\.folds"),
    ],
)
def test_what_cannot_be_searched_is_named_before_anything_runs(
    change: Changes, problem: str, changed: Project
) -> None:
    space(fine_tune_blocks={"low": 0, "high": 2})(changed)
    change(changed)
    with pytest.raises(ValueError, match=problem):
        plan(changed)


def test_head_above_the_weights_is_named(changed: Project) -> None:
    file = changed.folder / "outputs" / "backbone" / "backbone.json"
    facts = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(facts | {"complete_to_block": 2}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"block 3 .* the initial weights random end at block 2"):
        plan(changed)
    changed.set_params("train", head_block=2)
    plan(changed)


def test_runs_of_a_study_lead_to_what_made_it(original: Project) -> None:
    tags = plan(original).tags
    assert tags["study"] == plan(original).name
    assert tags["initial_weights"] == "random"
    facts = plan(original).lineage
    for name in ("manifest", "split", "images", "augmented", "records", "weights", "params"):
        assert facts[f"md5.{name}"]
    assert {"data", "commit", "lock"} <= set(tags)
    assert not [name for name in tags if name.startswith(("md5.", "git."))]
