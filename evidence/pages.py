"""The pages of docs/evidence, written from its numbers."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from brain_tumor.figure_text import bracketed, cell, figure_label
from brain_tumor.files import replacing
from brain_tumor.report import evidence as tables
from brain_tumor.report.drawings import (
    AS_IS,
    BLUE,
    INK,
    MUTED,
    ORANGE,
    intervals_svg,
    new_figure,
    to_svg,
)
from brain_tumor.report.evidence import SCORES, SCORES_NOTE, Figures, baseline_intervals
from brain_tumor.report.page import Heading, Listing, Table, markdown
from evidence.phantoms import PLACES, Floats, Phantom, outline, spread_out

_STABLE = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
    "calibration_slope",
)  # fmt: skip
_DEGRADED = (
    "accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier", "calibration_slope",
    "ece", "ece_floor", "flagged",
)  # fmt: skip
_BRACKETS = "in brackets 95 % intervals over clusters, in parentheses predictions"
_CHANGES = ("accuracy", "auroc", "brier")


def recipe_line(origin: Mapping[str, Any], params: str = "params.yaml") -> str:
    """The first line of a page: of which recipe it is, since the default may have moved on.

    `origin` is as `parts.origin_of` gives it; `params` is the file with the recipe's parameters.
    """
    commits = origin["commits"]
    hashes = [commit.removesuffix("-dirty") for commit in commits]
    shown = " and ".join(f"`{commit}`" for commit in commits)
    recipe = "".join(f"; {text}" for text in origin["recipe"])
    return (
        f"> Made with the recipe of commit {shown} (`git show {hashes[-1]}:{params}`{recipe}). "
        f"The default recipe may have changed since: `git diff {hashes[-1]} -- {params}`, "
        "CHANGELOG.md."
    )


def _origin_line(origin: Mapping[str, Any]) -> str:
    """The same as sentences, with machine, packages and time."""
    precision = f"; tuned blocks in {', '.join(origin['precision'])}" if origin["precision"] else ""
    return (
        f"`{origin['command']}`, {' and '.join(origin['dates'])}; {'; '.join(origin['machines'])}; "
        f"{', '.join(origin['packages'])}{precision}. Initial weights: "
        f"`{'`, `'.join(origin['weights'])}`. Wall time {origin['wall_s'] / 60:.0f} min."
    )


def headline_page(document: Figures) -> str:
    """docs/evidence/headline.md, from what summary.json holds."""
    summary, origin = document["headline"], document["made"]["headline"]
    target = summary["target_sensitivity"]
    aimed = "0.5" if target is None else f"set for a sensitivity of {target:.2f}"
    errors = "[confident_errors.csv](confident_errors.csv)"
    return markdown(
        [
            recipe_line(origin),
            "# The recipe, cross-validated whole",
            f"{summary['repeats']} times {summary['folds']} outer folds of {summary['images']} "
            f"images in {summary['clusters']} clusters (copies; slices of a patient, too, where "
            "patients are known), none divided. In each fold inner folds of the other images "
            "choose hyperparameters, temperature and operating threshold; the outer fold is only "
            "predicted. Brackets: 95 % intervals from "
            "clusters resampled jointly over repeats; figures are means over repeats. Nesting does "
            "not undo what was chosen before: [decisions.md](decisions.md) says on which images.",
            _origin_line(origin),
            Heading("Figures"),
            tables.headline_figures(summary, aimed),
            tables.repeat_by_repeat(summary),
            "![Reliability of the first repeat](figures/reliability.svg)",
            *tables.beside_baselines(summary),
            "![AUROC of the recipe and the baselines](figures/baselines.svg)",
            *tables.paired_with_best(summary),
            *_former(document),
            *tables.stability(summary, _STABLE),
            tables.subgroups(summary, ("sensitivity", "specificity", "auroc"), errors),
            Heading("What the inner folds chose"),
            _chosen(summary["chosen"]),
        ]
    )


def _former(document: Figures) -> list[Heading | Table | str]:
    """The recipe beside the former one, and of which commit that is."""
    made = document["made"].get("former")
    if not made:
        return []
    return [*tables.paired_with_former(document["headline"]), recipe_line(made)]


def _chosen(folds: Sequence[Mapping[str, Any]]) -> Table:
    def text(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    names = sorted({name for fold in folds for name in fold["chosen"]})
    rows = [
        [
            f"{fold['repeat']}.{fold['fold']}",
            *(text(fold["chosen"].get(name, "")) for name in names),
            f"{fold['temperature']:.2f}", f"{fold['threshold']:.3f}", f"{fold['wall_s']:.0f}",
        ]
        for fold in folds
    ]  # fmt: skip
    head = ("fold", *(f"`{name}`" for name in names), "temperature", "threshold", "seconds")
    return Table(head, rows)


def paper_page(document: Figures) -> str:
    """docs/evidence/paper.md, from what summary.json holds."""
    summary, origin = document["paper"], document["made"]["paper"]
    seeds, good = summary["seeds"], summary["as_good_as_published"]
    return markdown(
        [
            recipe_line(origin, "evidence/params.yaml"),
            "# The published protocol, over many seeds",
            "Kim & Ye 2019 divide 253 files at random into 163, 50 and 40. So does this, with "
            f"{seeds} seeds, training the `paper` head (21,933,857 parameters with the trunk) on "
            "the frozen trunk by AdamW, stopped by validation loss. The division is the published "
            "one: copies of a picture may fall on both sides. Their optimiser, epochs and initial "
            "weights are not stated.",
            _origin_line(origin),
            Heading("Beside the paper"),
            tables.published_spread(summary),
            f"{good} of {seeds} seeds reach the published test accuracy of 0.90 or more.",
            "![Accuracy by seed](figures/paper.svg)",
            Heading("Means over seeds"),
            tables.published_means(summary),
            *tables.worth_of_twins(summary, _BRACKETS),
            *_with_top_blocks(document),
            Heading("Seed by seed"),
            _by_seed(summary["by_seed"]),
        ]
    )


def _with_top_blocks(document: Figures) -> list[Heading | str | Table]:
    """The same seeds where the top blocks train after the head; nothing where they did not."""
    summary = document.get("paper_blocks")
    if not summary:
        return []
    return [
        Heading(f"With the top {summary['blocks']} blocks trained"),
        f"The same divisions; after the head the top {summary['blocks']} blocks train with it. "
        f"{summary['as_good_as_published']} of {summary['seeds']} seeds reach the published test "
        f"accuracy of 0.90 or more. {_origin_line(document['made']['paper_blocks'])}",
        tables.published_spread(summary),
        *tables.worth_of_twins(summary, _BRACKETS),
    ]


def _by_seed(parts: Sequence[Mapping[str, Any]]) -> Table:
    by_seed: dict[int, dict[str, Mapping[str, Any]]] = {}
    for part in parts:
        by_seed.setdefault(part["seed"], {})[part["split"]] = part
    rows = [
        [
            str(seed),
            *(f"{splits[name][key]:.2f}" for name in ("val", "test")
              for key in ("accuracy", "log_loss")),
            str(splits["test"]["twins"]),
        ]
        for seed, splits in by_seed.items()
    ]  # fmt: skip
    head = ("seed", "val accuracy", "val loss", "test accuracy", "test loss", "twins in test")
    return Table(head, rows)


def localisation_page(facts: Figures) -> str:
    """docs/evidence/localisation.md, from what localisation.json holds."""
    origin = facts["made"]
    return markdown(
        [
            recipe_line(origin),
            "# Do the heat maps point at tumours?",
            f"The trained model itself (head on `mixed{facts['block']}`) looks at "
            f"{facts['patients']} phantoms with a tumour and at the same {facts['patients']} "
            "without, in three planes and four contrasts. It never saw these patients, but "
            "phantoms of the same making train beside the images (`docs/evidence/decisions.md`): "
            "what follows is no proof for real pictures. The heat map is what each place of the "
            "head's block and its neighbours add to the logit beside what they add in an empty "
            "picture (exact; Grad-CAM for this head, less that of an empty picture, spread over "
            "the neighbours). The truth is the tumour's mask, warped by the same transform as the "
            "image.",
            f"{_origin_line(origin)} Digest of the model: `{facts['model'][:12]}`; seed of the "
            f"phantoms: {facts['seed']}.",
            f"Tumours in view, and judged: {facts['phantoms']}. AUROC of the model on all "
            f"phantoms: {bracketed(cell(facts, 'auroc'))}.",
            Listing(facts["notes"]),
            "![What speaks for a tumour (orange) and against (blue); outlined: the tumour]"
            "(figures/localisation.png)",
            Heading("Scores"),
            tables.map_scores(
                facts["scores"],
                f"{SCORES_NOTE} Brackets: 95 % intervals over patients. Maps of random networks "
                "are averaged over several.",
            ),
            Heading("The model's score minus the others'"),
            tables.map_scores(facts["differences"], "![The same](figures/localisation.svg)"),
            Heading("By plane"),
            _parts("plane", facts["by_plane"]),
            Heading("By contrast"),
            _parts("contrast", facts["by_contrast"]),
            Heading("Where the strongest place lies"),
            _places(facts["places"]),
            Heading("Scanner text in a corner"),
            _scanner_text(facts["text"]),
        ]
    )


def _parts(kind: str, parts: Mapping[str, Figures]) -> Table:
    rows = [
        [
            name,
            str(part["phantoms"]),
            *(cell(part["scores"]["model"], key) for key in SCORES),
            cell(part["differences"]["centre"], "pointing"),
            cell(part["differences"]["random"], "mass"),
        ]
        for name, part in parts.items()
    ]
    differences = ("pointing minus centre", "mass minus random")
    return Table((kind, "tumours", *SCORES.values(), *differences), rows)


def _places(places: Figures) -> Table:
    columns = [places[name] for name in ("with", "without", "blind")]
    rows = [[name, *(cell(figures, name) for figures in columns)] for name in PLACES]
    return Table(("place", "with tumour", "without tumour", "share of all places"), rows)


def _scanner_text(text: Figures) -> Table:
    rows = [
        [
            f"{where}, {label} tumour",
            f"{figures['in_view']} of {figures['phantoms']}",
            *(cell(figures, key) for key in ("strongest_at_text", "strongest_there_without")),
            cell(figures, "probability_moved", 3),
        ]
        for where, classes in text.items()
        for label, figures in classes.items()
    ]
    head = ("text", "letters in view", "strongest place there", "without", "probability moves by")
    note = (
        "In the file: before preprocessing, which blanks most of the background. On the network's "
        "input: where nothing takes it away. Without: the same place, in the same phantom without "
        "text. The probability is the calibrated one."
    )
    return Table(head, rows, note)


def robustness_page(facts: Figures) -> str:
    """docs/evidence/robustness.md, from what robustness.json holds."""
    origin, conditions = facts["made"], facts["conditions"]
    return markdown(
        [
            recipe_line(origin),
            "# Robustness",
            f"The {facts['images']} test images ({facts['clusters']} clusters of copies or "
            "patients) degraded before any preprocessing, and classified as `brain-tumor predict` "
            f"does: threshold {facts['threshold']:g}, calibration and preprocessing as stored with "
            f"the model (digest `{facts['model'][:12]}`). Nothing was chosen by these figures.",
            _origin_line(origin),
            _verdict(conditions),
            "![Figures by level](figures/robustness.svg)",
            *(part for kind in tables.DEGRADATIONS for part in _levels(conditions, kind)),
            *_kept(facts.get("kept", [])),
            "In brackets 95 % intervals from resampled clusters; for shares Wilson's where every "
            "image is a cluster of its own, or where all images are alike (of the clusters then); "
            "for the ECE of perfect calibration the range of the simulation. Changes are against "
            "the same images as they are. `flagged`: the share called unlike the training images, "
            "which is what should happen as pictures get worse. A slope below 1 means "
            "overconfidence; a dash: undefined. All figures: `robustness.csv`.",
        ]
    )


def _verdict(conditions: Sequence[Figures]) -> str:
    """Which changes are shown at all."""
    shown = [
        f"{figure_label(key)} at {condition['kind']} {condition['level']:g} "
        f"({bracketed(cell(condition['change'], key))})"
        for condition in conditions
        for key, change in condition.get("change", {}).items()
        if tables.excludes_zero(change)
    ]
    if not shown:
        return "No change has an interval that excludes 0: there are too few images to show one."
    return (
        f"Changes with an interval that excludes 0: {'; '.join(shown)}. The others are not shown, "
        "which with so few images does not mean that there are none."
    )


def _kept(levels: Sequence[Figures]) -> list[Heading | str | Table]:
    """What is right among the pictures most like the training images; nothing if not known."""
    if not levels:
        return []
    names = ("sensitivity", "specificity")
    by_class = [[level for level in levels if name in level] for name in names]
    rows = [
        [f"{yes['coverage']:.0%}", f"{yes['score']:.2f}", cell(yes, names[0]), cell(no, names[1])]
        for yes, no in zip(*by_class, strict=True)
    ]
    return [
        Heading("Which answers can be relied on"),
        "All pictures of this page together, as they are and degraded, ordered by how unlike the "
        "training images the model calls them (flagged above 1). Where the figures do not rise as "
        "fewer are kept, the score does not tell which answers to rely on.",
        Table(("kept", "score up to", *names), rows),
    ]


def _levels(conditions: Sequence[Figures], kind: str) -> tuple[Heading, str, Table]:
    shown = (_DEGRADED, _CHANGES)
    rows = [
        row for part in (AS_IS, kind) for row in tables.level_rows(conditions, part, *shown)
    ]  # fmt: skip
    table = Table(tables.level_head(*shown), rows)
    return Heading(tables.degradation(kind)), f"{tables.DEGRADATIONS[kind]}.", table


_SHOWN = 12  # phantoms in the picture
_FOR, _AGAINST, _TRUTH = (0.90, 0.62, 0.0), (0.34, 0.71, 0.91), (0.0, 0.9, 0.4)


def baselines_forest(summary: Figures) -> str:
    """AUROC of the recipe and the baselines with intervals, as SVG."""
    columns = {"recipe": summary["figures"], **summary["baselines"]}
    return intervals_svg(baseline_intervals(columns, "auroc"), "AUROC", 0.5)


def accuracy_by_seed(summary: Figures) -> str:
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


def save_overlays(
    path: Path, phantoms: Sequence[Phantom], maps: Floats, probability: Floats, stride_px: int
) -> None:
    """Draw the first phantoms with what speaks for and against a tumour, and its outline, as PNG.

    Maps and probability are as `localisation.Localisation` has them.
    """
    from matplotlib.figure import Figure

    columns, phantoms = 4, phantoms[:_SHOWN]
    figure = Figure(figsize=(1.7 * columns, 1.9 * -(-len(phantoms) // columns)))
    figure.subplots_adjust(0.01, 0.01, 0.99, 0.94, 0.04, 0.16)
    for number, phantom in enumerate(phantoms):
        axes = figure.add_subplot(-(-len(phantoms) // columns), columns, number + 1)
        axes.imshow(_overlay(phantom, maps[number], stride_px))
        title = f"{phantom.case.plane} {phantom.contrast}: {probability[number]:.2f}"
        axes.set_title(title, size=7, pad=2)
        axes.set_axis_off()
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=80)
    image = Image.open(png).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE)
    with replacing(path) as aside:
        image.save(aside, "PNG", optimize=True)


def _overlay(phantom: Phantom, values: Floats, stride_px: int) -> Floats:
    spread = spread_out(values, stride_px, phantom.image.shape[0])
    strength = 0.7 * np.abs(spread) / max(float(np.abs(spread).max()), 1e-12)
    colour = np.where(spread[..., None] > 0, _FOR, _AGAINST)
    grey = phantom.image[..., None] / 255.0
    mixed = (1 - strength[..., None]) * grey + strength[..., None] * colour
    mixed[outline(phantom.tumour)] = _TRUTH
    return np.asarray(mixed, np.float64)
