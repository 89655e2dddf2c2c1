"""The model card of what was found."""

import re
from collections import Counter

import numpy as np

from brain_tumor.dataset.suspects import suspect_paths
from brain_tumor.report import prose
from brain_tumor.report.card import ModelCard
from brain_tumor.report.card_parts import Calibration, Data, Failure, Images, Split
from brain_tumor.report.evidence import baselines, figures
from brain_tumor.report.findings import Findings
from brain_tumor.report.wording import SPLITS

MOST_FAILURES = 12
_PARTNER = re.compile(r"^(same bytes as|near-duplicate of) .*")


def make_card(found: Findings, name: str) -> ModelCard:
    """The card.

    Args:
        found: all that is known.
        name: of the model.
    """
    return ModelCard(
        name=name,
        intended_use=prose.INTENDED_USE,
        not_for=prose.NOT_FOR,
        input=prose.INPUT,
        output=prose.OUTPUT,
        model=found.meta,
        initial_weights=found.weights,
        data=_data(found),
        split=prose.split(found),
        preprocessing=prose.preprocessing(found),
        images={split: _images(found, split) for split in SPLITS},
        metrics={split: dict(measured) for split, measured in found.metrics.items()},
        notes=prose.NOTES,
        calibration=Calibration(
            temperature=found.point.temperature,
            threshold=found.point.threshold,
            target_sensitivity=found.point.sensitivity,
            images=found.point.images,
        ),
        crossvalidation=figures(found.headline.get("figures", {})),
        baselines=baselines(found.headline),
        external=tuple(
            {str(key): str(value) for key, value in row.items()}
            for row in found.external.to_dict("records")
        ),
        failures=failures(found),
        limits=prose.limits(found),
        lineage=dict(found.lineage),
    )


def failures(found: Findings) -> tuple[Failure, ...]:
    """The most confident errors on validation and test images, worst first."""
    rows = found.predictions[found.predictions["split"].isin(["val", "test"])]
    wrong = (rows["probability"] >= found.point.threshold) != (rows["label"] == "yes")
    off = np.where(rows["label"] == "yes", 1 - rows["probability"], rows["probability"])
    worst = rows.assign(off=off)[wrong].sort_values(["off", "path"], ascending=[False, True])
    return tuple(
        Failure.model_validate(row)
        for row in worst[["path", "split", "label", "probability"]]
        .head(MOST_FAILURES)
        .to_dict("records")
    )


def _images(found: Findings, split: Split) -> Images:
    rows = found.rows(split)
    counts = Counter(rows["label"])
    return Images(no=counts["no"], yes=counts["yes"], clusters=rows["cluster"].nunique())


def _data(found: Findings) -> Data:
    manifest = found.manifest
    return Data(
        source=found.origin,
        files=len(manifest),
        distinct=int(manifest["group"].nunique()),
        patients=int(found.validation["patients"]),
        formats={str(key): int(count) for key, count in manifest["format"].value_counts().items()},
        label_suspects=tuple(suspect_paths(manifest)),
        faults=_faults(found),
    )


def _faults(found: Findings) -> tuple[str, ...]:
    copies, patients = found.validation["duplicates"], found.validation["patients"]
    told = []
    if found.is_phantom:
        told.append(prose.PHANTOM)
    if copies["groups"]:
        told.append(
            f"{copies['files']} files lie in {copies['groups']} groups of copies or near-copies; "
            f"{copies['identical_files']} of them in {copies['identical_groups']} groups of "
            "identical bytes."
        )
    if not patients:
        told.append("Patients are not known: slices of one patient can lie in several splits.")
    kinds = Counter(_kind(one["reason"]) for one in found.validation["warnings"])
    told += [f"{count} files: {kind}." for kind, count in sorted(kinds.items()) if kind]
    if suspects := suspect_paths(found.manifest):
        told.append(
            f"{len(suspects)} images stand on a list of suspect labels that was drawn up by eye "
            "before any model; none is left out."
        )
    return tuple(told)


def _kind(reason: str) -> str:
    """What is wrong without the name of the other file; empty for copies, told already."""
    return "" if _PARTNER.match(reason) and "other class" not in reason else reason
