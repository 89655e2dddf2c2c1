"""Sections of the report that compare the run with its base."""

import json
from typing import Any

from brain_tumor.ci.facts import Facts
from brain_tumor.ci.tables import code, listing, number
from brain_tumor.figure_text import IN_BRACKETS, with_interval
from brain_tumor.tracking.wording import markdown_table

_FIGURES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "auroc": "AUROC",
    "log_loss": "log loss",
}


def data(facts: Facts) -> str:
    """How the images differ from the base's."""
    if facts.data is None:
        return "## Data\n\nThe images of the base are not to be had here: not compared."
    if facts.data.is_empty:
        return "## Data\n\nThe images are those of the base."
    before, after = facts.data.before, facts.data.after
    rows = [(code(f"{name}/"), before.get(name, 0), after[name]) for name in after]
    parts = ["## Data", markdown_table(["class folder", "images before", "images now"], rows)]
    lists: dict[str, list[str]] = {
        "added": [code(path) for path in facts.data.added],
        "removed": [code(path) for path in facts.data.removed],
        "relabelled": [f"{code(old)} is now {code(new)}" for old, new in facts.data.relabelled],
        "renamed": [f"{code(old)} is now {code(new)}" for old, new in facts.data.renamed],
        "replaced by another image": [code(path) for path in facts.data.changed],
        "other files that differ": [code(path) for path in facts.data.other],
    }
    for name, items in lists.items():
        if items:
            parts.append(f"**{len(items)} {name}**\n\n{listing(items)}")
    return "\n\n".join(parts)


def drift(facts: Facts) -> str:
    """How the new images differ from those the champion knows."""
    if not facts.complete:
        return ""
    if facts.drift is None:
        return "## Drift\n\nNot measured (`brain-tumor data drift --json report/drift.json`)."
    drift = facts.drift
    count = f"{drift['images']['new']} images are new to the champion"
    against = f" ({drift['champion']})" if drift["champion"] else ""
    warnings = [f"**Warning**: {warning}" for warning in drift["warnings"]]
    listed = listing(warnings) or "No warning."
    note = f"\n\n{drift['note']}" if drift["note"] else ""
    return f"## Drift\n\n{count}{against}.{note}\n\n{listed}"


def warnings(facts: Facts) -> str:
    """What validation warns of, what is new among it, and what is left out."""
    if facts.validation is None:
        return ""
    all_warnings = [(row["path"], row["reason"]) for row in facts.validation["warnings"]]
    new = [
        f"{code(path)}: {reason}"
        for path, reason in all_warnings
        if (path, reason) not in facts.known_warnings
    ]
    left_out = [f"{code(row['path'])}: {row['reason']}" for row in facts.validation["excluded"]]
    parts = [f"## Validation warnings\n\n{len(all_warnings)} in all, {len(new)} of them new."]
    if new:
        parts.append(listing(new))
    if left_out:
        parts.append(f"**{len(left_out)} left out by `validate.exclude`**\n\n{listing(left_out)}")
    return "\n\n".join(parts)


def params(facts: Facts) -> str:
    """Parameters that differ."""
    if facts.params is None:
        return "## Parameters\n\nThey could not be compared."
    rows = [
        (code(name), _text(old), _text(new)) for name, (old, new) in sorted(facts.params.items())
    ]
    return "## Parameters\n\n" + (
        markdown_table(["parameter", "base", "now"], rows) or "None changed."
    )


def _text(value: Any) -> str:
    """A parameter as params.yaml has it; empty where there is none."""
    return "" if value is None else json.dumps(value).strip('"')


def metrics(facts: Facts) -> str:
    """Figures of validation and test, base and now."""
    if not facts.complete:
        return ""
    rows = [
        (split, name, *_with_interval(facts, f"{split}.{figure}"))
        for split in ("val", "test")
        for figure, name in _FIGURES.items()
        if f"{split}.{figure}" in facts.metrics
    ]
    note = (
        "Brackets: 95 % intervals. Validation figures are optimistic: training and tuning "
        "went by them."
    )
    if facts.data is None or not facts.data.is_empty:
        note += (
            " The images differ from the base's, so these columns do not compare like with like; "
            "section Model does."
        )
    table = markdown_table(["images", "figure", "base", "now", "change"], rows)
    return f"## Metrics\n\n{table}\n\n{note}"


def _with_interval(facts: Facts, name: str) -> tuple[str, str, str]:
    old, new = facts.metrics[name]
    low, high = facts.metrics.get(f"{name}.low"), facts.metrics.get(f"{name}.high")
    ends = zip(low or (None, None), high or (None, None), strict=True)
    texts = [
        "" if value is None else with_interval(value, *end, number=number, form=IN_BRACKETS)
        for value, end in zip((old, new), ends, strict=True)
    ]
    change = "" if old is None or new is None else f"{new - old:+.3f}"
    return texts[0], texts[1], change


def stages(facts: Facts) -> str:
    """Which stages have a new result."""
    rows = [(code(stage), _state(facts, stage)) for stage in facts.stages]
    return "## Stages\n\n" + markdown_table(["stage", "against the base"], rows)


def _state(facts: Facts, stage: str) -> str:
    if stage in facts.unfinished:
        return "not finished"
    return "new result" if stage in facts.rerun else "unchanged"
