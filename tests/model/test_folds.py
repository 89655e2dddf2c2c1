"""Development data: train and val only, each image held out once, copies never judged on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_tumor.errors import UserError
from brain_tumor.imaging.augment import augmented, copy_names
from brain_tumor.model.folds import Development, TrainingData, read_development
from brain_tumor.settings import AugmentParams
from brain_tumor.shards import open_images, write_images
from tests import sections
from tests.stored import spoil

AUGMENT = sections.augment(copies=2)
SIDE_PX = 12


@dataclass(frozen=True)
class Stored:
    """Outputs of the stages split, preprocess and augment, as development data is read from."""

    folder: Path
    table: pd.DataFrame

    @property
    def images(self) -> Path:
        return self.folder / "images"

    @property
    def augmented(self) -> Path:
        return self.folder / "augmented"

    def read(self) -> Development:
        return read_development(
            self.folder / "split.csv", self.images, self.augmented, self.folder / "records.csv"
        )

    def paths(self, *splits: str) -> list[str]:
        return list(self.table.loc[self.table["split"].isin(splits), "path"])


def drawn(folder: Path, params: AugmentParams) -> Stored:
    """24 images of random pixels, in an order that mixes classes and splits."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(24):
        label = "yes" if number % 3 else "no"
        split = ("train", "train", "val", "train", "test", "val")[number % 6]
        rows.append({"path": f"{label}/{number}.jpg", "label": label, "split": split})
    table = pd.DataFrame(rows)
    images = rng.integers(1, 255, (len(table), SIDE_PX, SIDE_PX)).astype(np.uint8)
    write_images(folder / "images", zip(table["path"], images, strict=True))
    table.to_csv(folder / "split.csv", index=False)
    stages = Stored(folder, table)
    write_copies(stages, params)
    return stages


def write_copies(stages: Stored, params: AugmentParams) -> None:
    train = stages.paths("train")
    images = open_images(stages.images, train)
    write_images(stages.augmented, augmented(images, train, params))
    records = [
        {"path": name, "source": path, "label": path.partition("/")[0]}
        for path in train
        for name in copy_names(path, params)
    ]
    columns = ["path", "source", "label"]
    pd.DataFrame(records, columns=columns).to_csv(stages.folder / "records.csv", index=False)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Stored:
    """Not to be changed; others are `drawn`."""
    return drawn(tmp_path_factory.mktemp("stored"), AUGMENT)


def by_class(paths: list[str]) -> pd.Series:
    """Clusters of two neighbours of the same class, the others alone."""
    names = [f"{path.partition('/')[0]}-{i // 4}" for i, path in enumerate(paths)]
    return pd.Series(names, index=paths)


@pytest.fixture
def clusters(stages: Stored) -> pd.Series:
    return by_class(list(stages.table["path"]))


def sources(data: Development, rows: np.ndarray) -> set[str]:
    return set(data.rows["source"].iloc[rows])


def test_test_images_are_never_opened(tmp_path: Path) -> None:
    stages = drawn(tmp_path, AUGMENT)
    before = stages.read()
    expected = before.images[:]
    spoil(stages.images, stages.paths("test"))
    after = stages.read()
    np.testing.assert_array_equal(after.images, expected)
    pd.testing.assert_frame_equal(after.rows, before.rows)
    assert not set(before.rows["source"]) & set(stages.paths("test"))


def test_every_row_is_the_image_it_says(stages: Stored) -> None:
    data = stages.read()
    originals = data.rows[~data.rows["copy"]]
    assert list(originals["source"]) == stages.paths("train") + stages.paths("val")
    np.testing.assert_array_equal(
        data.images[originals.index], open_images(stages.images, list(originals["source"]))
    )
    copies = data.rows[data.rows["copy"]]
    names = [name for path in stages.paths("train") for name in copy_names(path, AUGMENT)]
    np.testing.assert_array_equal(data.images[copies.index], open_images(stages.augmented, names))
    assert list(copies["source"]) == [name.partition("--")[0] for name in names]
    assert set(copies["split"]) == {"train"}
    assert list(data.rows["label"]) == [path.partition("/")[0] for path in data.rows["source"]]


