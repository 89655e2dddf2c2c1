"""Contact sheets: many small pictures with captions on one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from brain_tumor.atomic import replacing

_CAPTION_PX = 14
_GAP_PX = 4
_PAGE_GREY = 32
_INK_GREY = 235
_FONT_PX = 10

Tile = tuple[str, Sequence[np.ndarray]]


def contact_sheet(
    tiles: Sequence[Tile], path: Path, title: str, columns: int, side_px: int
) -> None:
    """Draw tiles in rows: each a caption over its pictures side by side.

    The same tiles give the same bytes. A sheet without tiles shows only its title.

    Args:
        tiles: caption and pictures (uint8, any shape, scaled to fit) of each; equally many each.
        path: PNG to write, whole or not at all.
        title: over the sheet.
        columns: tiles in a row.
        side_px: side of one picture.
    """
    pictures = max((len(tile[1]) for tile in tiles), default=1)
    width = pictures * side_px + _GAP_PX
    height = side_px + _CAPTION_PX + _GAP_PX
    rows = -(-len(tiles) // columns)
    page = Image.new("L", (columns * width + _GAP_PX, rows * height + 2 * _CAPTION_PX), _PAGE_GREY)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP_PX, 4), title, fill=_INK_GREY, font=ImageFont.load_default(_FONT_PX + 2))
    for index, tile in enumerate(tiles):
        x = _GAP_PX + index % columns * width
        y = 2 * _CAPTION_PX + index // columns * height
        _draw_tile(page, draw, tile, (x, y), side_px)
    with replacing(path) as aside:
        page.save(aside, format="PNG", optimize=True)


def _draw_tile(
    page: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int], side_px: int
) -> None:
    caption, pictures = tile
    font = ImageFont.load_default(_FONT_PX)
    fitting = max(4, len(pictures) * side_px // 6)  # characters: about 6 pixels each
    draw.text(corner, caption[:fitting], fill=_INK_GREY, font=font)
    for number, picture in enumerate(pictures):
        place = (corner[0] + number * side_px, corner[1] + _CAPTION_PX)
        small = ImageOps.pad(Image.fromarray(picture), (side_px - 1, side_px - 1))
        page.paste(small, place)


def evenly(paths: Sequence[str], count: int) -> list[str]:
    """At most `count` paths spread evenly over the sequence, first and last among them."""
    if len(paths) <= count:
        return list(paths)
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, count)]
