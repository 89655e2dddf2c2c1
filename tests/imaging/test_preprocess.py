"""Pictures become inputs of the network, and records say how."""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage

from brain_tumor.data.phantom.slices import PhantomSlice
from brain_tumor.errors import UserError
from brain_tumor.imaging.figures import draw_figures
from brain_tumor.imaging.geometry import invert, magnification, transform
from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.head import hull
from brain_tumor.imaging.preprocess import (
    Normalisation,
    Record,
    apply_geometry,
    normalise,
    preprocess_folder,
    preprocess_grey,
    preprocess_image,
    steps,
    summarise,
)
from brain_tumor.imaging.read import read_grey
from brain_tumor.settings import PreprocessParams
from brain_tumor.shards import open_images
from tests import sections
from tests.data.growing import files
from tests.imaging.drawn_heads import encoded
from tests.imaging.whole_heads import PLANES, whole_head
from tests.stored import contents

PARAMS = sections.preprocess(size_px=150, min_confidence=0.0)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return whole_head(4, "axial").image


def test_the_input_is_square_and_uses_the_whole_range(image: np.ndarray) -> None:
    done = preprocess_image(encoded(image), PARAMS)
    assert done.image.shape == (150, 150)
    assert done.image.dtype == np.uint8
    assert (done.image.min(), done.image.max()) == (0, 255)


