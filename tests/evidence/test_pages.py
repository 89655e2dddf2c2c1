"""A page of evidence is written from its JSON, and its first line says of which commit it is."""

import json
from pathlib import Path
from typing import Any

import pytest

from evidence.pages import headline_page, paper_page, recipe_line
from evidence.parts import environment, origin_of

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"
PAGES = ("headline", "paper", "localisation", "robustness", "external")


def part(**environment: Any) -> dict[str, Any]:
    place = {"date": "2026-11-30", "processors": 2, "machine": "Linux", "python": "3.11"}
    return {"environment": place | environment, "wall_s": 1.0, "recipe": "2 blocks fine-tuned"}


def test_commit_and_recipe_come_from_the_parts() -> None:
    line = recipe_line(origin_of([part(commit="1234567"), part(commit="1234567-dirty")]))
    assert line.startswith(
        "> Made with the recipe of commit `1234567` and `1234567-dirty` "
        "(`git show 1234567:params.yaml`; 2 blocks fine-tuned)."
    )
    assert "`git diff 1234567 -- params.yaml`" in line


def test_parts_record_the_commit_they_are_of() -> None:
    assert str(environment()["commit"]).removesuffix("-dirty").isalnum()


@pytest.mark.parametrize(
    ("write", "track", "folder"),
    [(headline_page, "headline", "folds"), (paper_page, "paper", "paper")],
)
def test_a_committed_page_is_that_of_its_summary(write: Any, track: str, folder: str) -> None:
    """The committed summary lacks commits, which its parts have, and the target sensitivity."""
    facts = json.loads((EVIDENCE / "summary.json").read_text(encoding="utf-8"))
    files = sorted((EVIDENCE / folder).glob("*.json"))
    parts = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    facts["made"][track] = origin_of(parts)
    facts["headline"].setdefault("target_sensitivity", 0.95)
    assert write(facts) == (EVIDENCE / f"{track}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_every_committed_page_says_of_which_recipe_it_is(page: str) -> None:
    first = (EVIDENCE / f"{page}.md").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("> Made with the recipe of commit `")
