"""The stage as `dvc repro` calls it; great_expectations takes seconds to import."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import Result

from brain_tumor.data.expectations import outcomes, run_suite
from brain_tumor.data.split import split, split_expectations, with_manifest
from brain_tumor.outputs import (
    MANIFEST,
    MANIFEST_COLUMNS,
    SPLIT,
    SPLIT_SUMMARY,
    read_split,
    write_manifest,
)
from brain_tumor.settings import SplitParams
from brain_tumor.stages.split import main
from tests import sections
from tests.stages.command import invoke

pytestmark = pytest.mark.slow


def manifest() -> pd.DataFrame:
    """98 `no` and 155 `yes` images; every third pair is a pair of twins, two images a patient."""
    table = pd.DataFrame(
        {"path": [f"no/{n}" for n in range(98)] + [f"yes/{n}" for n in range(155)]}
    )
    table["label"] = table["path"].str.split("/").str[0]
    numbers = table["path"].str.split("/").str[1].astype(int)
    table["group"] = table["path"].where(numbers % 6 != 1, table["path"].shift())
    table["patient"] = table["label"] + (numbers // 2).astype(str)
    table["sha256"] = [hashlib.sha256(path.encode()).hexdigest() for path in table["path"]]
    table = table.assign(format="PNG", mode="L", width=96, height=96, bytes=1, dhash="0" * 16)
    return table[list(MANIFEST_COLUMNS)].sort_values("path", ignore_index=True)


def run(folder: Path, **section: Any) -> Result:
    write_manifest(manifest(), folder / MANIFEST)
    sections.write_params(folder, split=section)
    return invoke(main, folder)


def test_the_paper_s_setting_gives_its_counts_and_says_how_many_twins_leak(tmp_path: Path) -> None:
    result = run(tmp_path, mode="counts", group_by="none")
    assert result.exit_code == 0, result.output
    table = read_split(tmp_path / SPLIT)
    assert list(table["path"]) == sorted(table["path"])
    assert table.groupby(["split", "label"]).size().to_dict() == {
        ("train", "no"): 60,
        ("train", "yes"): 103,
        ("val", "no"): 18,
        ("val", "yes"): 32,
        ("test", "no"): 20,
        ("test", "yes"): 20,
    }
    summary = json.loads((tmp_path / SPLIT_SUMMARY).read_text())
    assert summary["test"] == {"images": 40, "no": 20, "yes": 20, "groups": 40}
    assert summary["twins_in_train"]["test"] > 0


def test_the_default_keeps_twins_and_patients_together(tmp_path: Path) -> None:
    assert run(tmp_path).exit_code == 0
    table = read_split(tmp_path / SPLIT).merge(manifest()[["path", "patient"]], on="path")
    assert table.groupby("patient")["split"].nunique().max() == 1
    summary = json.loads((tmp_path / SPLIT_SUMMARY).read_text())
    assert summary["twins_in_train"] == {"val": 0, "test": 0}


def test_a_split_that_cannot_be_is_refused_with_the_reason_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    counts = {"val": {"no": 18, "yes": 32}, "test": {"no": 99, "yes": 1}, "train": None}
    result = run(tmp_path, mode="counts", counts=counts)
    assert result.exit_code == 1
    assert "error: test cannot hold exactly 99 no and 1 yes images" in result.stderr
    assert not (tmp_path / SPLIT).exists()


def unmet(table: pd.DataFrame, params: SplitParams) -> set[str]:
    result = run_suite("split", with_manifest(table, manifest()), split_expectations(params))
    return {outcome.name for outcome in outcomes(result) if not outcome.success}


def test_expectations_catch_every_kind_of_wrong_split() -> None:
    params = sections.split(mode="counts")
    good = split(manifest(), params)
    assert unmet(good, params) == set()
    assert "no image lost and none made up" in unmet(good.iloc[1:], params)
    assert "no image twice" in unmet(pd.concat([good, good.iloc[:1]]), params)
    relabelled = good.assign(label=good["label"].where(good.index > 0, "yes"))
    assert "labels are the manifest's" in unmet(relabelled, params)
    first_test = good.index[good["split"] == "test"][0]
    moved = good.assign(split=good["split"].where(good.index != first_test, "train"))
    names = unmet(moved, params)
    assert {"no group in two splits", "no patient in two splits"} <= names
    assert "20 images of class no in test" in names
    twins = manifest()["group"].duplicated(keep=False).to_numpy()
    torn = good.assign(split=["train" if n % 2 else "val" for n in range(len(good))])
    assert twins.any()
    assert "no duplicate group in two splits" in unmet(torn, params)
    no_test = good.assign(split=good["split"].replace("test", "val"))
    assert "1 or more images of class yes in test" in unmet(no_test, sections.split())