def test_missing_image_is_named(tmp_path: Path) -> None:
    stages = drawn(tmp_path, AUGMENT)
    for missing in sorted(stages.images.glob("*.npy")):
        content = missing.read_bytes()
        missing.unlink()
        with pytest.raises(UserError, match=rf"{missing.name}: missing; run `dvc repro`"):
            stages.read()
        missing.write_bytes(content)
    write_images(stages.images, [])
    first = stages.paths("train")[0]
    with pytest.raises(UserError, match=rf"index\.csv: has no image {first}; run `dvc repro`"):
        stages.read()


def test_augmentation_may_have_made_no_copies(tmp_path: Path) -> None:
    stages = drawn(tmp_path, sections.augment(copies=0))
    data = stages.read()
    assert not data.rows["copy"].any()
    assert len(data.images) == len(stages.paths("train", "val"))
    assert data.with_copies_of_val(sections.augment(copies=0)) is data


def test_holdout_fits_train_with_copies_and_stops_by_val(stages: Stored) -> None:
    data = stages.read()
    held_out = data.holdout()
    assert sources(data, held_out.train) == set(stages.paths("train"))
    assert list(data.rows["source"].iloc[held_out.val]) == stages.paths("val")
    assert len(held_out.train) == len(stages.paths("train")) * (1 + AUGMENT.copies)
    assert held_out.labels.dtype == np.float32
    np.testing.assert_array_equal(held_out.labels, data.rows["label"] == "yes")
    assert held_out.train.dtype == held_out.val.dtype == np.int64


def folds(stages: Stored, clusters: pd.Series, count: int = 3, seed: int = 0) -> list[TrainingData]:
    data = stages.read().with_copies_of_val(AUGMENT)
    return list(data.folds(clusters, count, seed))


def test_every_original_is_held_out_exactly_once(stages: Stored, clusters: pd.Series) -> None:
    data = stages.read().with_copies_of_val(AUGMENT)
    parts = folds(stages, clusters)
    held_out = np.concatenate([part.val for part in parts])
    assert len(parts) == 3
    assert sorted(held_out) == list(np.flatnonzero(~data.rows["copy"]))


def test_no_fold_divides_a_cluster(stages: Stored, clusters: pd.Series) -> None:
    data = stages.read().with_copies_of_val(AUGMENT)
    for part in folds(stages, clusters):
        fitted = set(clusters.loc[list(sources(data, part.train))])
        assert not fitted & set(clusters.loc[list(sources(data, part.val))])


def test_no_copy_of_a_held_out_image_is_fitted_and_none_is_judged_on(
    stages: Stored, clusters: pd.Series
) -> None:
    data = stages.read().with_copies_of_val(AUGMENT)
    for part in folds(stages, clusters):
        assert not data.rows["copy"].iloc[part.val].any()
        assert not sources(data, part.train) & sources(data, part.val)
        fitted = data.rows["source"].iloc[part.train].value_counts()
        assert set(fitted) == {1 + AUGMENT.copies}


def test_folds_hold_both_classes(stages: Stored, clusters: pd.Series) -> None:
    for part in folds(stages, clusters):
        for rows in (part.train, part.val):
            assert set(part.labels[rows]) == {0.0, 1.0}


def test_folds_follow_from_the_seed(stages: Stored, clusters: pd.Series) -> None:
    def held_out(seed: int) -> list[list[int]]:
        return [part.val.tolist() for part in folds(stages, clusters, seed=seed)]

    assert held_out(0) == held_out(0)
    assert any(held_out(seed) != held_out(0) for seed in range(1, 5))


