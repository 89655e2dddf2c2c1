"""Figures of stage preprocess, as in the paper: image ratios, the steps, before and after."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from brain_tumor.atomic import replacing
from brain_tumor.imaging.decode import decode
from brain_tumor.imaging.preprocess import Preprocessed
from brain_tumor.imaging.sheets import contact_sheet, evenly
from brain_tumor.outputs import load_images

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
    """Histogram of width over height of the raw images, a bar a class.

    Args:
        ratios: width over height of each image, by class.
        path: PNG to write.
    """
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


def steps_figure(done: Mapping[str, Preprocessed], path: Path) -> None:
    """The steps of preprocessing side by side, an image a row.

    Args:
        done: preprocessed images by manifest path, at least one.
        path: PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 1.75 * len(done) + 0.3), dpi=_STEPS_DPI, layout="constrained")
    grid = figure.subplots(len(done), len(_STEP_NAMES), squeeze=False)
    for row, (name, result) in zip(grid, done.items(), strict=True):
        for axes, (step, title) in zip(row, _STEP_NAMES.items(), strict=True):
            picture = result.steps[step]
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255)
            size = f"{picture.shape[1]} x {picture.shape[0]} px"
            axes.set_title(f"{title}\n{size}", fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=8)
        row[1].set_xlabel(_how(result), fontsize=7)
    with replacing(path) as aside:
        figure.savefig(aside, metadata={"Software": None})


def before_after(data: Path, images: Path, paths: Sequence[str], path: Path, title: str) -> None:
    """Contact sheet of raw images beside what the network gets, at most 20 spread evenly.

    Args:
        data: folder of the raw images.
        images: folder of the stored ones.
        paths: manifest paths of one class, sorted.
        path: PNG to write.
        title: over the sheet.
    """
    shown = evenly(paths, _SHEET_IMAGES)
    tiles = [
        (Path(name).name, (decode((data / name).read_bytes()), stored))
        for name, stored in zip(shown, load_images(images, shown), strict=True)
    ]
    contact_sheet(tiles, path, f"{title}: raw and preprocessed", columns=4, side_px=104)


def _how(result: Preprocessed) -> str:
    record = result.record
    if not record.slice:
        return "not normalised"
    if record.fallback:
        return f"centred only ({record.fallback})"
    return f"{record.slice}, {record.rotation_deg:+.1f} deg, NMI {record.information:.2f}"
