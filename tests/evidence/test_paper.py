"""A seed of the paper's protocol: counts as asked, twins where they are, repeatable."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model.features import FeatureCache
from brain_tumor.model.training import Start
from brain_tumor.outputs import MANIFEST_COLUMNS
from brain_tumor.settings import ClassCounts, SplitCounts, TrainParams
from evidence.paper import PaperTrack, divided, missing_seeds, read_seeds, run_seed, train_seed
from evidence.parts import (
    Finished,
    originals,
)
from evidence.settings import PaperParams
from tests.evidence.small_pool import small_pool

POOL = small_pool()
TRAIN = TrainParams(
    seed=0,
    head="paper",
    head_block=3,
    fine_tune_blocks=0,
    dropout=0.1,
    head_penalty=None,
    learning_rate=1e-3,
    fine_tune_rate_fraction=0.1,
    weight_decay=1e-2,
    batch_size=8,
    precision="float32",
    head_epochs=3,
    fine_tune_epochs=0,
    patience=3,
    class_weight="balanced",
)
THREE = ClassCounts(no=3, yes=3)
PARAMS = PaperParams(
    seeds=2, paper_step_px=50, counts=SplitCounts(val=THREE, test=THREE, train=None), train=TRAIN
)


def manifest() -> pd.DataFrame:
    own = originals(POOL)
    table = pd.DataFrame({"path": own["source"], "label": own["label"], "group": own["cluster"]})
    return table.assign(
        sha256=own["source"], **dict.fromkeys(set(MANIFEST_COLUMNS) - {*table, "sha256"}, "")
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_division_has_the_counts_and_no_image_is_lost(seed: int) -> None:
    table = divided(manifest(), POOL, PARAMS, seed)
    assert sorted(table["path"]) == sorted(originals(POOL)["source"])
    counts = table.groupby(["split", "label"]).size()
    assert counts[["val", "test"]].eq(3).all()


def test_a_twin_is_an_image_with_one_of_its_cluster_in_train() -> None:
    found = 0
    for seed in range(6):
        table = divided(manifest(), POOL, PARAMS, seed)
        for row in table.itertuples():
            others = table[(table["cluster"] == row.cluster) & (table["path"] != row.path)]
            assert row.twin == (row.split != "train" and "train" in set(others["split"]))
        found += int(table["twin"].sum())
    assert found > 0


def test_copies_of_a_picture_fall_on_both_sides_as_published() -> None:
    sides = [
        divided(manifest(), POOL, PARAMS, seed).groupby("cluster")["split"].nunique().max()
        for seed in range(6)
    ]
    assert max(sides) > 1


@pytest.fixture(scope="module")
def track(random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> PaperTrack:
    cache = FeatureCache(tmp_path_factory.mktemp("cache"), 10**9)
    return PaperTrack(Start(random_weights, cache), POOL, manifest(), PARAMS, "data", "random")


@pytest.mark.slow
def test_a_seed_repeats_itself_and_another_does_not(track: PaperTrack) -> None:
    table = divided(track.manifest, POOL, PARAMS, 0)
    one, again, other = (
        train_seed(track.start, POOL, table, PARAMS, seed)[0] for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert ((one >= 0) & (one <= 1)).all()


@pytest.mark.slow
def test_finished_seeds_are_kept_and_stale_ones_refused(track: PaperTrack, tmp_path: Path) -> None:
    finished = Finished(tmp_path / "paper")
    assert missing_seeds(track, finished) == [0, 1]
    run_seed(track, 1, finished)
    assert missing_seeds(track, finished) == [0]
    run_seed(track, 0, finished)
    found, facts = read_seeds(finished, PARAMS)
    assert [one["seed"] for one in facts] == [0, 1]
    assert found.groupby("seed").size().tolist() == [len(originals(POOL))] * 2
    assert set(found.columns) == {
        "path", "label", "split", "cluster", "twin", "probability", "seed", "y",
    }  # fmt: skip
    train = TRAIN.model_copy(update={"learning_rate": 2e-3})
    params = PARAMS.model_copy(update={"train": train})
    changed = PaperTrack(track.start, POOL, track.manifest, params, "data", "random")
    assert missing_seeds(changed, finished) == []  # kept whole
    (finished.folder / "seed-01.json").unlink()
    with pytest.raises(UserError, match=r"seed-00\.json: made from other params"):
        missing_seeds(changed, finished)
