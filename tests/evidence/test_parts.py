"""Finished parts: whole or not there."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_tumor.errors import UserError
from brain_tumor.imaging.augment import variants
from brain_tumor.shards import write_images
from evidence.parts import (
    Digest,
    Finished,
    Pool,
    images_digest,
    is_tumour,
    originals,
    outer_folds,
    params_digest,
    read_pool,
    with_phantoms,
)
from tests import sections
from tests.evidence.toys import manifest_of, small_pool

DIGEST = Digest("i", "d", "p", 1)
TABLE = pd.DataFrame({"path": ["no/1 no.jpg"], "probability": [1 / 3]})


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
    with pytest.raises(UserError, match="other images and data and params and recipe"):
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
    with pytest.raises(UserError, match=r"a-0\.json: made from other data.*delete"):
        finished.missing({"a-0": now, "a-1": now})


POOL = small_pool()
CLUSTER = originals(POOL).set_index("source")["cluster"]


@pytest.mark.parametrize("repeat", range(5))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_cluster_is_on_both_sides(count: int, repeat: int) -> None:
    for fold in outer_folds(POOL, count, repeat):
        sides = (set(CLUSTER[list(paths)]) for paths in (fold.development, fold.unseen))
        assert set.isdisjoint(*sides)


@pytest.mark.parametrize("repeat", range(5))
def test_every_image_is_unseen_once_and_known_elsewhere(repeat: int) -> None:
    folds = list(outer_folds(POOL, 4, repeat))
    assert Counter(path for fold in folds for path in fold.unseen) == Counter(CLUSTER.index)
    for fold in folds:
        assert sorted(fold.development + fold.unseen) == sorted(CLUSTER.index)


def test_every_fold_has_both_classes_on_both_sides() -> None:
    for fold in outer_folds(POOL, 4, 0):
        for side in (fold.development, fold.unseen):
            assert {path.split("/")[0] for path in side} == {"no", "yes"}


def test_repeats_differ_and_each_repeats_itself() -> None:
    first, again, second = (list(outer_folds(POOL, 3, repeat)) for repeat in (0, 0, 1))
    assert first == again
    assert [fold.unseen for fold in first] != [fold.unseen for fold in second]


def test_the_order_of_the_pool_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(POOL.rows))
    shuffled = Pool(POOL.images[order], POOL.rows.iloc[order].reset_index(drop=True))
    assert list(outer_folds(shuffled, 3, 0)) == list(outer_folds(POOL, 3, 0))


def test_more_folds_than_clusters_of_a_class_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"headline\.folds is 9.*only 8 groups"):
        list(outer_folds(POOL, 9, 0))


PARAMS = sections.augment(copies=2)
PATHS = ("no/2.png", "no/10.png", "yes/1 yes.png")
GROUPS = ["no/10.png", "no/10.png", "yes/1 yes.png"]
MANIFEST = manifest_of(pd.DataFrame({"path": PATHS, "label": ["no", "no", "yes"], "group": GROUPS}))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 255, (75, 75)).astype(np.uint8) for _ in PATHS]
    write_images(tmp_path, zip(PATHS, pixels, strict=True))
    return tmp_path


def test_copies_are_those_of_stage_augment(images: Path) -> None:
    pool = read_pool(MANIFEST, images, PARAMS)
    own = originals(pool)
    assert sorted(own["source"]) == sorted(PATHS)
    for place, path in zip(own.index, own["source"], strict=True):
        wanted = variants(pool.images[place], path, PARAMS)
        copies = pool.rows.index[(pool.rows["source"] == path) & pool.rows["copy"]]
        assert np.array_equal(pool.images[copies], np.stack(wanted))


def test_an_image_and_its_copies_share_label_and_cluster(images: Path) -> None:
    pool = read_pool(MANIFEST, images, PARAMS)
    assert len(pool.rows) == len(pool.images) == 3 * len(PATHS)
    kinds = pool.rows.groupby("source")[["label", "cluster"]].nunique()
    assert kinds.eq(1).all(axis=None)
    clusters = pool.rows.set_index("source")["cluster"]
    assert set(clusters["no/2.png"]) == set(clusters["no/10.png"]) == {"no/10.png"}
    assert is_tumour(originals(pool)["label"]).sum() == 1


def test_the_order_of_the_manifest_does_not_matter(images: Path) -> None:
    first, second = (read_pool(table, images, PARAMS) for table in (MANIFEST, MANIFEST[::-1]))
    assert np.array_equal(first.images, second.images)
    pd.testing.assert_frame_equal(first.rows, second.rows)


def test_phantoms_are_copies_of_no_image(images: Path, tmp_path: Path) -> None:
    pool = read_pool(MANIFEST, images, PARAMS)
    augmented, name = tmp_path / "augmented", "phantom/0000-axial-yes"
    phantom = np.full((75, 75), 7, np.uint8)
    write_images(augmented, [(name, phantom)])
    columns = ["path", "source", "label"]
    rows = [("no/2.png--00", "no/2.png", "no"), (name, name, "yes")]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "records.csv", index=False)
    whole = with_phantoms(pool, augmented, tmp_path / "records.csv")
    assert len(whole.rows) == len(whole.images) == len(pool.rows) + 1
    assert np.array_equal(whole.images[-1], phantom)
    last = {"source": name, "label": "yes", "copy": True, "cluster": name}
    assert whole.rows.iloc[-1].to_dict() == last
    pd.testing.assert_frame_equal(originals(whole), originals(pool))


def test_without_phantoms_nothing_is_added(images: Path, tmp_path: Path) -> None:
    pool = read_pool(MANIFEST, images, PARAMS)
    (tmp_path / "records.csv").write_text("path,source,label\nno/2.png--00,no/2.png,no\n")
    assert with_phantoms(pool, tmp_path, tmp_path / "records.csv") is pool


def test_images_are_their_names_and_bytes_in_any_order() -> None:
    files = pd.DataFrame({"path": ["no/a.png", "yes/b.png"], "sha256": ["aa", "bb"]})
    digest = images_digest(files)
    assert images_digest(files[::-1]) == digest
    assert images_digest(files.assign(sha256=["aa", "cc"])) != digest
    assert images_digest(files.assign(sha256=["bb", "aa"])) != digest
    assert images_digest(files[:1]) != digest


def test_the_order_of_parameters_does_not_matter() -> None:
    assert params_digest({"a": 1, "b": 2}) == params_digest({"b": 2, "a": 1})
    assert params_digest({"a": 1}) != params_digest({"a": 2})
