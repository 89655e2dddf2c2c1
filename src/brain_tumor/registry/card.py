"""The model card: facts as JSON for machines, the same as Markdown for people."""

from collections.abc import Mapping
from typing import Any

INTENDED_USE = "Research only. Not for diagnosis, triage or any clinical decision."
_LIMITS = (
    "Single slices, read one at a time; no volume, no history, no report.",
    "Figures on validation are optimistic: training stopped by them.",
    "Test images come from the same collection as the training images; other scanners, sequences "
    "and hospitals can differ much.",
    "The probability means a tumour is visible in this slice, among images like these.",
)


def card_facts(
    meta: Mapping[str, Any],
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]],
    images: Mapping[str, Mapping[str, int]],
    lineage: Mapping[str, str],
    digest: str,
) -> dict[str, Any]:
    """All facts of a card, as data.

    Args:
        meta: the model's description (model.json).
        metrics: split to figure to value, low, high (metrics.json).
        images: split to class to number of images.
        lineage: tags of the run: commit, data, files read.
        digest: of the model.
    """
    temperature = meta.get("temperature")
    return {
        "intended_use": INTENDED_USE,
        "input": "one file a row (JPEG, PNG, BMP, TIFF, DICOM, NIfTI): its bytes in the column "
        "`image`, or its name in `path`; parameters `engine` (keras or fast) and `slices`",
        "output": {
            "probability": "of a tumour, 0 to 1" + ("" if temperature is None else ", calibrated"),
            "label": "`yes` from the threshold up, else `no`",
            "threshold": meta["threshold"],
            "temperature": "none: not calibrated" if temperature is None else temperature,
            "out_of_distribution": "the slice is unlike the training images (`ood_score` above "
            "1): its probability means little",
            "rows": "a row per slice; `input` and `slice` say which of what",
        },
        "model": dict(meta),
        "images": {split: dict(counts) for split, counts in images.items()},
        "metrics": {split: dict(figures) for split, figures in metrics.items()},
        "lineage": dict(lineage),
        "digest": digest,
        "limits": list(_LIMITS),
    }


def card_markdown(name: str, facts: Mapping[str, Any]) -> str:
    """The card for people."""
    sections = [
        f"# {name}",
        f"**{facts['intended_use']}**",
        "A classifier of brain MRI slices: probability that a slice shows a tumour.",
        "## Input and output\n\n"
        + _table(("", ""), [("input", facts["input"]), *_items(facts["output"])]),
        "## Network\n\n" + _table(("", ""), _items(facts["model"])),
        "## Images\n\n" + _images(facts["images"]),
        "## Figures with 95 % intervals\n\n" + _figures(facts["metrics"]),
        "## Lineage\n\n"
        + _table(("", ""), [*_items(facts["lineage"]), ("digest", facts["digest"])]),
        "## Limits\n\n" + "\n".join(f"- {limit}" for limit in facts["limits"]),
    ]
    return "\n\n".join(sections) + "\n"


def short_description(facts: Mapping[str, Any]) -> str:
    """A few lines for the page of the version."""
    test = facts["metrics"].get("test", {})
    figures = ", ".join(
        f"{key} {_interval(test[key])}" for key in ("accuracy", "auroc") if key in test
    )
    weights = facts["model"]["initial_weights"]
    return f"{facts['intended_use']} Initial weights: {weights}. Test: {figures or 'no figures'}."


def _images(images: Mapping[str, Mapping[str, int]]) -> str:
    rows = [(split, counts["no"], counts["yes"]) for split, counts in images.items()]
    return _table(("split", "no", "yes"), rows)


def _figures(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    splits = list(metrics)
    names = list(dict.fromkeys(name for split in splits for name in metrics[split]))
    rows = [
        (
            name,
            *(
                _interval(metrics[split][name]) if name in metrics[split] else ""
                for split in splits
            ),
        )
        for name in names
    ]
    return _table(("figure", *splits), rows)


def _interval(figure: Mapping[str, float]) -> str:
    value = f"{figure['value']:.3f}"
    if "low" not in figure or "high" not in figure:
        return value
    return f"{value} ({figure['low']:.3f} to {figure['high']:.3f})"


def _items(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(values.items())


def _table(head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
