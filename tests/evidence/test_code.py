"""The lists of code that decides figures: whole, and without what decides nothing."""

from collections.abc import Iterable
from typing import Any

import pytest

from brain_tumor.evidence import headline, paper_track

# What the tracks import besides: it stores, shows, names or checks, and decides no figure.
DECIDES_NOTHING = {
    "atomic", "params", "processes", "progress", "repository", "dataset.labels",
    "dataset.manifest", "imaging.records", "imaging.workers", "model.feature_cache",
    "model.search.claim", "model.search.database", "model.search.finished",
    "model.search.interrupted", "model.search.progress", "model.search.quiet",
    "model.search.storage", "model.best", "figure_text",
}  # fmt: skip


@pytest.fixture(scope="module")
def imports() -> Any:
    import grimp

    return grimp.build_graph("brain_tumor", cache_dir=None)


def upstream(imports: Any, names: Iterable[str]) -> set[str]:
    found = set(names)
    for name in names:
        modules = imports.find_upstream_modules(f"brain_tumor.{name}")
        found |= {one.removeprefix("brain_tumor.") for one in modules}
    return {name for name in found if not imports.find_children(f"brain_tumor.{name}")}


@pytest.mark.parametrize(
    ("roots", "listed"),
    [
        (["evidence.fold_table", "evidence.pool"], headline.CODE),
        (["evidence.paper_seed", "evidence.pool"], paper_track.CODE),
    ],
)
def test_the_list_is_what_is_imported(
    roots: list[str], listed: tuple[str, ...], imports: Any
) -> None:
    needed = upstream(imports, roots) - DECIDES_NOTHING
    # `Pool`, a name for types, brings the whole recipe into the paper track's imports.
    if listed is paper_track.CODE:
        recipe = upstream(imports, ["model.recipe"])
        without = upstream(imports, ["model.fit", "model.development", "evidence.params"])
        needed -= recipe - without - {"imaging.augment", "imaging.geometry"}
    assert set(listed) == needed
    assert len(listed) == len(set(listed))
