"""The phantom repeats, is balanced, and tells the class by its tumour alone."""

import csv
import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy.stats import chi2_contingency, ks_2samp

from brain_tumor.data.copies import difference_hash, near_duplicates, thumbnail
from brain_tumor.data.phantom.anatomy import load_template
from brain_tumor.data.phantom.folder import generate, plan
from brain_tumor.data.phantom.slices import PhantomImage, draw, make_slice, phantom_images
from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_drawn
from brain_tumor.model.folds import Development
from brain_tumor.outputs import load_images
from brain_tumor.settings import PhantomParams
from tests import sections

SMALL = sections.phantom(
    seed=5, no=10, yes=14, exact_duplicates=4, near_duplicates=4, canvas_px=(100, 150)
)
TINY = sections.phantom(canvas_px=(75, 80))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phantom")
    generate(path, SMALL)
    return path


def images(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for label in ("no", "yes")
        for path in (folder / label).iterdir()
    )


def original(path: str) -> str:
    return path.removesuffix(".png").removesuffix("-copy").removesuffix("-edit")


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_same_params_give_same_bytes_in_another_process(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from brain_tumor.data.phantom.folder import generate\n"
        "from brain_tumor.settings import PhantomParams\n"
        "generate(Path(sys.argv[1]), PhantomParams.model_validate_json(sys.argv[2]))"
    )
    again = tmp_path / "again"
    command = [sys.executable, "-c", code, str(again), SMALL.model_dump_json()]
    subprocess.run(command, check=True, capture_output=True)
    assert digests(again) == digests(folder)


def test_a_slice_does_not_depend_on_what_was_made_before() -> None:
    wanted = [(3, 0, True), (1, 1, False), (3, 1, True)]
    forth = {key: make_slice(7, *key, TINY).image for key in wanted}
    back = {key: make_slice(7, *key, TINY).image for key in reversed(wanted)}
    assert all(np.array_equal(forth[key], back[key]) for key in wanted)


def test_another_seed_gives_other_images() -> None:
    first, second = (make_slice(seed, 0, 0, True, TINY).image for seed in (1, 2))
    assert first.shape != second.shape or not np.array_equal(first, second)


def test_class_counts_are_exact_and_those_of_the_paper_by_default(folder: Path) -> None:
    planned = plan(sections.phantom())
    assert [sum(item.tumour is label for item in planned) for label in (False, True)] == [98, 155]
    assert len({(item.tumour, item.name) for item in planned}) == 253
    versions = [item.version for item in planned]
    assert (versions.count("copy"), versions.count("edit")) == (25, 19)
    assert [len(list((folder / name).iterdir())) for name in ("no", "yes")] == [10, 14]


