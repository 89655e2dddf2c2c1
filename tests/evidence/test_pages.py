"""The first line of a page of evidence says of which recipe and commit it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from evidence.parts import environment
from evidence.summary import made_from, recipe_line

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"
PAGES = ("headline", "paper", "localisation", "robustness", "external")


def part(**environment: Any) -> dict[str, Any]:
    place = {"date": "2026-11-30", "processors": 2, "machine": "Linux", "python": "3.11"}
    return {"environment": place | environment, "wall_s": 1.0, "recipe": "2 blocks fine-tuned"}


def test_commit_and_recipe_come_from_the_parts() -> None:
    line = recipe_line(made_from([part(commit="1234567"), part(commit="1234567-dirty")]))
    assert line.startswith(
        "> Made with the recipe of commit `1234567` and `1234567-dirty` "
        "(`git show 1234567:params.yaml`; 2 blocks fine-tuned)."
    )
    assert "`git diff 1234567 -- params.yaml`" in line


def test_parts_record_the_commit_they_are_of() -> None:
    assert str(environment()["commit"]).removesuffix("-dirty").isalnum()


@pytest.mark.parametrize(("page", "folder", "params"), [
    ("headline", "folds", "params.yaml"), ("paper", "paper", "evidence/params.yaml"),
])  # fmt: skip
def test_first_line_of_a_committed_page_is_that_of_its_parts(
    page: str, folder: str, params: str
) -> None:
    files = sorted((EVIDENCE / folder).glob("*.json"))
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    first = (EVIDENCE / f"{page}.md").read_text(encoding="utf-8").splitlines()[0]
    assert first == recipe_line(made_from(parts), params)


@pytest.mark.parametrize("page", PAGES)
def test_every_committed_page_says_of_which_recipe_it_is(page: str) -> None:
    first = (EVIDENCE / f"{page}.md").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("> Made with the recipe of commit `")
