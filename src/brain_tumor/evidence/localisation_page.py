"""docs/evidence/localisation.md and its pictures."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from brain_tumor.atomic import replacing
from brain_tumor.evidence.localisation import (
    NAMES,
    PLACES,
    RIVALS,
    Floats,
    Tested,
    outline,
    spread_out,
)
from brain_tumor.evidence.page import made_line, recipe_line, table
from brain_tumor.evidence.phantom_truth import Phantom
from brain_tumor.figure_text import cell
from brain_tumor.report.figures import Interval, intervals_svg

_FIGURES = {"pointing": "pointing game", "mass": "mass in the tumour", "overlap": "overlap"}
_MAPS = {"model": "the model's heat map"} | RIVALS
_SHOWN = 12  # phantoms in the picture
_FOR, _AGAINST, _TRUTH = (0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.9, 0.4)


def localisation_page(found: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        found: what localisation.json holds.
        made: where and when (see `page.made_from`).
    """
    parts = [
        recipe_line(made),
        "# Do the heat maps point at tumours?",
        f"The trained model itself (head on `mixed{found['block']}`) looks at {found['patients']} "
        f"phantoms with a tumour and at the same {found['patients']} without, in three planes and "
        "four contrasts. It never saw these patients, but phantoms of the same making train beside "
        "the images (`docs/evidence/decisions.md`): what follows is no proof for real pictures. "
        "The heat map is what each place of the head's block and its neighbours add to the logit "
        "beside what they add in an empty picture (exact; Grad-CAM for this head, less that of an "
        "empty picture, spread over the neighbours). The truth is the tumour's mask, warped by the "
        "same transform as the image.",
        f"{made_line(made)} Digest of the model: `{found['model'][:12]}`; seed of the phantoms: "
        f"{found['seed']}.",
        f"Tumours in view, and judged: {found['phantoms']}. AUROC of the model on all phantoms: "
        f"{cell(found.get('auroc'))}.",
        "\n".join(f"- {note}" for note in found["notes"]),
        "![What speaks for a tumour (orange) and against (blue); outlined: the tumour]"
        "(figures/localisation.png)",
        f"## Scores\n\n{_scored(found['scores'])}\n\n"
        "Pointing game: share of maps whose strongest place (its square, a stride wide) touches "
        "the tumour. Mass: share of what speaks for a tumour that lies in it. Overlap: "
        "intersection over union with as many of the strongest pixels as the tumour has. Brackets: "
        "95 % intervals over patients. Maps of random networks are averaged over several.",
        f"## The model's score minus the others'\n\n{_scored(found['differences'])}\n\n"
        "![The same](figures/localisation.svg)",
        f"## By plane\n\n{_parts('plane', found['by_plane'])}",
        f"## By contrast\n\n{_parts('contrast', found['by_contrast'])}",
        f"## Where the strongest place lies\n\n{_places(found['places'])}",
        f"## Scanner text in a corner\n\n{_text(found['text'])}\n\n"
        "In the file: before preprocessing, which blanks most of the background. On the network's "
        "input: where nothing takes it away. Without: the same place, in the same phantom without "
        "text. The probability is the calibrated one.",
    ]
    return "\n\n".join(parts) + "\n"


def differences_svg(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The differences as a forest plot, SVG."""
    rows = [
        Interval(
            f"against {_MAPS[name]}",
            one["value"],
            one.get("low"),
            one.get("high"),
            _FIGURES[figure],
        )
        for figure in NAMES
        for name, figures in found.items()
        for one in [figures[figure]]
    ]
    return intervals_svg(rows, "difference of scores", 0.0)


def save_overlays(path: Path, found: Tested) -> None:
    """Draw phantoms with what speaks for and against a tumour, and the tumour's outline, as PNG."""
    from matplotlib.figure import Figure

    columns, phantoms = 4, found.phantoms[:_SHOWN]
    figure = Figure(figsize=(1.7 * columns, 1.9 * -(-len(phantoms) // columns)))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.94, 0.04, 0.16)
    for number, phantom in enumerate(phantoms):
        axes = figure.add_subplot(-(-len(phantoms) // columns), columns, number + 1)
        axes.imshow(_overlay(phantom, found.maps[number], found.stride_px))
        axes.set_title(
            f"{phantom.case.plane} {phantom.contrast}: {found.probability[number]:.2f}",
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


def _overlay(phantom: Phantom, values: Floats, stride_px: int) -> Floats:
    spread = spread_out(values, stride_px, phantom.image.shape[0])
    strength = 0.7 * np.abs(spread) / max(float(np.abs(spread).max()), 1e-12)
    colour = np.where(spread[..., None] > 0, _FOR, _AGAINST)
    grey = phantom.image[..., None] / 255.0
    mixed = (1 - strength[..., None]) * grey + strength[..., None] * colour
    mixed[outline(phantom.tumour)] = _TRUTH
    return np.asarray(mixed, np.float64)


def _scored(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [_MAPS[name], *(cell(one.get(figure)) for figure in NAMES)] for name, one in found.items()
    ]
    return table(["map", *_FIGURES.values()], rows)


def _parts(what: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [
        [part, str(one["phantoms"])]
        + [cell(one["scores"]["model"].get(figure)) for figure in NAMES]
        + [
            cell(one["differences"]["centre"].get("pointing")),
            cell(one["differences"]["random"].get("mass")),
        ]
        for part, one in found.items()
    ]
    head = [what, "tumours", *_FIGURES.values(), "pointing minus centre", "mass minus random"]
    return table(head, rows)


def _places(found: Mapping[str, Mapping[str, Any]]) -> str:
    columns = [found[name] for name in ("with", "without", "blind")]
    rows = [[name, *(cell(one.get(name)) for one in columns)] for name in PLACES]
    return table(["place", "with tumour", "without tumour", "share of all places"], rows)


def _text(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    rows = [
        [f"{where}, {label} tumour", f"{one['in_view']} of {one['phantoms']}"]
        + [cell(one.get(name)) for name in ("strongest_at_text", "strongest_there_without")]
        + [cell(one.get("probability_moved"), 3)]
        for where, classes in found.items()
        for label, one in classes.items()
    ]
    head = ["text", "letters in view", "strongest place there", "without", "probability moves by"]
    return table(head, rows)
