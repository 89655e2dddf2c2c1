"""Finished parts: whole or not there."""

import json
from pathlib import Path

import pandas as pd
import pytest

from brain_tumor.evidence.finished import Digest, Finished

DIGEST = Digest("d", "p", "c")
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
    assert finished.has("a-0", DIGEST)


@pytest.mark.parametrize("lost", ["csv", "json"])
def test_a_part_without_one_of_its_files_is_not_finished(finished: Finished, lost: str) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / f"a-0.{lost}").unlink()
    assert not finished.has("a-0", DIGEST)
    with pytest.raises(ValueError, match="make evidence"):
        finished.read("a-0")


def test_an_unreadable_part_is_named(finished: Finished) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / "a-0.json").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"a-0\.json: not readable; delete it and .*a-0\.csv"):
        finished.has("a-0", DIGEST)


def test_a_part_without_digests_is_stale(finished: Finished) -> None:
    finished.write("a-0", TABLE, DIGEST, {})
    (finished.folder / "a-0.json").write_text(json.dumps({}), encoding="utf-8")
    with pytest.raises(ValueError, match="other data and params and code"):
        finished.has("a-0", DIGEST)
