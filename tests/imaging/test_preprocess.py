"""Pictures become inputs of the network, and records say how."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.figures import draw_figures
from brain_tumor.imaging.geometry import invert, transform
from brain_tumor.imaging.picture import DecodeError, decode
from brain_tumor.imaging.preprocess import (
    Record,
    apply_geometry,
    preprocess_folder,
    preprocess_image,
    summarise,
)
from brain_tumor.outputs import load_images
from tests import sections
from tests.data.growing import files
from tests.imaging.conftest import Simulate
from tests.imaging.drawn_heads import encoded

PARAMS = sections.preprocess(size_px=150)


@pytest.fixture(scope="module")
def image(simulate: Simulate) -> np.ndarray:
    return simulate(4, "axial").image


def test_the_input_is_square_and_uses_the_whole_range(image: np.ndarray, atlas: Atlas) -> None:
    done = preprocess_image(encoded(image), atlas, PARAMS)
    assert done.image.shape == (150, 150)
    assert done.image.dtype == np.uint8
    assert (done.image.min(), done.image.max()) == (0, 255)
    assert list(done.steps) == ["raw", "normalised", "cropped", "input"]


def test_a_tilted_and_shifted_picture_gives_nearly_the_same_input(
    image: np.ndarray, atlas: Atlas
) -> None:
    tilted = np.pad(ndimage.rotate(image, 12, order=1), ((0, 40), (15, 0)))
    first, second = (
        preprocess_image(encoded(picture), atlas, PARAMS).image for picture in (image, tilted)
    )
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_points_of_a_mask_land_where_the_record_says(image: np.ndarray, atlas: Atlas) -> None:
    record = preprocess_image(encoded(image), atlas, PARAMS).record
    mask = np.zeros(image.shape, dtype=bool)
    y, x = (side // 2 for side in image.shape)
    mask[y - 4 : y + 5, x + 10 : x + 19] = True
    warped = apply_geometry(mask, record, order=0)
    assert warped.dtype == bool
    centre = np.argwhere(warped).mean(axis=0)[::-1]
    expected = transform(invert(record.matrix), np.array([[x + 14.0, float(y)]]))[0]
    np.testing.assert_allclose(centre, expected, atol=0.7)


def test_the_image_warped_by_its_record_is_the_input_but_for_grey_levels(
    image: np.ndarray, atlas: Atlas
) -> None:
    params = PARAMS.model_copy(update={"blank_outside_head": False})
    done = preprocess_image(encoded(image), atlas, params)
    record = Record.from_row({name: str(value) for name, value in done.record.row().items()})
    assert record == done.record
    unit = (apply_geometry(image, record, order=1) - record.low) / (record.high - record.low)
    head = done.image > 0
    np.testing.assert_allclose(
        np.clip(unit, 0, 1)[head] * 255, done.image[head].astype(float), atol=0.51
    )


def test_a_mask_of_another_size_is_refused(image: np.ndarray) -> None:
    params = sections.preprocess(normalisation="none")
    record = preprocess_image(encoded(image), None, params).record
    with pytest.raises(ValueError, match=r"shape \(10, 12\)"):
        apply_geometry(np.zeros((10, 12)), record, order=0)


def test_none_only_crops_and_scales() -> None:
    picture = np.zeros((100, 200), np.uint8)
    picture[20:80, 50:150] = np.linspace(60, 250, 100, dtype=np.uint8)
    params = sections.preprocess(size_px=100, normalisation="none", crop_margin_fraction=0.0)
    done = preprocess_image(encoded(picture), None, params)
    assert done.record.slice == ""
    assert done.record.m01 == 0.0
    rows, columns = np.nonzero(done.image > 40)
    assert (rows.min(), rows.max()) == (pytest.approx(20, abs=2), pytest.approx(79, abs=2))
    assert np.ptp(columns) > 75


def test_the_step_of_the_paper_removes_detail(image: np.ndarray, atlas: Atlas) -> None:
    rough = preprocess_image(
        encoded(image), atlas, sections.preprocess(size_px=299, paper_step_px=100)
    )
    fine = preprocess_image(encoded(image), atlas, sections.preprocess(size_px=299))
    assert rough.steps["cropped"].shape == (100, 100)
    assert rough.image.shape == (299, 299)
    assert np.corrcoef(rough.image.ravel(), fine.image.ravel())[0, 1] > 0.97
    detail = [
        np.abs(ndimage.laplace(result.image.astype(float))).mean() for result in (rough, fine)
    ]
    assert detail[0] < 0.7 * detail[1]


def test_frames_beyond_the_head_are_blanked() -> None:
    picture = np.zeros((200, 200), np.uint8)
    y, x = np.mgrid[:200, :200]
    picture[(y - 100) ** 2 + (x - 100) ** 2 < 90**2] = 120
    picture[2:4] = picture[-4:-2] = picture[:, 2:4] = picture[:, -4:-2] = 255
    kept, blanked = (
        preprocess_image(
            encoded(picture),
            None,
            sections.preprocess(
                normalisation="none", crop_margin_fraction=0.06, blank_outside_head=blank
            ),
        ).image[:60, :60]
        for blank in (False, True)
    )
    assert kept.max() == 255
    assert (blanked == 255).sum() < 0.5 * (kept == 255).sum()


def test_bytes_that_are_no_image_are_refused(atlas: Atlas) -> None:
    with pytest.raises(DecodeError, match="received 4 bytes"):
        preprocess_image(b"none", atlas, PARAMS)


FEW_SLICES = sections.preprocess(
    size_px=96, axial_mm=(0, 30), coronal_mm=(), sagittal_mm=(), refined_slices=1
)
PATHS = [f"{label}/a {number}.jpg" for label in ("no", "yes") for number in range(4)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, simulate: Simulate) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, path in enumerate(PATHS):
        (folder / path).parent.mkdir(exist_ok=True)
        Image.fromarray(simulate(number, "axial").image).save(folder / path, quality=95)
    return folder


def test_any_number_of_workers_writes_what_one_image_alone_gives(
    data: Path, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, records = [], []
    for workers in ("1", "2"):
        monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
        images = tmp_path / workers
        records.append(preprocess_folder(data, PATHS, images, atlas, FEW_SLICES))
        written.append(files(images))
    assert written[0] == written[1]
    assert records[0] == records[1]
    assert sorted(written[0]) == [f"{path}.png" for path in PATHS]
    alone = preprocess_image((data / PATHS[3]).read_bytes(), atlas, FEW_SLICES)
    np.testing.assert_array_equal(load_images(tmp_path / "2", [PATHS[3]])[0], alone.image)
    assert alone.record == records[1][3]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broken_image_is_named(
    workers: str, data: Path, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    (data / "no" / "broken.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"no/broken\.png: cannot decode"):
        preprocess_folder(data, ["no/broken.png", *PATHS], tmp_path, atlas, FEW_SLICES)


@pytest.mark.parametrize("workers", ["0", "two", "-1"])
def test_a_senseless_number_of_workers_is_refused(
    workers: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    with pytest.raises(ValueError, match=f"BRAIN_TUMOR_WORKERS={workers}"):
        preprocess_folder(data, PATHS, tmp_path, None, FEW_SLICES)


def test_figures_repeat_and_stay_small(data: Path, tmp_path: Path) -> None:
    params = sections.preprocess(size_px=96, normalisation="none")
    done = preprocess_folder(data, PATHS, tmp_path / "images", None, params)
    facts = {
        path: (path[: path.index("/")], record) for path, record in zip(PATHS, done, strict=True)
    }
    for name in ("first", "second"):
        draw_figures(data, tmp_path / "images", facts, None, params, tmp_path / name)
    drawn = files(tmp_path / "first")
    assert drawn == files(tmp_path / "second")
    assert set(drawn) == {"ratios.png", "steps.png", "before_after_no.png", "before_after_yes.png"}
    for content in drawn.values():
        assert len(content) < 300_000
        assert np.ptp(decode(content)) > 200


def test_the_summary_counts_fallbacks_by_class(data: Path, atlas: Atlas, tmp_path: Path) -> None:
    strict = FEW_SLICES.model_copy(update={"min_information": 1.0})
    fell = preprocess_folder(data, PATHS[4:], tmp_path, atlas, strict)
    kept = preprocess_folder(data, PATHS[:4], tmp_path, atlas, FEW_SLICES)
    summary = summarise(["yes"] * 4 + ["no"] * 4, fell + kept)
    assert summary["yes"]["fallback"] == {
        "count": 4,
        "fraction": 1.0,
        "reasons": {"information": 4},
    }
    assert summary["no"]["fallback"]["count"] == 0
    assert summary["no"]["planes"] == {"axial": 4}
    assert summary["all"]["fallback"]["fraction"] == 0.5
