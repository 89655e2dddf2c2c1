"""Pictures that Pillow reads (JPEG, PNG, TIFF, ...), of every depth, as grey levels."""

import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from brain_tumor.imaging import tiff
from brain_tumor.imaging.coded import read_coded
from brain_tumor.imaging.grey import (
    KINDS,
    MAX_PIXELS,
    DecodeError,
    FileFacts,
    Slice,
    UnknownKindError,
    eight_bits,
    luma,
    middle,
)

# What Pillow may try; the names of the formats are Pillow's own.
FORMATS: Final = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ODD_EXIF = "its EXIF cannot be read: shown as it is stored"
_NO_NUMBERS = "values that are no numbers are shown black"
_HIDDEN = "every pixel is transparent: shown black"
_IN_ALPHA = "its picture is in its transparency alone: opaque is shown white"
_ODD_TEXT = "its text or metadata cannot be read: left out"
T = TypeVar("T")


def look_at_picture(data: bytes) -> FileFacts:
    """What a picture is by its header; an MPO, two pictures in a JPEG, is the first of them.

    Raises:
        DecodeError: it is empty, cut off, too large or no image.
    """
    return _mended(data, _facts)[0]


def read_picture(data: bytes, count: int) -> list[Slice]:
    """The picture; of an animation the first frame, of a TIFF of pages at most `count` middle ones.

    Raises:
        DecodeError: it is empty, cut off, too large or no image.
    """
    facts, odd = _mended(data, _facts)
    pages = list(tiff.page_sizes(data)) if facts.kind == "TIFF" else [0]
    moving = facts.count > 1 and facts.kind != "TIFF"
    told = (f"an animation of {facts.count} frames: the first is used",) if moving else ()
    slices = []
    for page in middle(count, pages):
        (grey, notes), _ = _mended(data, lambda file, page=page: _grey(file, page))  # type: ignore[misc]
        name = f"page {page + 1} of {len(pages)}" if len(pages) > 1 else ""
        slices.append(Slice(name, grey, (*told, *odd, *notes)))
    return slices


def _mended(data: bytes, read: Callable[[bytes], T]) -> tuple[T, tuple[str, ...]]:
    """`read` a picture; a PNG that fails, without the chunks that say nothing of its pixels."""
    try:
        with _explained(data):
            return read(data), ()
    except UnknownKindError:
        raise
    except DecodeError:
        bare = _without_metadata(data)
        if len(bare) == len(data):
            raise
        try:
            with _explained(data):
                return read(bare), (_ODD_TEXT,)
        except DecodeError:
            pass  # the pixels are to blame too: the first error is of the file as it is
        raise


