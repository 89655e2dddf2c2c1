"""Distributions of the reference and the new images, a panel per measure; no image is shown."""

from pathlib import Path
from typing import Any

import numpy as np

from brain_tumor.files import replacing
from brain_tumor.monitoring.drift import Drift, Measured

_REFERENCE, _NEW, _WARNED = "#9aa5b1", "#0072b2", "#d55e00"
_COLUMNS, _BINS = 4, 24
_PANEL_IN = (3.3, 2.5)


def save_figure(path: Path, drift: Drift) -> None:
    """Draw what was compared as a PNG.

    Measures that warn come first and are orange.

    Args:
        path: the file, written whole or not at all.
        drift: with measures.
    """
    from matplotlib.figure import Figure

    ordered = [*drift.warned, *(one for one in drift.measures if not one.warns)]
    rows = -(-len(ordered) // _COLUMNS)
    size = (_PANEL_IN[0] * _COLUMNS, _PANEL_IN[1] * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, one in zip(panels, ordered, strict=False):
        _draw(axes, one)
    for axes in panels[len(ordered) :]:
        axes.axis("off")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(_title(drift), fontsize=12)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110, metadata={"Software": None})


def _title(drift: Drift) -> str:
    new, known = drift.images, drift.clusters
    return (
        f"{new.new} new images ({known.new} groups) against {new.reference} of {drift.champion} "
        f"({known.reference} groups): {len(drift.warned)} of {len(drift.measures)} measures warn"
    )


def _legend() -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(color=_REFERENCE, label="the champion's images, weighted to the new ones' classes"),
        Patch(fill=False, edgecolor=_NEW, label="new images"),
        Patch(fill=False, edgecolor=_WARNED, label="new images that differ"),
    ]


def _draw(axes: Any, one: Measured) -> None:
    colour = _WARNED if one.warns else _NEW
    samples = (one.reference, one.new)
    if one.measure.share:
        shares = [sample.typical(share=True) for sample in samples]
        for place, (share, shade) in enumerate(zip(shares, (_REFERENCE, colour), strict=True)):
            axes.bar(place, share, color=shade, width=0.6)
            axes.text(place, share + 0.02, f"{share:.0%}", ha="center", fontsize=8)
        axes.set_xticks([0, 1], ["reference", "new"])
        axes.set_ylim(0, 1.15)
    else:
        edges = np.linspace(*_range(one), _BINS + 1)
        for sample, filled in zip(samples, (True, False), strict=True):
            values = np.clip(sample.values, edges[0], edges[-1])
            look: dict[str, Any] = {"histtype": "stepfilled", "color": _REFERENCE}
            if not filled:
                look = {"histtype": "step", "color": colour, "linewidth": 1.8}
            axes.hist(values, edges, weights=sample.weights, **look)
    _label(axes, one, colour)


def _label(axes: Any, one: Measured, colour: str) -> None:
    sure = f"KS {one.difference.effect:.2f}, adj. p {one.adjusted_p:.2g}"
    title = f"WARNING  {sure}" if one.warns else sure
    weight = "bold" if one.warns else "normal"
    axes.set_title(title, fontsize=9, fontweight=weight, color=colour if one.warns else "black")
    held_out = "\n(reference: val and test images)" if one.measure.held_out else ""
    axes.set_xlabel(f"{one.measure.what}{held_out}", fontsize=8)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _range(one: Measured) -> tuple[float, float]:
    """From the lower to the upper end of both samples, without the outermost hundredth."""
    ends = [[s.quantile(q) for q in (0.01, 0.99)] for s in (one.reference, one.new)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.05 * (high - low) or max(abs(low) * 0.05, 0.5)
    return low - margin, high + margin