def test_folds_share_the_images(stages: Stored, clusters: pd.Series) -> None:
    parts = folds(stages, clusters)
    assert all(part.images is parts[0].images for part in parts)


def test_too_many_folds_are_named_with_how_many_there_may_be(stages: Stored) -> None:
    paths = list(stages.table["path"])
    names = ["one patient" if path.startswith("no/") else path for path in paths]
    one_patient = pd.Series(names, index=paths)
    with pytest.raises(ValueError, match=r"3 folds asked for .*only 1 groups"):
        folds(stages, one_patient)


def test_copies_of_val_are_what_stage_augment_would_write(stages: Stored, tmp_path: Path) -> None:
    val = stages.paths("val")
    data = stages.read()
    more = data.with_copies_of_val(AUGMENT)
    written = dict(augmented(open_images(stages.images, val), val, AUGMENT))
    names = [name for path in val for name in copy_names(path, AUGMENT)]
    assert list(written) == names
    np.testing.assert_array_equal(more.images[len(data.images) :], list(written.values()))
    added = more.rows.iloc[len(data.rows) :]
    assert list(added["source"]) == [name.partition("--")[0] for name in names]
    assert added["copy"].all()
    assert list(added["label"]) == [path.partition("/")[0] for path in added["source"]]
    pd.testing.assert_frame_equal(more.rows.iloc[: len(data.rows)], data.rows)


def test_copies_of_val_do_not_change_the_holdout(stages: Stored) -> None:
    held_out, more = stages.read().holdout(), stages.read().with_copies_of_val(AUGMENT).holdout()
    np.testing.assert_array_equal(held_out.train, more.train)
    np.testing.assert_array_equal(held_out.val, more.val)


@pytest.mark.parametrize(("weight", "phantoms"), [(1.0, 3), (1 / 3, 1)])
def test_an_epoch_draws_each_image_once_and_phantoms_by_their_weight(
    weight: float, phantoms: int
) -> None:
    """Three images with two copies each, and nine phantoms."""
    sources = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, *range(3, 12), 12])
    labels, train = np.zeros(19, np.float32), np.arange(18)
    images = np.zeros((19, 1, 1), np.uint8)
    drawn_ones = (sources >= 3) & (sources < 12)
    given = TrainingData(images, labels, train, np.array([18]), sources, drawn_ones)
    rng = np.random.default_rng(0)
    drawn = [given.draw(rng, weight) for _ in range(200)]
    for rows in drawn:
        assert sorted(sources[rows][sources[rows] < 3]) == [0, 1, 2]
        assert len(rows) == len(set(rows)) == 3 + phantoms
        assert 18 not in rows
    counts = np.bincount(np.concatenate(drawn), minlength=19)[:18]
    expected = np.where(drawn_ones[:18], 200 * phantoms / 9, 200 / 3)
    assert (abs(counts - expected) < 4 * np.sqrt(expected)).all()


def test_without_copies_every_image_is_drawn_and_phantoms_by_their_weight() -> None:
    is_phantom = np.arange(24) >= 4
    given = TrainingData(
        np.zeros((24, 1, 1), np.uint8), np.zeros(24, np.float32), np.arange(24), np.arange(0),
        np.arange(24), is_phantom,
    )  # fmt: skip
    for weight, phantoms in ((1.0, 20), (0.6, 12), (0.01, 0)):
        rows = given.draw(np.random.default_rng(1), weight)
        assert set(range(4)) <= set(rows.tolist())
        assert len(rows) == len(set(rows.tolist())) == 4 + phantoms


def test_an_epoch_draws_every_row_where_there_are_no_copies() -> None:
    images = np.zeros((5, 1, 1), np.uint8)
    given = TrainingData(images, np.zeros(5, np.float32), np.arange(4), np.array([4]))
    assert sorted(given.draw(np.random.default_rng(1), 1.0)) == [0, 1, 2, 3]