@contextmanager
def _explained(data: bytes) -> Iterator[None]:
    if not data:
        raise DecodeError("cannot decode an image: received 0 bytes", "empty file (0 bytes)")
    start = f"cannot decode an image: received {len(data)} bytes starting with {data[:8]!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; what matters raises
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except (DecodeError, MemoryError):
        raise
    except UnidentifiedImageError as error:
        if data.startswith((b"\xff\xd8\xff", _PNG, *tiff.TIFF)):
            reason = "its header is damaged, or its numbers are of no kind that is read"
            raise DecodeError(f"{start}: {reason}", f"broken image: {reason}") from error
        raise UnknownKindError(
            f"{start}: not a picture of a known kind",
            f"not an image that can be read ({', '.join(KINDS)})",
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DecodeError(f"{start}: {error}", f"too large: {error}") from error
    except Exception as error:  # Pillow's plugins raise many kinds (OSError, SyntaxError, struct)
        reason = str(error) or type(error).__name__
        raise DecodeError(f"{start}: {reason}", f"broken image: {reason}") from error


def _without_metadata(data: bytes) -> bytes:
    """A PNG of critical chunks, transparency and frames alone; anything else as it is."""
    if not data.startswith(_PNG):
        return data
    place, kept = len(_PNG), [_PNG]
    while place + 12 <= len(data):
        after = place + 12 + int.from_bytes(data[place : place + 4], "big")
        name = data[place + 4 : place + 8]
        if name[:1].isupper() or name in (b"tRNS", b"acTL", b"fcTL", b"fdAT"):
            kept.append(data[place:after])
        place = after
    return b"".join(kept)


def _facts(data: bytes) -> FileFacts:
    if data.startswith(tiff.TIFF):
        pages = tiff.page_sizes(data)
        number = max(pages, key=lambda page: prod(pages[page]))
        tags = tiff.page_tags(data, number)
        try:
            with _opened(data) as image:
                image.seek(number)
                mode = image.mode
        except (UnidentifiedImageError, SyntaxError):  # of numbers that Pillow does not know
            mode = tiff.number_type(tags)
        turn = tiff.orientation(tags)
        return FileFacts("TIFF", mode, *tiff.size(tags), len(pages), turn if turn in _TURNS else 1)
    with _opened(data) as image:
        first = image.format == "MPO"
        count = 1 if first else int(getattr(image, "n_frames", 1))
        kind = "JPEG" if first else str(image.format)
        facts = FileFacts(kind, image.mode, *image.size, count)
        if kind == "PNG" and "exif" not in image.info and prod(image.size) > MAX_PIXELS:
            return facts  # it may stand behind the pixels, and all would be unpacked to find it
        return replace(facts, orientation=_orientation(image)[0])


def _opened(data: bytes) -> Image.Image:
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what matters raises
    return Image.open(io.BytesIO(data), formats=FORMATS)


def _orientation(image: Image.Image) -> tuple[int, tuple[str, ...]]:
    """The orientation that EXIF gives, 1 where it gives none, and a note where it is odd."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow's EXIF reader raises many kinds; the picture needs none of it
        return 1, (ODD_EXIF,)
    return (int(value), ()) if value in (1, *_TURNS) else (1, ())


def _grey(data: bytes, page: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """A page as grey levels the right way up, and what is odd about it."""
    if data.startswith(tiff.TIFF):
        return _grey_tiff(data, page)
    if data.startswith(_PNG):
        with _opened(data) as image:
            image.verify()  # checksums, which loading alone skips
    with _opened(data) as image:
        image.load()
        turn, odd = _orientation(image)
        grey, notes = _levels(image, data)
    return _turned(grey, turn), (*odd, *notes)


def _turned(grey: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    if orientation not in _TURNS:
        return grey
    return np.array(Image.fromarray(grey).transpose(_TURNS[orientation]))


def _grey_tiff(data: bytes, page: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    tags = tiff.page_tags(data, page)
    tiff.require_whole(tags)
    if not tiff.is_plain(tags):
        numbers = tiff.read_numbers(data, tags)
        if numbers is not None:
            grey, notes = _stretched(*numbers)
            return _turned(grey, tiff.orientation(tags)), notes
        if not tiff.is_unsigned(tags):  # in some byte orders Pillow takes these for others
            raise _unknown_numbers(tags)
    try:
        with _opened(data) as image:
            image.seek(page)
            image.load()  # turns it too
            return _levels(image, data, tags)
    except (UnidentifiedImageError, SyntaxError) as error:
        raise _unknown_numbers(tags) from error


def _unknown_numbers(tags: tiff.Tags) -> DecodeError:
    return DecodeError(
        f"{tiff.described(tags)}: such numbers are not read; save it as 8- or 16-bit grey"
    )


def _levels(
    image: Image.Image, data: bytes, tags: tiff.Tags | None = None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Grey levels of a loaded picture; `tags` are those of a TIFF."""
    if image.mode.startswith("I") or image.mode == "F":
        return _stretched(*_deep_grey(image, tags))
    if deep := _deep_colours(image, data):
        return _stretched(*deep)
    if image.format == "JPEG2000" and len(image.getbands()) > 1 and read_coded(data).bits > 8:
        raise DecodeError("JPEG 2000 of colours of more than 8 bits is not read; save it as PNG")
    return _shallow(image, tags)


def _shallow(
    image: Image.Image, tags: tiff.Tags | None
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Grey levels of a picture of 8 bits."""
    colours = tiff.dim_colours(tags) if tags is not None and image.mode == "P" else None
    if colours is not None:
        image = Image.fromarray(colours[np.asarray(image)])
    if image.mode == "LAB":  # lightness is its grey
        return np.array(image.getchannel("L")), ()
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        return _laid_on_black(image.convert("RGBA"))
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return np.array(image.convert("L"), dtype=np.uint8), ()


def _laid_on_black(coloured: Image.Image) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
    laid = Image.alpha_composite(black, coloured).convert("RGB").convert("L")
    alpha = coloured.getchannel("A")
    lowest, highest = alpha.getextrema()
    if not highest:
        return np.array(laid, dtype=np.uint8), (_HIDDEN,)
    if lowest != highest and len(set(laid.getextrema())) == 1:
        return np.array(alpha, dtype=np.uint8), (_IN_ALPHA,)
    return np.array(laid, dtype=np.uint8), ()


Numbers = tuple[NDArray[Any], NDArray[np.float64] | None, bool]  # as `tiff.read_numbers` has them


def _deep_grey(image: Image.Image, tags: tiff.Tags | None) -> Numbers:
    values = np.asarray(image)
    transparent = image.info.get("transparency")  # of a PNG: one value
    opacity = (values != transparent).astype(float) if isinstance(transparent, int) else None
    if tags is not None and tiff.white_is_zero(tags):
        values = -values.astype(np.float64)
    return values, opacity, False


def _deep_colours(image: Image.Image, data: bytes) -> Numbers | None:
    """Colours of 16 bits, of which Pillow keeps the upper eight: the others are asked for too.

    Pillow takes a sample's first or last byte, by the byte order it is told. Told the other order
    it gives the lower eight bits.
    """
    if data.startswith(_PNG) and _bit_depth(data) == (16, 4):  # grey and alpha
        return _deep_grey_and_alpha(data)
    if image.format == "PPM" and image.mode != "L" and image.mode != "1":
        return _deep_portable(data)
    with _opened(data) as again:
        again.seek(image.tell())
        raw_mode = _raw_mode(again)
    if ";16" in raw_mode and image.mode == "CMYK":
        raise DecodeError("CMYK of more than 8 bits is not read; save it as RGB or grey")
    if ";16" not in raw_mode or image.mode not in ("RGB", "RGBA"):
        return None
    other = raw_mode[:-1] + {"L": "B", "B": "L", "N": "B"}[raw_mode[-1]]
    swapped = _decoded_as(data, other, image.tell())
    if swapped is None:
        return None
    values: NDArray[np.float64] = np.asarray(image).astype(np.float64) * 256 + swapped
    grey = luma(values)
    transparent = image.info.get("transparency")  # of a PNG: one colour
    if image.mode == "RGBA":
        return grey, values[..., 3] / 65535, False
    if isinstance(transparent, tuple) and len(transparent) == 3:
        hidden = (values == np.array(transparent)).all(axis=-1)
        return grey, 1.0 - hidden, False
    return grey, None, False


def _deep_portable(ppm: bytes) -> Numbers | None:
    """Colours of a PPM of more than 8 bits, of two bytes each or in plain words."""
    with _opened(ppm) as image:
        tiles: Any = getattr(image, "tile", ())
        _, _, start, arguments = tiles[0]
        if not isinstance(arguments, tuple) or arguments[-1] <= 255:
            return None
        if image.mode != "RGB":
            raise DecodeError(f"{image.mode} of more than 8 bits is not read; save it as RGB")
        width, height = image.size
    if ppm.startswith(b"P3"):
        words = re.sub(rb"#[^\r\n]*", b"", ppm[start:]).split()
        values = np.array(words[: width * height * 3], dtype=np.int64)
    else:
        values = np.frombuffer(ppm, ">u2", width * height * 3, start).astype(np.int64)
    return luma(values.reshape(height, width, 3)), None, False


def _deep_grey_and_alpha(png: bytes) -> Numbers | None:
    four = _decoded_as(png, "RGBA")  # the bytes of both samples as they are
    if four is None:
        return None
    grey, alpha = (256.0 * four[..., first] + four[..., first + 1] for first in (0, 2))
    return grey, alpha / 65535, False


def _raw_mode(image: Image.Image) -> str:
    """How the file keeps the samples, in the words of Pillow; "" where it keeps them otherwise."""
    tiles: Any = getattr(image, "tile", ())
    arguments = next((tile.args for tile in tiles), "")
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _decoded_as(data: bytes, raw_mode: str, page: int = 0) -> NDArray[np.uint8] | None:
    """The picture with its samples taken for others than the file says; None if it has no tile."""
    with _opened(data) as image:
        image.seek(page)
        tiles: Any = getattr(image, "tile", ())
        if not tiles:
            return None
        image.tile = [  # type: ignore[attr-defined]
            tile._replace(
                args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode
            )
            for tile in tiles
        ]
        image.load()
        return np.asarray(image)


def _bit_depth(png: bytes) -> tuple[int, int]:
    """Bits of a sample and type of colour, of the header chunk, which comes first."""
    return png[24], png[25]


def _stretched(
    values: NDArray[Any], opacity: NDArray[np.float64] | None, multiplied: bool
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Numbers as 8-bit grey, laid on black by their opacity; what is hidden sets no level."""
    notes = () if np.isfinite(values).all() else (_NO_NUMBERS,)
    if opacity is None:
        return eight_bits(values), notes
    if not opacity.any():
        return np.zeros(values.shape, np.uint8), (*notes, _HIDDEN)
    grey = eight_bits(np.where(opacity > 0, values, np.nan))
    laid = grey if multiplied else np.rint(grey * opacity).astype(np.uint8)
    if not np.ptp(laid) and np.ptp(opacity):
        return np.rint(255 * opacity).astype(np.uint8), (*notes, _IN_ALPHA)
    return laid, notes
