"""What speaks for a tumour is drawn where it lies in the picture as read."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.imaging.geometry import compose, invert, magnification, transform
from brain_tumor.imaging.preprocess import Record
from brain_tumor.inference.classifier import Prediction, Prepared, SliceResult
from brain_tumor.inference.heatmap import heatmap_png, heatmap_sheet_png, strongest

SIZE_PX, CELLS, STRIDE_PX = 83, 8, 8  # the outermost places lie 13 px inside the edge
HEIGHT, WIDTH = 300, 400


def finding(
    contributions: NDArray[np.float32],
    matrix: NDArray[np.float64],
    *,
    ood: bool = False,
    grey: NDArray[np.uint8] | None = None,
) -> SliceResult:
    names = ("m00", "m01", "m02", "m10", "m11", "m12")
    record = Record(
        width=WIDTH, height=HEIGHT, slice="axial+8", plane="axial", position_mm=8.0,
        rotation_deg=0.0, px_per_mm=1.0, confidence=0.9, fallback="", left=-0.5, top=-0.5,
        right=SIZE_PX - 0.5, bottom=SIZE_PX - 0.5, low=0.0, high=255.0, size_px=SIZE_PX,
        **dict(zip(names, map(float, matrix.ravel()), strict=True)),
    )  # fmt: skip
    if grey is None:  # an even picture, which is all head
        grey = np.full((HEIGHT, WIDTH), 100, np.uint8)
    prepared = Prepared("", grey, np.zeros((SIZE_PX, SIZE_PX), np.uint8), record, {}, ())
    prediction = Prediction(
        "", 0.9, "yes", 0.5, False, ood, 0.3, "axial", True, 0.9, (), "keras", "model version 1"
    )
    return SliceResult(prediction, prepared, contributions, STRIDE_PX)


def turned(angle: float, scale: float) -> NDArray[np.float64]:
    """Stored pixels to raw ones: about both centres."""
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[c, -s], [s, c]])
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    return np.column_stack([linear, centre - linear @ np.full(2, (SIZE_PX - 1) / 2)])


def spot(row: int, column: int, value: float) -> NDArray[np.float32]:
    cells = np.zeros((CELLS, CELLS), np.float32)
    cells[row, column] = value
    return cells


def warmth(png: bytes) -> NDArray[np.int64]:
    """Red minus blue of each pixel: above 0 orange, below 0 blue."""
    picture = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int64)
    difference: NDArray[np.int64] = picture[..., 0] - picture[..., 2]
    return difference


@settings(max_examples=20, deadline=None)
@given(
    st.integers(1, CELLS - 2),
    st.integers(1, CELLS - 2),
    st.floats(-0.6, 0.6),
    st.floats(1.5, 3.0),
    st.sampled_from([1.0, -1.0]),
)
def test_a_place_is_drawn_where_its_cell_comes_from(
    row: int, column: int, angle: float, scale: float, sign: float
) -> None:
    matrix = turned(angle, scale)
    drawn = sign * warmth(heatmap_png(finding(spot(row, column, sign), matrix)))
    centre = (SIZE_PX - 1) / 2 + STRIDE_PX * (np.array([[column, row]]) - (CELLS - 1) / 2)
    shown = np.array([drawn.shape[1] / WIDTH, drawn.shape[0] / HEIGHT])
    expected = (transform(matrix, centre)[0] + 0.5) * shown - 0.5
    rows, columns = np.nonzero(drawn > 0.8 * drawn.max())
    inside = (expected >= 0) & (expected < drawn.shape[::-1])
    if inside.all():
        assert np.hypot(columns.mean() - expected[0], rows.mean() - expected[1]) < 4


def test_maps_of_stored_and_raw_pixels_are_inverse() -> None:
    matrix = turned(0.4, 2.0)
    assert compose(matrix, invert(matrix)) == pytest.approx(np.eye(2, 3), abs=1e-9)
    assert magnification(matrix) == pytest.approx(2.0)


def test_for_is_orange_and_against_is_blue() -> None:
    both = spot(2, 2, 1.0) + spot(5, 5, -1.0)
    drawn = warmth(heatmap_png(finding(both, turned(0.0, 3.0))))
    assert drawn.max() > 80
    assert drawn.min() < -50


def test_what_the_network_does_not_see_stays_grey() -> None:
    drawn = warmth(heatmap_png(finding(np.ones((CELLS, CELLS), np.float32), turned(0.0, 1.5))))
    assert not drawn[:20].any()
    assert not drawn[:, :20].any()
    assert drawn[drawn.shape[0] // 2, drawn.shape[1] // 2] > 80


def test_colour_stays_inside_the_head() -> None:
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    away_px = np.hypot(y - HEIGHT / 2, x - WIDTH / 2)
    grey = np.where(away_px < 90, 150, 0).astype(np.uint8)
    cells = np.ones((CELLS, CELLS), np.float32)
    cells[0, 0] = 5.0  # the strongest place of all lies in the background
    result = finding(cells, turned(0.0, 3.0), grey=grey)
    drawn = warmth(heatmap_png(result))
    shown = drawn.shape[1] / WIDTH
    rows, columns = np.ogrid[: drawn.shape[0], : drawn.shape[1]]
    away = np.hypot(rows - drawn.shape[0] / 2, columns - drawn.shape[1] / 2) / shown
    assert not drawn[away > 95].any()
    assert (drawn[away < 80] > 60).all()
    assert strongest(result) == pytest.approx(1.0, abs=0.1)


def test_nothing_found_is_the_plain_picture() -> None:
    png = heatmap_png(finding(np.zeros((CELLS, CELLS), np.float32), turned(0.0, 2.0)))
    assert not warmth(png).any()


def test_sheet_shows_both_side_by_side_and_says_so_if_unlike_training() -> None:
    plain = Image.open(io.BytesIO(heatmap_png(finding(spot(3, 3, 1.0), turned(0.0, 2.0)))))
    sheets = [
        heatmap_sheet_png(finding(spot(3, 3, 1.0), turned(0.0, 2.0), ood=ood), "a.png")
        for ood in (False, True)
    ]
    pictures = [np.asarray(Image.open(io.BytesIO(sheet))) for sheet in sheets]
    width, height = plain.size
    assert pictures[0].shape[1] == 2 * width
    assert not warmth(sheets[0])[:height, :width].any()
    assert np.array_equal(pictures[0][:height, width:], np.asarray(plain))
    assert not np.array_equal(pictures[0], pictures[1])
