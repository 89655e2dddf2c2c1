"""Finished parts: whole or not there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brain_tumor.evidence.finished import Digest, Finished, StaleError

DIGEST = Digest("i", "d", "p", 1)
TABLE = pd.DataFrame({"path": ["no/1 no.jpg"], "probability": [1 / 3]})


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    return Finished(tmp_path / "parts")


def test_what_was_written_is_read(finished: Finished) -> None:
    finished.write("a-0", TABLE, DIGEST, {"seed": 3})
    table, facts = finished.read("a-0")
    assert table["path"].tolist() == ["no/1 no.jpg"]
    assert table["probability"][0] == pytest.approx(1 / 3, abs=1e-9)
    assert facts["seed"] == 3
    assert finished.missing({"a-0": DIGEST, "a-1": DIGEST}) == ["a-1"]


@pytest.mark.parametrize("lost", ["csv", "json"])
def test_a_part_without_one_of_its_files_is_not_finished(finished: Finished, lost: str) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / f"a-0.{lost}").unlink()
    assert finished.missing({"a-0": DIGEST}) == ["a-0"]
    with pytest.raises(ValueError, match="make evidence"):
        finished.read("a-0")


def test_an_unreadable_part_is_named(finished: Finished) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / "a-0.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a-0\.json: not readable; delete it and .*a-0\.csv"):
        finished.missing({"a-0": DIGEST})


def test_a_part_without_digests_is_of_other_images(finished: Finished) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / "a-0.json").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(StaleError, match="other images and data and params and recipe"):
        finished.missing({"a-0": DIGEST})


@pytest.mark.parametrize("change", [{"data": "e"}, {"params": "q"}, {"recipe": 2}])
def test_a_whole_stale_track_is_kept_and_its_commit_is_named(
    change: dict[str, Any], finished: Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a-0", "a-1"):
        finished.write(name, TABLE, DIGEST, {"environment": {"commit": "abc1234"}})
    now = replace(DIGEST, **change)
    assert finished.missing({"a-0": now, "a-1": now}) == []
    (field,) = change
    note = capsys.readouterr().err
    assert f"the 2 parts in {finished.folder} were made from other {field}" in note
    assert "commit: abc1234" in note


@pytest.mark.parametrize("second", [None, {"data": "e"}])
def test_parts_of_two_recipes_are_never_mixed(
    second: dict[str, Any] | None, finished: Finished
) -> None:
    now = replace(DIGEST, data="e")
    finished.write("a-0", TABLE, DIGEST, {})
    if second:
        finished.write("a-1", TABLE, now, {})
    with pytest.raises(StaleError, match=r"a-0\.json: made from other data.*delete"):
        finished.missing({"a-0": now, "a-1": now})
