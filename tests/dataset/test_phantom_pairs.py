"""Phantoms that train beside the images."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import sections

from brain_tumor.dataset.phantom.pairs import PhantomImage, draw, phantom_images
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.folder import preprocess_drawn
from brain_tumor.model.development import Development
from brain_tumor.outputs import load_images
from brain_tumor.settings import PhantomParams

PARAMS = sections.preprocess(size_px=75, normalisation="none")


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    grid = np.zeros((1, 128, 128), np.uint8)
    return Atlas(grid, grid > 0, ("axial",), np.zeros(1), np.zeros(1, bool))


def write(
    phantoms: list[PhantomImage],
    folder: Path,
    atlas: Atlas,
    seed: int = 0,
    looks: PhantomParams = sections.SETTINGS.phantom,
) -> None:
    augment = sections.augment(seed=seed)
    pictures = [(phantom.path, partial(draw, phantom, looks, augment)) for phantom in phantoms]
    preprocess_drawn(pictures, folder, atlas, PARAMS, "phantoms")


def test_planes_and_classes_are_balanced_and_more_leave_the_first_as_they_are() -> None:
    some, more = phantom_images(30), phantom_images(60)
    assert more[:30] == some
    counts = pd.crosstab([one.plane for one in some], [one.label for one in some])
    assert counts.to_numpy().tolist() == [[5, 5]] * 3
    assert phantom_images(0) == []


def test_pair_differs_only_by_its_tumour(tmp_path: Path, atlas: Atlas) -> None:
    phantoms = phantom_images(6)
    write(phantoms, tmp_path, atlas)
    images = load_images(tmp_path, [one.path for one in phantoms]).astype(float)
    changed = (np.abs(images[::2] - images[1::2]) > 25).mean(axis=(1, 2))
    assert (changed > 0.01).all()
    assert (changed < 0.5).all()


def test_same_seed_gives_the_same_pictures(tmp_path: Path, atlas: Atlas) -> None:
    phantoms = phantom_images(4)
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write(phantoms, tmp_path / name, atlas, seed=seed)
    one, two, other = (
        load_images(tmp_path / name, [phantom.path for phantom in phantoms])
        for name in ("one", "two", "other")
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_looks_are_those_of_section_phantom_and_the_radius_that_of_augment() -> None:
    phantom = phantom_images(2)[1]
    looks, augment = sections.phantom(noise_fraction=(0.0, 0.0)), sections.augment()
    picture = draw(phantom, sections.phantom(), augment)
    assert not np.array_equal(picture, draw(phantom, looks, augment))
    larger = sections.augment(phantom_tumour_radius_mm=(32.0, 33.0))
    assert not np.array_equal(picture, draw(phantom, sections.phantom(), larger))
    other_data = sections.phantom(seed=1, no=5, yes=5, tumour_radius_mm=(20.0, 21.0))
    np.testing.assert_array_equal(picture, draw(phantom, other_data, augment))


def test_phantoms_train_in_every_division_and_are_never_held_out() -> None:
    names = [f"{label}/{i}" for i in range(8) for label in ("no", "yes")]
    rows = pd.DataFrame({"source": names, "label": [name.split("/")[0] for name in names]})
    rows = rows.assign(split=["train"] * 12 + ["val"] * 4, copy=False)
    phantoms = pd.DataFrame(
        {"source": ["phantom/0-no", "phantom/0-yes"], "label": ["no", "yes"], "split": "train"}
    ).assign(copy=True)
    both = pd.concat([rows, phantoms], ignore_index=True)
    data = Development(np.zeros((18, 1, 1), np.uint8), both)
    clusters = pd.Series(names, index=names)
    divisions = [
        data.holdout(),
        *data.folds(clusters, 4, 0),
        *data.folds(clusters, 2, 0, among=names[:8]),
    ]
    for division in divisions:
        assert {16, 17} <= set(division.train)
        assert not {16, 17} & set(division.val)
    seen = np.concatenate([division.val for division in divisions[5:]])
    assert sorted(seen) == list(range(8))
