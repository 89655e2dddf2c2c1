"""A seed of the paper's protocol: counts as asked, twins where they are, repeatable."""

from dataclasses import replace

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model.training import Start
from brain_tumor.settings import ClassCounts, SplitCounts
from evidence.paper import PaperTrack, divide, read_seeds, run_seed, train_seed
from evidence.parts import Finished, originals
from evidence.settings import PaperParams
from tests import sections
from tests.evidence.toys import STUDY, manifest_of, small_pool

POOL = small_pool()
TRAIN = sections.replaced(
    STUDY.paper.train,
    head_block=3,
    learning_rate=1e-3,
    batch_size=8,
    precision="float32",
    head_epochs=3,
)
THREE = ClassCounts(no=3, yes=3)
COUNTS = SplitCounts(val=THREE, test=THREE, train=None)
PARAMS = PaperParams(seeds=2, paper_step_px=50, counts=COUNTS, train=TRAIN, top_blocks=1)
ORIGINALS = originals(POOL).rename(columns={"source": "path", "cluster": "group"})
MANIFEST = manifest_of(ORIGINALS[["path", "label", "group"]])


@pytest.mark.parametrize("seed", range(4))
def test_the_division_has_the_counts_and_no_image_is_lost(seed: int) -> None:
    table = divide(MANIFEST, POOL, PARAMS, seed)
    assert sorted(table["path"]) == sorted(originals(POOL)["source"])
    counts = table.groupby(["split", "label"]).size()
    assert counts[["val", "test"]].eq(3).all()


def test_a_twin_is_an_image_with_one_of_its_cluster_in_train() -> None:
    twins = 0
    for seed in range(6):
        table = divide(MANIFEST, POOL, PARAMS, seed)
        for row in table.itertuples():
            others = table[(table["cluster"] == row.cluster) & (table["path"] != row.path)]
            assert row.twin == (row.split != "train" and "train" in set(others["split"]))
        twins += int(table["twin"].sum())
    assert twins > 0


def test_copies_of_a_picture_fall_on_both_sides_as_published() -> None:
    sides = [
        divide(MANIFEST, POOL, PARAMS, seed).groupby("cluster")["split"].nunique().max()
        for seed in range(6)
    ]
    assert max(sides) > 1


@pytest.fixture
def track(start: Start) -> PaperTrack:
    return PaperTrack(start, POOL, MANIFEST, PARAMS, "data", "random")


@pytest.mark.slow
def test_a_seed_repeats_itself_and_another_does_not(track: PaperTrack) -> None:
    table = divide(track.manifest, POOL, PARAMS, 0)
    first, again, other = (
        train_seed(track.start, POOL, table, PARAMS, seed)[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ((first >= 0) & (first <= 1)).all()


@pytest.mark.slow
def test_top_blocks_train_in_a_track_of_their_own(track: PaperTrack) -> None:
    table = divide(track.manifest, POOL, PARAMS, 0)
    tuned = PARAMS.with_top_blocks()
    assert (PARAMS.train.fine_tune_blocks, tuned.train.fine_tune_blocks) == (0, 1)
    assert replace(track, params=tuned).digest(0) != track.digest(0)
    frozen, frozen_epochs = train_seed(track.start, POOL, table, PARAMS, 0)
    trained, epochs = train_seed(track.start, POOL, table, tuned, 0)
    assert epochs == frozen_epochs + tuned.train.fine_tune_epochs
    assert not np.array_equal(frozen, trained)


@pytest.mark.slow
def test_finished_seeds_are_kept_and_stale_ones_refused(
    track: PaperTrack, finished: Finished
) -> None:
    assert track.missing(finished) == [0, 1]
    run_seed(track, 1, finished)
    assert track.missing(finished) == [0]
    run_seed(track, 0, finished)
    table, facts = read_seeds(finished, PARAMS)
    assert [part["seed"] for part in facts] == [0, 1]
    assert table.groupby("seed").size().tolist() == [len(originals(POOL))] * 2
    assert set(table.columns) == {
        "path", "label", "split", "cluster", "twin", "probability", "seed", "y",
    }  # fmt: skip
    train = sections.replaced(TRAIN, learning_rate=2e-3)
    changed = replace(track, params=sections.replaced(PARAMS, train=train))
    assert changed.missing(finished) == []  # kept whole
    (finished.folder / "seed-01.json").unlink()
    with pytest.raises(UserError, match=r"seed-00\.json: made from other params"):
        changed.missing(finished)
