from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from tests import sections

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.decode import DecodeError
from brain_tumor.imaging.geometry import invert, transform
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.record import Record, apply_geometry

PARAMS = sections.preprocess(size_px=150)
Simulate = Callable[[int, str], Any]
Encode = Callable[[np.ndarray], bytes]


@pytest.fixture(scope="module")
def image(simulate: Simulate) -> np.ndarray:
    picture: np.ndarray = simulate(4, "axial").image
    return picture


def test_the_input_is_square_and_uses_the_whole_range(
    image: np.ndarray, atlas: Atlas, encode: Encode
) -> None:
    done = preprocess_image(encode(image), atlas, PARAMS)
    assert done.image.shape == (150, 150)
    assert done.image.dtype == np.uint8
    assert (done.image.min(), done.image.max()) == (0, 255)
    assert list(done.steps) == ["raw", "normalised", "cropped", "input"]


def test_a_tilted_and_shifted_picture_gives_nearly_the_same_input(
    image: np.ndarray, atlas: Atlas, encode: Encode
) -> None:
    tilted = np.pad(ndimage.rotate(image, 12, order=1), ((0, 40), (15, 0)))
    first, second = (preprocess_image(encode(one), atlas, PARAMS).image for one in (image, tilted))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9


def test_points_of_a_mask_land_where_the_record_says(
    image: np.ndarray, atlas: Atlas, encode: Encode
) -> None:
    record = preprocess_image(encode(image), atlas, PARAMS).record
    mask = np.zeros(image.shape, dtype=bool)
    y, x = (side // 2 for side in image.shape)
    mask[y - 4 : y + 5, x + 10 : x + 19] = True
    warped = apply_geometry(mask, record, order=0)
    assert warped.dtype == bool
    found = np.argwhere(warped).mean(axis=0)[::-1]
    wanted = transform(invert(record.matrix), np.array([[x + 14.0, float(y)]]))[0]
    np.testing.assert_allclose(found, wanted, atol=0.7)


def test_the_image_warped_by_its_record_is_the_input_but_for_grey_levels(
    image: np.ndarray, atlas: Atlas, encode: Encode
) -> None:
    params = PARAMS.model_copy(update={"blank_outside_head": False})
    done = preprocess_image(encode(image), atlas, params)
    record = Record.from_row({name: str(value) for name, value in done.record.row().items()})
    assert record == done.record
    unit = (apply_geometry(image, record, order=1) - record.low) / (record.high - record.low)
    inner = done.image > 0
    np.testing.assert_allclose(
        np.clip(unit, 0, 1)[inner] * 255, done.image[inner].astype(float), atol=0.51
    )


def test_a_mask_of_another_size_is_refused(image: np.ndarray, encode: Encode) -> None:
    params = sections.preprocess(normalisation="none")
    record = preprocess_image(encode(image), None, params).record
    with pytest.raises(ValueError, match=r"shape \(10, 12\)"):
        apply_geometry(np.zeros((10, 12)), record, order=0)


def test_none_only_crops_and_scales(encode: Encode) -> None:
    picture = np.zeros((100, 200), np.uint8)
    picture[20:80, 50:150] = np.linspace(60, 250, 100, dtype=np.uint8)
    params = sections.preprocess(size_px=100, normalisation="none", crop_margin_fraction=0.0)
    done = preprocess_image(encode(picture), None, params)
    assert done.record.slice == ""
    assert done.record.m01 == 0.0
    rows, columns = np.nonzero(done.image > 40)
    assert (rows.min(), rows.max()) == (pytest.approx(20, abs=2), pytest.approx(79, abs=2))
    assert np.ptp(columns) > 75


def test_the_step_of_the_paper_removes_detail(
    image: np.ndarray, atlas: Atlas, encode: Encode
) -> None:
    rough = preprocess_image(
        encode(image), atlas, sections.preprocess(size_px=299, paper_step_px=100)
    )
    fine = preprocess_image(encode(image), atlas, sections.preprocess(size_px=299))
    assert rough.steps["cropped"].shape == (100, 100)
    assert rough.image.shape == (299, 299)
    assert np.corrcoef(rough.image.ravel(), fine.image.ravel())[0, 1] > 0.97
    detail = [np.abs(ndimage.laplace(one.image.astype(float))).mean() for one in (rough, fine)]
    assert detail[0] < 0.7 * detail[1]


def test_frames_beyond_the_head_are_blanked(encode: Encode) -> None:
    picture = np.zeros((200, 200), np.uint8)
    y, x = np.mgrid[:200, :200]
    picture[(y - 100) ** 2 + (x - 100) ** 2 < 90**2] = 120
    picture[2:4] = picture[-4:-2] = picture[:, 2:4] = picture[:, -4:-2] = 255
    kept, blanked = (
        preprocess_image(
            encode(picture),
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
