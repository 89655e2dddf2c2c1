"""Figures of preprocessing: the steps side by side, histograms, contact sheets."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from brain_tumor.escaping import terminal
from brain_tumor.files import replacing
from brain_tumor.imaging.preprocess import Record, preprocess_grey, steps
from brain_tumor.imaging.read import read_grey
from brain_tumor.settings import PreprocessParams
from brain_tumor.shards import open_images

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
    draw.text(corner, terminal(caption)[:fitting], fill=_INK_GREY, font=font)
    for number, picture in enumerate(pictures):
        place = (corner[0] + number * side_px, corner[1] + _CAPTION_PX)
        small = ImageOps.pad(Image.fromarray(picture), (side_px - 1, side_px - 1))
        page.paste(small, place)


def evenly(paths: Sequence[str], count: int) -> list[str]:
    """At most `count` paths spread evenly over the sequence, first and last among them."""
    if len(paths) <= count:
        return list(paths)
    return [paths[round(place)] for place in np.linspace(0, len(paths) - 1, count)]


_DPI = 100
_STEPS_DPI = 85  # photographs: larger figures would weigh more than they show
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito: safe for colour-blind
_SHEET_IMAGES = 20
_STEP_NAMES = {
    "raw": "raw",
    "normalised": "spatially normalised",
    "cropped": "cropped",
    "input": "network input",
}


def ratio_histogram(ratios: Mapping[str, Sequence[float]], path: Path) -> None:
    """Histogram of width over height of the raw images, a bar a class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), dpi=_DPI, layout="constrained")
    axes = figure.subplots()
    every = [value for values in ratios.values() for value in values]
    edges = np.histogram_bin_edges(every, bins=20)
    axes.hist(
        [list(values) for values in ratios.values()],
        bins=list(edges),
        label=[f"{label} (n = {len(values)})" for label, values in ratios.items()],
        color=[_COLOURS[number % len(_COLOURS)] for number in range(len(ratios))],
    )
    axes.axvline(1.0, color="black", linewidth=1, linestyle="--", label="square")
    axes.set(title="Ratio of the raw images", xlabel="width / height", ylabel="images")
    axes.legend()
    with replacing(path) as aside:
        figure.savefig(aside, metadata={"Software": None})


def steps_figure(shown: Mapping[str, np.ndarray], params: PreprocessParams, path: Path) -> None:
    """The steps of preprocessing side by side, a raw grey image (by manifest path) a row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 1.75 * len(shown) + 0.3), dpi=_STEPS_DPI, layout="constrained")
    grid = figure.subplots(len(shown), len(_STEP_NAMES), squeeze=False)
    for row, (name, grey) in zip(grid, shown.items(), strict=True):
        done = preprocess_grey(grey, params)
        pictures = steps(grey, done, params)
        for axes, (step, title) in zip(row, _STEP_NAMES.items(), strict=True):
            picture = pictures[step]
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            size = f"{picture.shape[1]} x {picture.shape[0]} px"
            axes.set_title(f"{title}\n{size}", fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(terminal(name), fontsize=8, parse_math=False)
        row[1].set_xlabel(_how(done.record), fontsize=7)
    with replacing(path) as aside:
        figure.savefig(aside, metadata={"Software": None})


def before_after(data: Path, images: Path, paths: Sequence[str], path: Path, title: str) -> None:
    """Contact sheet of raw images beside what the network gets, at most 20 spread evenly."""
    shown = evenly(paths, _SHEET_IMAGES)
    tiles = [
        (Path(name).name, (read_grey((data / name).read_bytes()), stored))
        for name, stored in zip(shown, open_images(images, shown)[:], strict=True)
    ]
    contact_sheet(tiles, path, f"{title}: raw and preprocessed", columns=4, side_px=104)


def _how(record: Record) -> str:
    if record.fallback:
        return f"centred only ({record.fallback})"
    if not record.slice:
        return "not normalised"
    return f"{record.slice}, {record.rotation_deg:+.1f} deg, confidence {record.confidence:.2f}"


_STEPS_PER_CLASS = 2


def draw_figures(
    data: Path,
    images: Path,
    records: Mapping[str, tuple[str, Record]],
    params: PreprocessParams,
    folder: Path,
) -> None:
    """Draw `ratios.png`, `steps.png` and `before_after_<class>.png` for each class.

    Args:
        data: folder of the raw images.
        images: folder of the stored ones.
        records: class and record of each image by manifest path, sorted.
        params: section `preprocess`.
        folder: where the figures go; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = sorted({label for label, _ in records.values()})
    members = {
        label: [path for path, (own, _) in records.items() if own == label] for label in classes
    }
    ratios = {
        label: [records[path][1].width / records[path][1].height for path in paths]
        for label, paths in members.items()
    }
    ratio_histogram(ratios, folder / "ratios.png")
    shown = [
        path
        for paths in members.values()
        for path in evenly(paths, _STEPS_PER_CLASS + 2)[1:-1] or paths[:_STEPS_PER_CLASS]
    ]
    pictures = {path: read_grey((data / path).read_bytes()) for path in shown}
    steps_figure(pictures, params, folder / "steps.png")
    for label, paths in members.items():
        before_after(data, images, paths, folder / f"before_after_{label}.png", label)
