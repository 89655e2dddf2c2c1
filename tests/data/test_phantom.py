"""The phantom repeats, is balanced, and tells the class by its tumour alone."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy.ndimage import binary_dilation
from scipy.stats import chi2_contingency, chisquare, ks_2samp

from brain_tumor.data.copies import difference_hash, duplicate_groups, thumbnail
from brain_tumor.data.phantom.anatomy import (
    Patient,
    draw_patient,
    load_template,
    place_slice,
    sample_anatomy,
    vary,
)
from brain_tumor.data.phantom.contrasts import TEXTBOOK, Contrast, random_contrast
from brain_tumor.data.phantom.folder import generate, plan
from brain_tumor.data.phantom.heads import HEADS, TISSUES, Floats, load_head
from brain_tumor.data.phantom.slices import (
    PhantomImage,
    draw,
    draw_contrast,
    make_slice,
    phantom_images,
)
from brain_tumor.errors import UserError
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.preprocess import preprocess_drawn
from brain_tumor.model.folds import Development
from brain_tumor.settings import PhantomParams
from brain_tumor.shards import open_images, write_images
from tests import sections

SMALL = sections.phantom(
    seed=6, no=10, yes=14, exact_duplicates=4, near_duplicates=4, canvas_px=(100, 150)
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
    group = dict(
        zip(paths, duplicate_groups(paths, paths, hashes, thumbnails, 6, 0.97), strict=True)
    )
    duplicates = {(a, b) for a in paths for b in paths if a < b and group[a] == group[b]}
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


EVEN = sections.phantom(
    canvas_px=(120, 140), noise_fraction=(0.0, 0.0), random_contrast_fraction=0.0, cut_fraction=0.0
)
"""Without noise, in textbook contrasts, the whole field of view."""


def fractions_at(points: Floats) -> dict[str, Floats]:
    """Tissues of the template, which a slice's `points` say where to find, each (H, W)."""
    fractions, _ = load_head("mni152").sample(points.reshape(3, -1))
    return dict(zip(TISSUES, fractions.reshape(-1, *points.shape[1:]), strict=True))


@pytest.mark.parametrize("plane", PLANES)
def test_points_say_what_lies_where(plane: str) -> None:
    for patient in range(4):
        by_contrast = [make_slice(5, patient, index, False, EVEN, plane) for index in range(4)]
        for slice_ in by_contrast:
            assert slice_.points.shape == (3, *slice_.image.shape)
            found = fractions_at(slice_.points)
            fluid, grey, white = (
                float(np.median(slice_.image[slice_.brain & (found[tissue] > 0.9)]))
                for tissue in ("fluid", "grey", "white")
            )
            if slice_.contrast == "T2":
                assert fluid > grey > white
            elif slice_.contrast == "FLAIR":  # the fluid beside it darkens grey matter
                assert min(grey, white) > fluid
            else:
                assert white > grey > fluid


