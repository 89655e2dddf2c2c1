"""The picture of the README: raw slice, network input, and the answer with its heat map.

It asks the registered model, here the model of the 253 images, about slices of the phantom:

    python -m benchmarks.picture docs/answer.png PHANTOM/yes/p019-s0.png PHANTOM/no/p004-s0.png
"""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from PIL import Image

from brain_tumor.cli.options import model_folder
from brain_tumor.inference.classifier import Classifier, SliceResult
from brain_tumor.inference.heatmap import heatmap_png

DPI = 85
COLOURS = 256  # of the file: half the bytes, and hardly a difference to the eye


def main(
    picture: Annotated[Path, typer.Argument(help="PNG to write.")],
    slices: Annotated[list[Path], typer.Argument(help="Files, a row each.")],
    model: Annotated[str | None, typer.Option(help="As `predict` takes it.")] = None,
) -> None:
    """Draw each slice as it is, as the network gets it, and with its heat map."""
    folder = model_folder(model)
    classifier = Classifier.load(folder.bundle, "fast", folder.name)
    figure = Figure(figsize=(7.2, 2.55 * len(slices)), dpi=DPI, layout="constrained")
    grid = figure.subplots(len(slices), 3, squeeze=False)
    for row, file in zip(grid, slices, strict=True):
        (finding,) = classifier.examine(file.read_bytes())
        row[0].set_ylabel(f"{file.parent.name}/{file.name}", fontsize=8)
        for axes, (title, pixels) in zip(row, panels_of(finding).items(), strict=True):
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255)
            axes.set_title(title, fontsize=8)
            axes.set(xticks=[], yticks=[])
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    Image.open(drawn).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE).save(
        picture, optimize=True
    )


def panels_of(finding: SliceResult) -> dict[str, np.ndarray]:
    """Title to pixels of the three pictures of a slice."""
    prepared, prediction = finding.prepared, finding.prediction
    height, width = prepared.grey.shape
    side = prepared.image.shape[0]
    answer = f"answer: {prediction.label}, probability {prediction.probability:.2f}"
    if prediction.out_of_distribution:
        answer += "\n(unlike the training images)"
    else:
        answer += f"\n(threshold {prediction.threshold:.2f})"
    return {
        f"raw slice\n{width} x {height} px": prepared.grey,
        f"network input, brain upright\n{side} x {side} px": prepared.image,
        answer: np.asarray(Image.open(io.BytesIO(heatmap_png(finding)))),
    }


if __name__ == "__main__":
    typer.run(main)
