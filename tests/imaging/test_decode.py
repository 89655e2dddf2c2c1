import io

import numpy as np
import pytest
from PIL import Image

from brain_tumor.imaging.decode import DecodeError, decode

RAMP = np.linspace(0, 255, 48, dtype=np.uint8).reshape(6, 8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:  # noqa: A002
    buffer = io.BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_survives_every_lossless_mode(mode: str) -> None:
    data = encoded(Image.fromarray(RAMP).convert(mode))
    assert np.abs(decode(data).astype(int) - RAMP).max() <= 1


def test_one_bit_images_become_black_and_white() -> None:
    data = encoded(Image.fromarray(RAMP > 100))
    np.testing.assert_array_equal(decode(data), np.where(RAMP > 100, 255, 0))


def test_cmyk_jpeg_is_close_to_its_grey() -> None:
    smooth = np.tile(np.linspace(0, 255, 64, dtype=np.uint8), (64, 1))
    rgb = Image.fromarray(smooth).convert("RGB")
    data = encoded(rgb.convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(data).astype(int) - smooth).max() <= 8


def test_transparent_pixels_are_black_whatever_their_colour() -> None:
    white = np.full((4, 4, 4), 255, dtype=np.uint8)
    white[:2, :, 3] = 0
    assert decode(encoded(Image.fromarray(white)))[:, 0].tolist() == [0, 0, 255, 255]


def test_transparent_palette_entry_is_black() -> None:
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 255, 255, 200, 200, 200])
    assert decode(encoded(image, transparency=0)).tolist() == [[0, 200]]


def test_sixteen_bits_keep_the_high_byte() -> None:
    deep = RAMP.astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(deep))), RAMP)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [255, 4095, 4096, 16000, 65535])
def test_deep_pictures_keep_256_grey_levels_whatever_their_maximum(top: int, format: str) -> None:  # noqa: A002
    deep = np.linspace(0, top, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    grey = decode(encoded(Image.fromarray(deep), format))
    assert np.unique(grey).tolist() == list(range(256))
    np.testing.assert_allclose(grey, deep * (255 / top), rtol=0, atol=1)


def test_deep_pictures_are_stretched_from_their_own_minimum() -> None:
    deep = np.linspace(30000, 34000, 64 * 64).astype(np.uint16).reshape(64, 64)
    assert np.unique(decode(encoded(Image.fromarray(deep)))).tolist() == list(range(256))


def test_eight_bits_in_a_deep_file_stay_as_they_are() -> None:
    dim = RAMP // 2 + 9
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(dim.astype(np.uint16)))), dim)


def test_fractions_are_not_left_black() -> None:
    unit = (RAMP / 255.0).astype(np.float32)
    np.testing.assert_allclose(decode(encoded(Image.fromarray(unit), "TIFF")), RAMP, atol=1)


def test_an_even_deep_picture_is_black() -> None:
    assert decode(encoded(Image.fromarray(np.full((4, 4), 5000, np.uint16)))).max() == 0


@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (6, (0, -1)), (8, (-1, 0))],
)
def test_exif_orientation_is_applied(orientation: int, corner: tuple[int, int]) -> None:
    marked = np.zeros((4, 6), dtype=np.uint8)
    marked[0, 0] = 255
    image = Image.fromarray(marked)
    exif = image.getexif()
    exif[0x0112] = orientation
    grey = decode(encoded(image, exif=exif))
    assert grey.shape == ((6, 4) if orientation > 4 else (4, 6))
    assert grey[corner] == 255


@pytest.mark.parametrize("data", [b"", b"not an image", encoded(Image.fromarray(RAMP))[:60]])
def test_what_is_no_image_is_named_by_size_and_start(data: bytes) -> None:
    with pytest.raises(DecodeError, match=f"received {len(data)} bytes"):
        decode(data)
