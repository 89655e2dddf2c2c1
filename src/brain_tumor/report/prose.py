"""The model card of what the stages left: its numbers, and what it says in words."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from brain_tumor.data.copies import suspect_paths
from brain_tumor.figure_text import SPLIT_NAMES, Split, capitalised
from brain_tumor.report.card import (
    Baseline,
    Calibration,
    Data,
    Failure,
    Figure,
    Images,
    ModelCard,
)
from brain_tumor.report.evidence import BASELINES
from brain_tumor.report.inputs import Inputs

MOST_FAILURES = 12
_PARTNER = re.compile(r"^(same bytes as|near-duplicate of) .*")
INTENDED_USE = (
    "Research only: not for diagnosis, triage or any clinical decision. It estimates the "
    "probability that a single brain MRI slice shows a tumour, among images like those it was "
    "trained on."
)
NOT_FOR = (
    "Decisions about a patient, alone or as a second reader.",
    "Children, scans after surgery, other organs, CT: none of them was tested.",
    "Ruling a tumour out: it sees one slice, and a tumour can lie in another.",
    "Telling kinds or grades of tumours apart.",
)
INPUT = (
    "One file a row (JPEG, PNG, BMP, TIFF, DICOM, NIfTI): its bytes in the column `image`, or its "
    "name in `path`; parameters `engine` (keras or fast) and `slices`."
)
OUTPUT = {
    "probability": "of a tumour, 0 to 1, calibrated by the temperature",
    "label": "`yes` from the threshold up, else `no`",
    "out_of_distribution": "the slice is unlike the training images (`ood_score` above 1): its "
    "probability means little",
    "rows": "a row per slice; `input` and `slice` say which of what",
}
NOTES: dict[Split, str] = {
    "train": "the network was fitted to these images, so figures say how closely, not how well it "
    "will do, and have no interval.",
    "val": "optimistic, since hyperparameters, temperature and threshold were chosen with these "
    "images.",
    "test": "not used by the pipeline for any choice; from the same collection as the training "
    "images.",
}
PHANTOM = (
    "The images are phantoms drawn from templates, not patients: the figures show that the "
    "pipeline works and say nothing of its worth on patients."
)
_DRAWN = (
    "{:,} synthetic phantoms, drawn from templates and half of them with a tumour, train beside "
    "the training images; none validates or tests, and no count or figure includes them."
)
_KINSHIPS = {"duplicate": "copies of a picture", "patient": "slices of a known patient"}
_LIMITS = (
    "Single slices, one at a time: no volume, no other sequence, no history.",
    "Test images come from the same collection as the training images; other scanners, sequences "
    "and hospitals can differ much, and then probabilities are wrong as well as calls.",
    "Test sets of this size leave wide intervals; a difference smaller than those is no finding.",
    "The share of tumours among the images is the collection's, not that of any clinic: "
    "precision and calibration do not carry over.",
    "Nothing is known of age, sex, tumour type, scanner or hospital, so no such subgroup could be "
    "looked at.",
)


def make_card(inputs: Inputs, name: str) -> ModelCard:
    """The card of a model of this name."""
    return ModelCard(
        name=name,
        intended_use=INTENDED_USE,
        not_for=NOT_FOR,
        input=INPUT,
        output=OUTPUT,
        model=inputs.meta,
        initial_weights=inputs.weights,
        data=_data(inputs),
        split=_split(inputs),
        preprocessing=_preprocessing(inputs),
        images={split: _images(inputs, split) for split in SPLIT_NAMES},
        metrics={split: dict(measured) for split, measured in inputs.metrics.items()},
        notes=NOTES,
        calibration=Calibration(
            temperature=inputs.point.temperature,
            threshold=inputs.point.threshold,
            target_sensitivity=inputs.point.sensitivity,
            images=inputs.point.images,
        ),
        crossvalidation=_figures(inputs.headline.get("figures", {})),
        baselines=_baselines(inputs.headline),
        external=tuple(
            {str(key): str(value) for key, value in row.items()}
            for row in inputs.external.to_dict("records")
        ),
        failures=_failures(inputs),
        limits=(
            *([PHANTOM] if inputs.is_phantom else []),
            *([inputs.weights.note] if inputs.weights.note else []),
            *_LIMITS,
        ),
        lineage=dict(inputs.lineage),
    )


def _figures(plain: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    return {key: Figure.model_validate(figure, extra="ignore") for key, figure in plain.items()}


def _baselines(headline: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """The baselines of the nested cross-validation; the best with the paired difference."""
    best, paired = headline.get("best_baseline"), headline.get("paired", {})
    return tuple(
        Baseline(
            name=capitalised(BASELINES.get(name, name)),
            figures=_figures(figures),
            difference=_figures(paired if name == best else {}),
        )
        for name, figures in headline.get("baselines", {}).items()
    )


def _failures(inputs: Inputs) -> tuple[Failure, ...]:
    """The most confident errors on validation and test images, worst first."""
    rows = inputs.predictions[inputs.predictions["split"].isin(["val", "test"])]
    wrong = (rows["probability"] >= inputs.point.threshold) != (rows["label"] == "yes")
    off = np.where(rows["label"] == "yes", 1 - rows["probability"], rows["probability"])
    worst = rows.assign(off=off)[wrong].sort_values(["off", "path"], ascending=[False, True])
    return tuple(
        Failure.model_validate(row)
        for row in worst[["path", "split", "label", "probability"]]
        .head(MOST_FAILURES)
        .to_dict("records")
    )


def _images(inputs: Inputs, split: Split) -> Images:
    rows = inputs.rows(split)
    counts = Counter(rows["label"])
    return Images(no=counts["no"], yes=counts["yes"], clusters=rows["cluster"].nunique())


def _data(inputs: Inputs) -> Data:
    manifest = inputs.manifest
    return Data(
        source=inputs.origin,
        files=len(manifest),
        distinct=int(manifest["group"].nunique()),
        patients=int(inputs.validation["patients"]),
        formats={str(key): int(count) for key, count in manifest["format"].value_counts().items()},
        label_suspects=tuple(suspect_paths(manifest)),
        faults=_faults(inputs),
    )


def _faults(inputs: Inputs) -> tuple[str, ...]:
    copies, patients = inputs.validation["duplicates"], inputs.validation["patients"]
    faults = []
    if inputs.is_phantom:
        faults.append(PHANTOM)
    if copies["groups"]:
        faults.append(
            f"{copies['files']} files lie in {copies['groups']} groups of copies or near-copies; "
            f"{copies['identical_files']} of them in {copies['identical_groups']} groups of "
            "identical bytes."
        )
    if not patients:
        faults.append("Patients are not known: slices of one patient can lie in several splits.")
    reasons = [warning["reason"] for warning in inputs.validation["warnings"]]
    kinds = Counter(
        reason for reason in reasons if not _PARTNER.match(reason) or "other class" in reason
    )  # copies are listed already
    faults += [f"{count} files: {kind}." for kind, count in sorted(kinds.items())]
    if suspects := suspect_paths(inputs.manifest):
        faults.append(
            f"{len(suspects)} images stand on a list of suspect labels that was drawn up by eye "
            "before any model; none is left out."
        )
    return tuple(faults)


def _split(inputs: Inputs) -> tuple[str, ...]:
    """How the images were divided."""
    params = inputs.sections.split
    kinships = " and ".join(_KINSHIPS[kinship] for kinship in params.kinships)
    together = (
        f"{kinships.capitalize()} stay together, so no cluster is divided."
        if kinships
        else "Nothing keeps copies together: they can lie on both sides of the split, so the "
        "figures are those of a leaking protocol."
    )
    sizes = (
        f"About {params.fractions.val:.0%} of the groups validate and {params.fractions.test:.0%} "
        "test; the rest trains."
        if params.mode == "fractions"
        else "Each split has an exact number of images of each class."
    )
    rank = f"Groups are ranked by a hash (seed {params.seed}), so a group keeps its split."
    seed = rank if params.mode == "fractions" else f"Seed {params.seed}."
    phantoms = inputs.sections.augment.phantoms
    return (together, sizes, seed, *([_DRAWN.format(phantoms)] if phantoms else []))


def _preprocessing(inputs: Inputs) -> tuple[str, ...]:
    """The steps from a raw image to the network's input."""
    params = inputs.sections.preprocess
    failed = [
        f"{inputs.preprocessing[label]['fallback']['count']} of "
        f"{inputs.preprocessing[label]['images']} ({name})"
        for label, name in (("no", "no tumour"), ("yes", "tumour"))
    ]
    steps, kept = ["Decode to grey, turned as EXIF says."], "brain"
    if params.normalisation == "none":
        steps.append("No spatial normalisation.")
        kept = "head"
    else:
        steps.append(
            "Find the brain, its plane and its place in the MNI152 template with a small network, "
            f"and turn and scale the picture to it by a {params.normalisation}; where the pose is "
            f"not sure the head is centred and scaled only: {' and '.join(failed)}."
        )
    blanked = ", blacken what lies outside it" if params.blank_outside else ""
    return (
        *steps,
        f"Crop to the {kept} and a margin around it{blanked}.",
        f"Stretch grey levels from percentile {params.clip_low_percent:g} to "
        f"{params.clip_high_percent:g} of what is kept to [0, 1].",
        f"Resize to {params.size_px} x {params.size_px} pixels.",
    )
