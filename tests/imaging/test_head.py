import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from brain_tumor.imaging.geometry import invert, similarity, transform
from brain_tumor.imaging.head import Box, box_around, head_mask, in_square, inside, square_matrix

IDENTITY = similarity(1.0, 0.0, (0.0, 0.0))
HEAD = (60, 30, 140, 130)  # left, top, right, bottom of the ellipse


def head(background: int = 0, grey: int = 150) -> Image.Image:
    image = Image.new("L", (220, 180), background)
    ImageDraw.Draw(image).ellipse(HEAD, fill=grey)
    return image


def box_of(image: Image.Image) -> Box:
    return box_around(head_mask(np.array(image)), IDENTITY, 0.0)


def assert_near(
    box: Box, wanted: tuple[float, float, float, float], tolerance_px: float = 4.0
) -> None:
    edges = (box.left, box.top, box.right, box.bottom)
    np.testing.assert_allclose(edges, wanted, atol=tolerance_px)


@pytest.mark.parametrize("background", [0, 25, 255])
def test_the_box_holds_the_head_on_dark_and_bright_background(background: int) -> None:
    assert_near(box_of(head(background)), HEAD)


def test_letters_at_the_border_do_not_widen_the_box() -> None:
    image = head()
    draw = ImageDraw.Draw(image)
    for corner in ((2, 2), (190, 165), (2, 160)):
        draw.text(corner, "R 12", fill=255)
    assert_near(box_of(image), HEAD)


def test_a_white_frame_and_page_margins_are_ignored() -> None:
    image = head()
    draw = ImageDraw.Draw(image)
    draw.rectangle((4, 4, 215, 175), outline=255, width=2)
    draw.rectangle((0, 0, 3, 180), fill=255)
    assert_near(box_of(image), HEAD)


def test_a_bright_tumour_does_not_hide_the_head() -> None:
    image = head(grey=60)
    ImageDraw.Draw(image).ellipse((80, 50, 120, 90), fill=255)
    assert_near(box_of(image), HEAD)


def test_scalp_apart_from_the_brain_belongs_to_the_head() -> None:
    image = head(grey=0)
    draw = ImageDraw.Draw(image)
    draw.ellipse(HEAD, outline=200, width=7)
    draw.ellipse((78, 48, 122, 112), fill=120)
    assert_near(box_of(image), HEAD)


def test_noise_does_not_move_the_box() -> None:
    noise = np.abs(np.random.default_rng(0).normal(0, 6, (180, 220)))
    noisy = np.clip(np.array(head()) + noise, 0, 255).astype(np.uint8)
    assert_near(box_of(Image.fromarray(noisy)), HEAD)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (90, 90)])
def test_an_even_picture_is_kept_whole(shape: tuple[int, int]) -> None:
    assert head_mask(np.full(shape, 77, np.uint8)).all()


def test_the_margin_is_a_fraction_of_the_longer_side() -> None:
    mask = np.zeros((50, 50), dtype=bool)
    mask[10:30, 20:30] = True
    assert box_around(mask, IDENTITY, 0.1) == Box(17.5, 7.5, 31.5, 31.5)


def test_the_box_follows_the_frame() -> None:
    mask = np.zeros((50, 50), dtype=bool)
    mask[10:30, 20:30] = True
    turned = similarity(0.5, np.pi / 2, (40.0, 0.0))  # frame pixels are half as large, turned
    box = box_around(mask, turned, 0.0)
    np.testing.assert_allclose((box.width, box.height), (40.0, 20.0))


def test_the_longer_side_fills_the_square_and_the_shorter_is_padded_on_both_sides() -> None:
    box = Box(10.0, 5.0, 30.0, 45.0)
    matrix = square_matrix(box, 80)
    placed = in_square(box, matrix)
    np.testing.assert_allclose(
        (placed.left, placed.top, placed.right, placed.bottom), (19.5, -0.5, 59.5, 79.5)
    )
    assert inside(placed, 80).sum() == 40 * 80


def test_holes_are_filled() -> None:
    mask = head_mask(np.array(head()))
    assert ndimage.label(~mask)[1] == 1


@pytest.mark.parametrize("seed", range(20))
def test_the_box_holds_every_corner_of_every_pixel_and_no_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = rng.random((40, 60)) > rng.choice([0.5, 0.999])
    mask[rng.integers(40), rng.integers(60)] = True
    shift = (rng.uniform(-9, 9), rng.uniform(-9, 9))
    matrix = similarity(rng.uniform(0.5, 2), rng.uniform(-3, 3), shift)
    y, x = np.nonzero(mask)
    pixels = [np.stack([x + dx, y + dy], axis=1) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
    corners = transform(invert(matrix), np.concatenate(pixels))
    box = box_around(mask, matrix, 0.0)
    assert (box.left, box.top) == tuple(corners.min(axis=0))
    assert (box.right, box.bottom) == tuple(corners.max(axis=0))