def test_no_patient_is_in_both_classes_and_every_image_has_one(folder: Path) -> None:
    with (folder / "patients.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["path"] for row in rows] == images(folder)
    classes = defaultdict(set)
    for row in rows:
        classes[row["patient"]].add(row["path"].split("/")[0])
    assert all(len(labels) == 1 for labels in classes.values())
    assert any(sum(row["patient"] == name for row in rows) > 1 for name in classes)


def test_every_tumour_has_a_mask_of_its_image_size_and_nothing_else_has(folder: Path) -> None:
    masks = [path.relative_to(folder / "masks") for path in (folder / "masks").rglob("*.png")]
    assert sorted(mask.as_posix() for mask in masks) == [
        f"{path}.png" for path in images(folder) if path.startswith("yes/")
    ]
    for mask in masks:
        with (
            Image.open(folder / "masks" / mask) as drawn,
            Image.open(folder / mask.with_suffix("")) as image,
        ):
            assert drawn.size == image.size
            assert {level for _, level in drawn.getcolors() or []} == {0, 255}


def test_masks_lie_in_the_brain_and_where_the_tumour_changed_the_image() -> None:
    for patient in range(12):
        params = sections.phantom(canvas_px=(100, 120), noise_fraction=(0.0, 0.0))
        ill, well = (make_slice(11, patient, 0, tumour, params) for tumour in (True, False))
        assert ill.mask.any()
        assert not well.mask.any()
        assert not (ill.mask & ~ill.brain).any()
        change = np.abs(ill.image.astype(int) - well.image)
        assert change[ill.mask].mean() > 5 * change[~ill.brain].mean() + 2


def test_every_tumour_slice_shows_its_tumour() -> None:
    sizes = []
    for patient in range(150):
        slice_ = make_slice(23, patient, patient % 4, True, TINY)
        sizes.append(slice_.mask.sum() * slice_.pixel_mm**2)
    assert min(sizes) > 500  # square millimetres; a disc of the smallest radius has 1257


def test_head_and_placement_do_not_depend_on_the_tumour() -> None:
    ill, well = (make_slice(11, 4, 1, tumour, TINY) for tumour in (True, False))
    assert np.array_equal(ill.brain, well.brain)
    assert (ill.plane, ill.contrast, ill.pixel_mm) == (well.plane, well.contrast, well.pixel_mm)


def test_planted_duplicates_and_only_they_are_found(folder: Path) -> None:
    paths = images(folder)
    grey = [Image.open(folder / path) for path in paths]
    thumbnails = np.array([thumbnail(image) for image in grey])
    hashes = [difference_hash(image) for image in grey]
    duplicates = {(paths[i], paths[j]) for i, j in near_duplicates(hashes, thumbnails, 6, 0.97)}
    planted = {(a, b) for a in paths for b in paths if a < b and original(a) == original(b)}
    assert duplicates == planted
    assert len(planted) >= 8
    files = digests(folder)
    assert sum("-copy" in path for path in paths) == 4
    for path in paths:
        if "-copy" in path:
            assert files[path] == files[path.replace("-copy", "")]
        if "-edit" in path:
            assert files[path] != files[path.replace("-edit", "")]


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(UserError, match="exact_duplicates"):
        plan(sections.phantom(no=4, yes=4, exact_duplicates=6, near_duplicates=0))
    with pytest.raises(ValidationError, match="canvas_px"):
        sections.phantom(canvas_px=(200, 100))


def facts(tumour: bool, count: int) -> Iterator[tuple[str, str, int, int, float]]:
    for patient in range(count):
        slice_ = make_slice(18, patient + 10_000 * tumour, patient % 3, tumour, TINY_WIDE)
        air = float(np.median(slice_.image[~slice_.brain]))
        yield slice_.plane, slice_.contrast, *slice_.image.shape, air


TINY_WIDE = sections.phantom(canvas_px=(75, 150))


def test_what_is_no_tumour_tells_nothing_of_the_class() -> None:
    """A bound on chance: 1 in 1000 per comparison, at 100 images of each class."""
    negative, positive = (list(zip(*facts(tumour, 100), strict=True)) for tumour in (False, True))
    for column in (0, 1):
        kinds = sorted(set(negative[column]) | set(positive[column]))
        table = [[group[column].count(kind) for kind in kinds] for group in (negative, positive)]
        assert chi2_contingency(table).pvalue > 0.001
    for column in (2, 3, 4):
        assert ks_2samp(negative[column], positive[column]).pvalue > 0.001
    slices = [
        [sum(i.patient == p for i in items) for p in {i.patient for i in items}]
        for items in (
            [i for i in plan(sections.phantom()) if i.tumour is label] for label in (False, True)
        )
    ]
    assert ks_2samp(*slices).pvalue > 0.001


@pytest.mark.slow
def test_maps_are_those_of_nilearn() -> None:
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template

    grey = np.asarray(load_mni152_gm_template().dataobj)
    brain = np.asarray(load_mni152_template().dataobj) > 0
    np.testing.assert_allclose(load_template().grey, grey * brain, atol=1e-6)


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
    counts = pd.crosstab([phantom.plane for phantom in some], [phantom.label for phantom in some])
    assert counts.to_numpy().tolist() == [[5, 5]] * 3
    assert phantom_images(0) == []


def test_pair_differs_only_by_its_tumour(tmp_path: Path, atlas: Atlas) -> None:
    phantoms = phantom_images(6)
    write(phantoms, tmp_path, atlas)
    images = load_images(tmp_path, [phantom.path for phantom in phantoms]).astype(float)
    changed = (np.abs(images[::2] - images[1::2]) > 25).mean(axis=(1, 2))
    assert (changed > 0.01).all()
    assert (changed < 0.5).all()


def test_same_seed_gives_the_same_pictures(tmp_path: Path, atlas: Atlas) -> None:
    phantoms = phantom_images(4)
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write(phantoms, tmp_path / name, atlas, seed=seed)
    first, second, other = (
        load_images(tmp_path / name, [phantom.path for phantom in phantoms])
        for name in ("one", "two", "other")
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


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
    held_out = np.concatenate([division.val for division in divisions[5:]])
    assert sorted(held_out) == list(range(8))
