"""The drawings of docs/evidence."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from brain_tumor.atomic import replacing
from brain_tumor.evidence.localisation import Floats, outline, spread_out
from brain_tumor.report.drawings import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    intervals_svg,
    new_figure,
    to_svg,
)
from brain_tumor.report.evidence_tables import baseline_intervals

if TYPE_CHECKING:
    from brain_tumor.evidence.localisation import Tested
    from brain_tumor.evidence.phantom_truth import Phantom

_SHOWN = 12  # phantoms in the picture
_FOR, _AGAINST, _TRUTH = (0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.9, 0.4)


def baselines_forest(summary: Mapping[str, Any], figure: str = "auroc") -> str:
    """A figure of the recipe and the baselines with intervals."""
    columns = {"recipe": summary["figures"], **summary["baselines"]}
    return intervals_svg(baseline_intervals(columns, figure), figure.upper(), 0.5)


def accuracy_by_seed(summary: Mapping[str, Any]) -> str:
    """Accuracy of val and test of every seed of the paper track, and what was published."""
    figure, axes = new_figure(6.4, 2.2)
    for height, (split, colour) in enumerate((("test", BLUE), ("val", ORANGE))):
        values = np.array(
            [row["accuracy"] for row in summary["by_seed"] if row["split"] == split], np.float64
        )
        axes.plot(values, height + _stacked(values), "o", color=colour, ms=4, alpha=0.8, mew=0)
        published = summary["published"][split]["accuracy"]
        axes.plot([published] * 2, [height - 0.35, height + 0.35], color=INK, lw=1.4)
        axes.text(published, height + 0.38, "paper", ha="center", size=8, color=MUTED)
    axes.set(ylim=(-0.6, 1.7), xlabel="accuracy, a dot a seed")
    axes.set_yticks([0, 1], ["test", "val"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    return to_svg(figure)


def _stacked(values: Any) -> Any:
    """Heights so that equal values stand above each other, around 0."""
    ranks = pd.Series(np.round(values, 3)).groupby(np.round(values, 3)).cumcount().to_numpy()
    return np.where(ranks % 2, 1, -1) * np.ceil(ranks / 2) * 0.07


def save_overlays(path: Path, tested: "Tested") -> None:
    """Draw phantoms with what speaks for and against a tumour, and the tumour's outline, as PNG."""
    from matplotlib.figure import Figure

    columns, phantoms = 4, tested.phantoms[:_SHOWN]
    figure = Figure(figsize=(1.7 * columns, 1.9 * -(-len(phantoms) // columns)))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.94, 0.04, 0.16)
    for number, phantom in enumerate(phantoms):
        axes = figure.add_subplot(-(-len(phantoms) // columns), columns, number + 1)
        axes.imshow(_overlay(phantom, tested.maps[number], tested.stride_px))
        axes.set_title(
            f"{phantom.case.plane} {phantom.contrast}: {tested.probability[number]:.2f}",
            size=7,
            pad=2,
        )
        axes.set_axis_off()
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=80)
    with replacing(path) as aside:
        Image.open(drawn).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(
            aside, "PNG", optimize=True
        )


def _overlay(phantom: "Phantom", values: Floats, stride_px: int) -> Floats:
    spread = spread_out(values, stride_px, phantom.image.shape[0])
    strength = 0.7 * np.abs(spread) / max(float(np.abs(spread).max()), 1e-12)
    colour = np.where(spread[..., None] > 0, _FOR, _AGAINST)
    grey = phantom.image[..., None] / 255.0
    mixed = (1 - strength[..., None]) * grey + strength[..., None] * colour
    mixed[outline(phantom.tumour)] = _TRUTH
    return np.asarray(mixed, np.float64)