def test_a_tilted_and_shifted_picture_gives_nearly_the_same_input(image: np.ndarray) -> None:
    tilted = np.pad(ndimage.rotate(image, 12, order=1), ((0, 40), (15, 0)))
    first, second = (
        preprocess_image(encoded(picture), PARAMS).image for picture in (image, tilted)
    )
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_points_of_a_mask_land_where_the_record_says(image: np.ndarray) -> None:
    record = preprocess_image(encoded(image), PARAMS).record
    mask = np.zeros(image.shape, dtype=bool)
    y, x = (side // 2 for side in image.shape)
    mask[y - 4 : y + 5, x + 10 : x + 19] = True
    warped = apply_geometry(mask, record, order=0)
    assert warped.dtype == bool
    centre = np.argwhere(warped).mean(axis=0)[::-1]
    expected = transform(invert(record.matrix), np.array([[x + 14.0, float(y)]]))[0]
    np.testing.assert_allclose(centre, expected, atol=0.7)


def test_the_image_warped_by_its_record_is_the_input_but_for_grey_levels(image: np.ndarray) -> None:
    params = PARAMS.model_copy(update={"blank_outside": False})
    done = preprocess_image(encoded(image), params)
    record = Record.from_row({name: str(value) for name, value in done.record.row().items()})
    assert record == done.record
    unit = (apply_geometry(image, record, order=1) - record.low) / (record.high - record.low)
    head = done.image > 0
    np.testing.assert_allclose(
        np.clip(unit, 0, 1)[head] * 255, done.image[head].astype(float), atol=0.51
    )


def test_a_mask_of_another_size_is_refused(image: np.ndarray) -> None:
    params = sections.preprocess(normalisation="none")
    record = preprocess_image(encoded(image), params).record
    with pytest.raises(ValueError, match=r"shape \(10, 12\)"):
        apply_geometry(np.zeros((10, 12)), record, order=0)


def test_none_only_crops_and_scales() -> None:
    picture = np.zeros((100, 200), np.uint8)
    picture[20:80, 50:150] = np.linspace(60, 250, 100, dtype=np.uint8)
    params = sections.preprocess(size_px=100, normalisation="none", crop_margin_fraction=0.0)
    done = preprocess_image(encoded(picture), params)
    assert done.record.slice == ""
    assert done.record.m01 == 0.0
    rows, columns = np.nonzero(done.image > 40)
    assert (rows.min(), rows.max()) == (pytest.approx(20, abs=2), pytest.approx(79, abs=2))
    assert np.ptp(columns) > 75


def test_the_step_of_the_paper_removes_detail(image: np.ndarray) -> None:
    paper, plain = (
        sections.preprocess(size_px=299, paper_step_px=side, min_confidence=0.0)
        for side in (100, None)
    )
    rough, fine = (preprocess_grey(image, params).image for params in (paper, plain))
    assert steps(image, preprocess_grey(image, paper), paper)["cropped"].shape == (100, 100)
    assert rough.shape == (299, 299)
    assert np.corrcoef(rough.ravel(), fine.ravel())[0, 1] > 0.97
    detail = [np.abs(ndimage.laplace(each.astype(float))).mean() for each in (rough, fine)]
    assert detail[0] < 0.7 * detail[1]


def test_the_steps_are_the_pictures_on_the_way_to_the_input(image: np.ndarray) -> None:
    pictures = steps(image, preprocess_grey(image, PARAMS), PARAMS)
    assert list(pictures) == ["raw", "normalised", "cropped", "input"]
    assert pictures["raw"] is image
    assert pictures["normalised"].shape == (256, 256)
    np.testing.assert_array_equal(pictures["input"], preprocess_grey(image, PARAMS).image)
    still = sections.preprocess(normalisation="none")
    unmoved = steps(image, preprocess_grey(image, still), still)
    assert unmoved["normalised"] is image


def test_frames_beyond_the_head_are_blanked() -> None:
    picture = np.zeros((200, 200), np.uint8)
    y, x = np.mgrid[:200, :200]
    picture[(y - 100) ** 2 + (x - 100) ** 2 < 90**2] = 120
    picture[2:4] = picture[-4:-2] = picture[:, 2:4] = picture[:, -4:-2] = 255
    kept, blanked = (
        preprocess_image(
            encoded(picture),
            sections.preprocess(
                normalisation="none", crop_margin_fraction=0.06, blank_outside=blank
            ),
        ).image[:60, :60]
        for blank in (False, True)
    )
    assert kept.max() == 255
    assert (blanked == 255).sum() < 0.5 * (kept == 255).sum()


def test_bytes_that_are_no_image_are_refused() -> None:
    with pytest.raises(DecodeError, match="received 4 bytes"):
        preprocess_image(b"none", PARAMS)


SMALL = sections.preprocess(size_px=96, min_confidence=0.0)
PATHS = [f"{label}/a {number}.jpg" for label in ("no", "yes") for number in range(4)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, path in enumerate(PATHS):
        (folder / path).parent.mkdir(exist_ok=True)
        Image.fromarray(whole_head(number, PLANES[number % 3]).image).save(
            folder / path, quality=95
        )
    return folder


def test_any_number_of_workers_writes_what_one_image_alone_gives(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, records = [], []
    for workers in ("1", "2"):
        monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
        images = tmp_path / workers
        records.append(preprocess_folder(data, PATHS, images, SMALL))
        written.append(files(images))
    assert written[0] == written[1]
    assert records[0] == records[1]
    assert set(contents(tmp_path / "1")) == set(PATHS)
    alone = preprocess_image((data / PATHS[3]).read_bytes(), SMALL)
    np.testing.assert_array_equal(open_images(tmp_path / "2", [PATHS[3]])[0], alone.image)
    assert alone.record == records[1][3]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broken_image_is_named(
    workers: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    (data / "no" / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"no/broken\.png: cannot decode"):
        preprocess_folder(data, ["no/broken.png", *PATHS], tmp_path, SMALL)


@pytest.mark.parametrize("workers", ["0", "two", "-1"])
def test_a_senseless_number_of_workers_is_refused(
    workers: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    with pytest.raises(ValueError, match=f"BRAIN_TUMOR_WORKERS={workers}"):
        preprocess_folder(data, PATHS, tmp_path, SMALL)


def test_a_large_picture_that_is_not_aligned_is_blanked_as_a_small_one(image: np.ndarray) -> None:
    strict = SMALL.model_copy(update={"min_confidence": 1.0})
    large = np.asarray(Image.fromarray(image).resize([9 * side for side in image.shape[::-1]]))
    first, second = (preprocess_grey(picture, strict) for picture in (image, large))
    assert first.record.fallback
    assert second.record.fallback
    assert np.mean((first.image > 0) != (second.image > 0)) < 0.02


def test_figures_repeat_and_stay_small(data: Path, tmp_path: Path) -> None:
    params = sections.preprocess(size_px=96, normalisation="none")
    done = preprocess_folder(data, PATHS, tmp_path / "images", params)
    facts = {
        path: (path[: path.index("/")], record) for path, record in zip(PATHS, done, strict=True)
    }
    for name in ("first", "second"):
        draw_figures(data, tmp_path / "images", facts, params, tmp_path / name)
    drawn = files(tmp_path / "first")
    assert drawn == files(tmp_path / "second")
    assert set(drawn) == {"ratios.png", "steps.png", "before_after_no.png", "before_after_yes.png"}
    for content in drawn.values():
        assert len(content) < 300_000
        assert np.ptp(read_grey(content)) > 200


def test_the_summary_counts_fallbacks_by_class(data: Path, tmp_path: Path) -> None:
    strict = SMALL.model_copy(update={"min_confidence": 1.0})
    fell = preprocess_folder(data, PATHS[4:], tmp_path, strict)
    kept = preprocess_folder(data, PATHS[:4], tmp_path, SMALL)
    nothing = preprocess_grey(np.zeros((50, 50), np.uint8), SMALL).record
    summary = summarise(["yes"] * 5 + ["no"] * 4, [*fell, nothing, *kept])
    assert summary["yes"]["fallback"] == {
        "count": 5,
        "fraction": 1.0,
        "reasons": {"low confidence": 4, "no brain found": 1},
        "planes": {"axial": 1, "coronal": 2, "none": 1, "sagittal": 1},
    }
    assert (summary["yes"]["planes"], summary["yes"]["positions_mm"]) == ({}, {})
    assert summary["no"]["fallback"]["count"] == 0
    assert summary["no"]["planes"] == {"axial": 2, "coronal": 1, "sagittal": 1}
    axial = [record.position_mm for record in kept if record.plane == "axial"]
    assert summary["no"]["positions_mm"]["axial"] == pytest.approx(np.median(axial), abs=1e-3)
    assert summary["all"]["fallback"]["fraction"] == round(5 / 9, 4)
    confidences = [record.confidence for record in (*fell, nothing, *kept)]
    assert summary["all"]["confidence_median"] == pytest.approx(np.median(confidences), abs=1e-3)


def assert_centred(normalisation: Normalisation) -> None:
    """The head's box, upright, is in the middle of the frame and fills it with its margin."""
    rows, columns = np.nonzero(normalisation.mask)
    corners = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]], float)
    box = transform(invert(normalisation.matrix), corners)
    np.testing.assert_allclose(box.mean(axis=0), (127.5, 127.5), atol=0.5)
    assert np.ptp(box, axis=0).max() == pytest.approx(256 / 1.06, rel=0.02)


@pytest.mark.parametrize("plane", PLANES)
def test_what_is_not_sure_enough_is_centred_and_fills_the_frame(plane: str) -> None:
    image = whole_head(1, plane).image
    strict = sections.preprocess(min_confidence=1.0)
    normalisation = normalise(image, strict)
    assert normalisation.brain is not None
    assert normalisation.fallback == f"low confidence {normalisation.brain.confidence:.3f}"
    assert_centred(normalisation)
    record = preprocess_grey(image, strict).record
    assert (record.fallback, record.plane) == (normalisation.fallback, plane)
    assert (record.px_per_mm, record.rotation_deg) == (0.0, 0.0)


def test_a_picture_without_a_brain_is_centred_and_says_so() -> None:
    picture = np.zeros((120, 200), np.uint8)
    normalisation = normalise(picture, PARAMS)
    assert normalisation.fallback == "no brain found"
    assert_centred(normalisation)
    record = preprocess_grey(picture, PARAMS).record
    assert (record.slice, record.plane, record.confidence) == ("", "", 0.0)


def test_none_leaves_the_picture_where_it_is(image: np.ndarray) -> None:
    normalisation = normalise(image, sections.preprocess(normalisation="none"))
    np.testing.assert_array_equal(normalisation.matrix, [[1, 0, 0], [0, 1, 0]])
    assert (normalisation.brain, normalisation.fallback) == (None, "")


@pytest.mark.parametrize("normalisation", ["similarity", "none"])
def test_parameters_with_options_that_were_dropped_are_read(
    normalisation: Literal["similarity", "none"],
) -> None:
    params = sections.preprocess(normalisation=normalisation)
    stored = json.dumps(params.model_dump() | {"max_rotation_deg": 40.0, "axial_mm": [0, 8]})
    assert PreprocessParams.model_validate_json(stored, extra="ignore") == params


def test_affine_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match=r"no longer offered; .*similarity.*`dvc repro`"):
        PreprocessParams.model_validate_json('{"normalisation": "affine"}', extra="ignore")


MARGIN = PARAMS.crop_margin_fraction
SLACK_PX = 0.08 * PARAMS.size_px  # by which the brain's surface may be found elsewhere


def stored_brain(drawn: PhantomSlice, record: Record) -> np.ndarray:
    """Distance of each pixel of a stored image from the convex hull of the true brain, pixels."""
    brain = hull(apply_geometry(drawn.brain, record, order=0))
    return np.asarray(ndimage.distance_transform_edt(~brain))


@pytest.mark.parametrize("plane", PLANES)
def test_the_crop_is_the_brain_and_a_margin_in_every_plane(plane: str) -> None:
    drawn = whole_head(1, plane)
    done = preprocess_grey(drawn.image, PARAMS)
    brain = apply_geometry(drawn.brain, done.record, order=0)
    kept_px = brain.sum() * magnification(done.record.matrix) ** 2
    assert kept_px > 0.98 * drawn.brain.sum()
    longer_px = max(np.ptp(axis) + 1 for axis in np.nonzero(brain))
    assert longer_px == pytest.approx(PARAMS.size_px / (1 + 2 * MARGIN), abs=SLACK_PX)
    assert (done.image[brain] > 0).mean() > 0.9


@pytest.mark.parametrize("plane", PLANES)
def test_what_lies_beyond_the_margin_is_blanked(plane: str) -> None:
    drawn = whole_head(1, plane)
    done = preprocess_grey(drawn.image, PARAMS)
    away_px = stored_brain(drawn, done.record)
    beyond = away_px > MARGIN * PARAMS.size_px + SLACK_PX
    assert beyond.mean() > 0.02
    assert not done.image[beyond].any()
    margin = (away_px > 0) & (away_px < MARGIN * PARAMS.size_px - SLACK_PX / 2)
    assert (done.image[margin] > 20).mean() > 0.3


@pytest.mark.parametrize("plane", ["coronal", "sagittal"])  # beyond an axial brain is air
def test_what_lies_beyond_the_margin_can_be_kept(plane: str) -> None:
    drawn = whole_head(1, plane)
    done = preprocess_grey(drawn.image, PARAMS.model_copy(update={"blank_outside": False}))
    beyond = stored_brain(drawn, done.record) > MARGIN * PARAMS.size_px + SLACK_PX
    assert (done.image[beyond] > 20).mean() > 0.05


@pytest.mark.parametrize("plane", PLANES)
def test_a_wide_margin_is_kept_beyond_the_picture_in_which_the_brain_was_found(plane: str) -> None:
    drawn = whole_head(1, plane)
    wide = PARAMS.model_copy(update={"crop_margin_fraction": 0.4})
    every = wide.model_copy(update={"blank_outside": False})
    near = stored_brain(drawn, preprocess_grey(drawn.image, wide).record) < 0.3 * wide.size_px
    blanked, kept = (
        steps(drawn.image, preprocess_grey(drawn.image, params), params)["cropped"]
        for params in (wide, every)
    )
    np.testing.assert_array_equal(blanked[near], kept[near])


@pytest.mark.parametrize("plane", PLANES)
def test_a_picture_that_ends_at_the_brain_has_black_for_a_margin(plane: str) -> None:
    drawn = whole_head(1, plane)
    rows, columns = np.nonzero(drawn.brain)
    cut = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    done = preprocess_grey(np.ascontiguousarray(drawn.image[cut]), PARAMS)
    assert done.record.plane == plane
    inside = apply_geometry(np.ones_like(drawn.brain[cut]), done.record, order=0)
    assert not done.image[ndimage.distance_transform_edt(~inside) > 2].any()
    brain = apply_geometry(np.ascontiguousarray(drawn.brain[cut]), done.record, order=0)
    assert brain.sum() * magnification(done.record.matrix) ** 2 > 0.95 * drawn.brain.sum()


@pytest.mark.parametrize("plane", PLANES)
def test_the_mask_of_a_tumour_lands_on_it_in_every_plane(plane: str) -> None:
    drawn, healthy = (whole_head(2, plane, tumour) for tumour in (True, False))
    done = preprocess_grey(drawn.image, PARAMS)
    record = done.record
    mask = apply_geometry(drawn.mask, record, order=0)
    assert mask.sum() * magnification(record.matrix) ** 2 > 0.95 * drawn.mask.sum()
    without = apply_geometry(healthy.image, record, order=1)
    unit = np.clip((without - record.low) / (record.high - record.low), 0, 1)
    changed = np.abs(done.image - 255 * unit) * (done.image > 0)
    away_px = ndimage.distance_transform_edt(~mask)
    assert changed[mask].mean() > 4 * changed[away_px > 0.15 * PARAMS.size_px].mean()
    moved = np.roll(mask, PARAMS.size_px // 4, axis=(0, 1))
    assert changed[mask].mean() > 2 * changed[moved].mean()