def test_points_run_to_the_right_front_and_top_of_the_patient() -> None:
    """Pictures are upright; sagittal ones face either way."""
    turns = {"axial": (0, 1), "coronal": (0, 2), "sagittal": (1, 2)}
    facing = set()
    for plane, (across, up) in turns.items():
        for patient in range(12):
            points = make_slice(6, patient, 0, False, EVEN, plane).points
            height, width = points.shape[1:]
            assert points[up, height // 4, width // 2] > points[up, 3 * height // 4, width // 2]
            step = (
                points[across, height // 2, 3 * width // 4]
                - points[across, height // 2, width // 4]
            )
            assert plane == "sagittal" or step > 0
            facing.add((plane, bool(step > 0)))
    assert {("sagittal", True), ("sagittal", False)} <= facing


@pytest.mark.parametrize("plane", PLANES)
def test_a_whole_head_stands_in_air(plane: str) -> None:
    for patient in range(8):
        slice_ = make_slice(7, patient, 0, False, EVEN, plane)
        shown = slice_.image > 20
        air = fractions_at(slice_.points)["air"] > 0.99
        assert np.median(slice_.image[air & (slice_.points[2] > -60)]) < 5
        around = (
            binary_dilation(slice_.brain, iterations=round(30 / slice_.pixel_mm)) & ~slice_.brain
        )
        assert 0.2 < shown[around].mean() < 0.95  # bone and air are dark, scalp and face are not


def plain(head: str) -> Patient:
    """A patient with the walls of the template."""
    return replace(draw_patient(np.random.default_rng(0), (20, 20), head), wall=1.0, fluid_mm=0.0)


@pytest.mark.parametrize("head", HEADS)
def test_tissues_lie_where_they_belong_and_sum_to_one(head: str) -> None:
    grid = np.array(np.meshgrid(np.arange(-90, 91, 3.0), np.arange(-130, 100, 3.0))).astype(float)
    for height in (-90, -60, -38, 0, 40):
        points = np.concatenate([grid, np.full((1, *grid.shape[1:]), height)])
        anatomy = sample_anatomy(plain(head), points, points)
        np.testing.assert_allclose(anatomy.tissues.sum(axis=0), 1, atol=1e-6)
        for tissue in ("bone", "fat", "muscle", "skin"):
            assert anatomy.of(tissue)[anatomy.hull_mm < -1].max() < 0.01 if height > -60 else True
        if height > -60:
            matter = anatomy.of("grey") + anatomy.of("white")
            assert matter[anatomy.hull_mm > 1].max() < 0.01
        else:
            assert (anatomy.of("air") < 0.5).mean() > 0.2  # the neck
    places = {"eye": (33, 58, -38), "air": (0, 140, 0), "white": (28, -20, 28)}
    points = np.array([places[name] for name in places], dtype=float).T[:, :, None]
    anatomy = sample_anatomy(plain(head), points, points)
    assert [TISSUES[index] for index in anatomy.tissues[:, :, 0].argmax(axis=0)] == list(places)


def test_the_skull_closes_around_the_brain() -> None:
    """Going outwards from the brain at the height of the ventricles every ray meets bone."""
    angle = np.radians(np.arange(0, 360, 5))
    away = np.arange(40, 110, 1.0)[:, None]
    points = np.stack(
        [away * np.sin(angle), away * 1.15 * np.cos(angle) - 18, np.full((70, 72), 30.0)]
    )
    for wall in (0.6, 1.0, 1.15):
        anatomy = sample_anatomy(replace(plain("mni152"), wall=wall), points, points)
        hard = anatomy.of("bone") + anatomy.of("marrow")
        assert (hard.max(axis=0) > 0.5).mean() > 0.95
        assert (anatomy.of("skin") + anatomy.of("fat")).max(axis=0).min() > 0.3


def varied(patient: Patient, seed: int, amount: float = 1.0) -> Patient:
    """The same patient, further from the template by that seed."""
    return vary(patient, np.random.default_rng(seed), amount)


@pytest.mark.parametrize("head", HEADS)
def test_varied_patients_have_whole_brains_of_their_own(head: str) -> None:
    grid = np.array(np.meshgrid(np.arange(-70, 71, 2.0), np.arange(-100, 70, 2.0))).astype(float)
    points = np.concatenate([grid, np.full((1, *grid.shape[1:]), 20.0)])
    template = sample_anatomy(plain(head), points, points)
    inside = template.hull_mm < -2
    shares, changes = [], []
    for seed in range(12):
        anatomy = sample_anatomy(varied(plain(head), seed), points, points)
        np.testing.assert_allclose(anatomy.tissues.sum(axis=0), 1, atol=1e-6)
        brain = [anatomy.of(tissue)[inside] for tissue in ("fluid", "grey", "white")]
        np.testing.assert_allclose(np.sum(brain, axis=0), 1, atol=1e-6)
        shares.append([part.mean() for part in brain])
        assert min(shares[-1][1:]) > 0.1  # never without grey or white matter
        changes.append(np.abs(brain[2] - template.of("white")[inside]).mean())
    assert max(changes) > 0.02
    assert np.ptp(shares, axis=0).min() > 0.02


def test_how_far_a_patient_is_varied_is_what_is_asked_for() -> None:
    patient = plain("mni152")
    assert varied(patient, 0, 0.0) is patient
    some, much = (varied(patient, 0, amount) for amount in (0.1, 1.0))
    assert some.folds is not None
    assert much.folds is not None
    assert 1 < some.folds.sharpness < much.folds.sharpness
    assert some.folds.amplitude < much.folds.amplitude
    pictures = [
        make_slice(3, 0, 0, False, EVEN.model_copy(update={"anatomy_variation": amount})).image
        for amount in (0.0, 0.1, 1.0)
    ]
    apart = [np.abs(pictures[0].astype(float) - other).mean() for other in pictures[1:]]
    assert 0 < apart[0] < apart[1]


def test_one_head_is_not_the_other() -> None:
    for plane in PLANES:
        one, other = (make_slice(3, 0, 0, False, EVEN, plane, head) for head in HEADS)
        assert not np.array_equal(one.image, other.image)


def test_slices_fall_to_the_planes_in_their_shares() -> None:
    shares = {"axial": 0.5, "coronal": 0.2, "sagittal": 0.3}
    params = sections.phantom(canvas_px=(75, 76), planes=shares)
    patient = draw_patient(np.random.default_rng(0), (20, 20))
    drawn = Counter(
        place_slice(np.random.default_rng(seed), patient, params).plane for seed in range(600)
    )
    observed = [drawn[plane] for plane in PLANES]
    assert chisquare(observed, [600 * shares[plane] for plane in PLANES]).pvalue > 0.001
    only = sections.phantom(
        canvas_px=(75, 76), planes={"axial": 0.0, "coronal": 0.0, "sagittal": 1.0}
    )
    assert place_slice(np.random.default_rng(0), patient, only).plane == "sagittal"
    with pytest.raises(ValidationError, match="must sum to 1"):
        sections.phantom(planes={"axial": 0.9, "coronal": 0.2, "sagittal": 0.1})


def test_contrasts_are_textbook_ones_in_turn_or_random_in_their_share() -> None:
    patient = draw_patient(np.random.default_rng(0), (20, 20))
    in_turn = [draw_contrast(np.random.default_rng(1), patient, index, 0.0) for index in range(4)]
    assert sorted(contrast.name for contrast in in_turn) == sorted(TEXTBOOK)
    drawn = [draw_contrast(np.random.default_rng(seed), patient, 0, 0.3) for seed in range(400)]
    share = np.mean([contrast.name == "random" for contrast in drawn])
    assert 0.22 < share < 0.38
    levels = np.array([contrast.tissues for contrast in drawn if contrast.name == "random"])
    varied = levels[:, [TISSUES.index(name) for name in ("fluid", "fat", "muscle", "skin")]]
    assert (varied.min(axis=0) < 0.1).all()
    assert (varied.max(axis=0) > 0.9).all()
    assert (levels[:, TISSUES.index("air")] == 0).all()


def difference(contrast: Contrast) -> float:
    """Mean absolute difference of the masses' signals from that of the brain."""
    brain = float(contrast.tissues[[TISSUES.index("grey"), TISSUES.index("white")]].mean())
    return float(
        np.mean([abs(s - brain) for s in (contrast.solid, contrast.ring, contrast.diffuse)])
    )


def test_a_mass_in_a_random_contrast_stands_out_as_in_the_textbook_ones() -> None:
    textbook = [difference(contrast) for contrast in TEXTBOOK.values()]
    drawn = [difference(random_contrast(np.random.default_rng(seed))) for seed in range(500)]
    assert min(drawn) > 0.9 * min(textbook)
    assert 0.8 < np.mean(drawn) / np.mean(textbook) < 1.25


def test_a_quarter_turn_turns_picture_and_truth() -> None:
    turned_by = set()
    for patient in range(12):
        upright = make_slice(9, patient, 0, True, EVEN)
        params = EVEN.model_copy(update={"quarter_turn_fraction": 1.0})
        turned = make_slice(9, patient, 0, True, params)
        turns = [k for k in (1, 2, 3) if np.array_equal(np.rot90(upright.image, k), turned.image)]
        assert len(turns) == 1
        for name in ("mask", "brain"):
            expected = np.rot90(getattr(upright, name), turns[0])
            assert np.array_equal(expected, getattr(turned, name))
        expected = np.rot90(upright.points, turns[0], axes=(1, 2))
        np.testing.assert_array_equal(expected, turned.points)
        turned_by |= set(turns)
    assert turned_by == {1, 2, 3}


def test_the_field_of_view_may_cut_the_head_but_never_the_brain() -> None:
    params = EVEN.model_copy(update={"cut_fraction": 1.0})
    lost = []
    for patient in range(16):
        whole, cut = (
            make_slice(9, patient, 0, True, looks, "sagittal") for looks in (EVEN, params)
        )
        assert np.array_equal(whole.image[whole.brain], cut.image[cut.brain])
        assert not cut.image[cut.image != whole.image].any()
        lost.append((cut.image != whole.image).mean())
    assert 0.02 < np.mean(lost) < 0.4


@pytest.mark.parametrize("plane", PLANES)
def test_a_pair_is_the_same_where_the_tumour_does_not_reach(plane: str) -> None:
    for patient in range(8):
        ill, well = (make_slice(13, patient, 0, tumour, TINY, plane) for tumour in (True, False))
        np.testing.assert_array_equal(ill.points, well.points)
        near = binary_dilation(ill.brain, iterations=6)  # the blur reaches so far
        assert np.array_equal(ill.image[~near], well.image[~near])


@pytest.mark.slow
def test_maps_are_those_of_nilearn() -> None:
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template

    grey = np.asarray(load_mni152_gm_template().dataobj)
    brain = np.asarray(load_mni152_template().dataobj) > 0
    np.testing.assert_allclose(load_template("mni152").grey.values, grey * brain, atol=1e-6)


PARAMS = sections.preprocess(size_px=75, normalisation="none")


def write(
    phantoms: list[PhantomImage],
    folder: Path,
    seed: int = 0,
    looks: PhantomParams = sections.SETTINGS.phantom,
) -> None:
    augment = sections.augment(seed=seed)
    pictures = [(phantom.path, partial(draw, phantom, looks, augment)) for phantom in phantoms]
    write_images(folder, preprocess_drawn(pictures, PARAMS, "phantoms"))


def test_planes_and_classes_are_balanced_and_more_leave_the_first_as_they_are() -> None:
    some, more = phantom_images(30), phantom_images(60)
    assert more[:30] == some
    counts = pd.crosstab([phantom.plane for phantom in some], [phantom.label for phantom in some])
    assert counts.to_numpy().tolist() == [[5, 5]] * 3
    assert phantom_images(0) == []


def test_pair_differs_only_by_its_tumour(tmp_path: Path) -> None:
    phantoms = phantom_images(6)
    write(phantoms, tmp_path)
    images = open_images(tmp_path, [phantom.path for phantom in phantoms])[:].astype(float)
    changed = (np.abs(images[::2] - images[1::2]) > 25).mean(axis=(1, 2))
    assert (changed > 0.01).all()
    assert (changed < 0.5).all()


def test_same_seed_gives_the_same_pictures(tmp_path: Path) -> None:
    phantoms = phantom_images(4)
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        write(phantoms, tmp_path / name, seed=seed)
    first, second, other = (
        open_images(tmp_path / name, [phantom.path for phantom in phantoms])[:]
        for name in ("one", "two", "other")
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_looks_are_those_of_section_augment_and_else_those_of_section_phantom() -> None:
    phantom = phantom_images(2)[1]
    looks, augment = sections.phantom(bias_fraction=0.0), sections.augment()
    picture = draw(phantom, sections.phantom(), augment)
    assert not np.array_equal(picture, draw(phantom, looks, augment))
    for changed in (
        sections.augment(phantom_tumour_radius_mm=(32.0, 33.0)),
        sections.augment(phantom_noise_fraction=(0.0, 0.0)),
        sections.augment(phantom_resolution_mm=(5.0, 5.0)),
        sections.augment(phantom_anatomy_variation=0.0),
    ):
        assert not np.array_equal(picture, draw(phantom, sections.phantom(), changed))
    textbook, random = (
        draw(phantom, sections.phantom(), sections.augment(phantom_random_contrast_fraction=share))
        for share in (0.0, 1.0)
    )
    assert not np.array_equal(textbook, random)
    other_data = sections.phantom(
        seed=1, no=5, yes=5, tumour_radius_mm=(20.0, 21.0), noise_fraction=(0.0, 0.0)
    )
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
