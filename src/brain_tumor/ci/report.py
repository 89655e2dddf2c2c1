"""The report of a retraining in CI, as Markdown."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_tumor.ci.facts import Facts
from brain_tumor.escaping import code, markdown
from brain_tumor.figure_text import IN_BRACKETS, figure_label, markdown_table, with_interval
from brain_tumor.files import write_text

MOST_LISTED = 20


def listing(items: Sequence[str]) -> str:
    """A list of at most 20 items, and how many more there are."""
    lines = [f"- {item}" for item in items[:MOST_LISTED]]
    if len(items) > MOST_LISTED:
        lines.append(f"- ... and {len(items) - MOST_LISTED} more")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Three decimals for figures around 1, else four significant digits; None is empty."""
    if value is None:
        return ""
    return f"{value:.3f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.4g}"


_FIGURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss")


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
        f"{code(path)}: {markdown(reason)}"
        for path, reason in all_warnings
        if (path, reason) not in facts.known_warnings
    ]
    left_out = [_remark(row) for row in facts.validation["excluded"]]
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
        (code(name), *("" if value is None else _parameter(value) for value in change))
        for name, change in sorted(facts.params.items())
    ]
    return "## Parameters\n\n" + (
        markdown_table(["parameter", "base", "now"], rows) or "None changed."
    )


def _remark(row: Mapping[str, str]) -> str:
    return f"{code(row['path'])}: {markdown(row['reason'])}"


def _parameter(value: object) -> str:
    return markdown(json.dumps(value, ensure_ascii=False).strip('"'))


def metrics(facts: Facts) -> str:
    """Figures of validation and test, base and now."""
    if not facts.complete:
        return ""
    rows = [
        (split, figure_label(figure), *_with_interval(facts, f"{split}.{figure}"))
        for split in ("val", "test")
        for figure in _FIGURES
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
    states = dict.fromkeys(facts.stages, "unchanged")
    states |= dict.fromkeys(facts.rerun & states.keys(), "new result")
    states |= dict.fromkeys(facts.unfinished, "not finished")
    rows = [(code(stage), state) for stage, state in states.items()]
    return "## Stages\n\n" + markdown_table(["stage", "against the base"], rows)


def render(facts: Facts, figures: Sequence[str] = ()) -> str:
    """The whole report; `figures`: paths, relative to it, of those that are shown in it."""
    images = "\n\n".join(f"![{path.rsplit('/', 1)[-1]}]({path})" for path in figures)
    parts = [
        f"# {headline(facts)}",
        _compared(facts),
        _errors(facts),
        _model(facts),
        data(facts),
        drift(facts),
        warnings(facts),
        params(facts),
        metrics(facts),
        stages(facts),
        f"## Figures\n\n{images}" if images else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(facts: Facts) -> str:
    """What happened, in one line."""
    if facts.validation is not None and not facts.validation["ok"]:
        return "Stopped before training: the data do not pass validation; the champion stays"
    if not facts.complete or facts.registered is None:
        stopped = facts.unfinished[0] if facts.unfinished else "register"
        return f"Stopped: stage {markdown(stopped)} did not finish; the champion stays"
    uri = f"{facts.registered['name']} version {facts.registered['version']}"
    if facts.failed:
        return f"The pipeline ended with {uri}, but a step after it failed: see the log"
    if facts.promotion is not None:
        return _promoted(facts.promotion)
    if facts.registered["alias"] == "champion":
        return f"{uri} is @champion"
    decision = facts.registered["decision"]
    if decision["champion_version"] is None:
        return f"{uri} is registered; no champion can be seen from here to compare it with"
    would = decision.get("alias") == "champion"
    return f"{uri} {'would become' if would else 'would not become'} @champion"


def _promoted(promotion: Mapping[str, Any]) -> str:
    """What the rule made of the model."""
    name = promotion["uri"].removeprefix("models:/").replace("/", " version ")
    if promotion["alias"] == "champion":
        return f"{name} is @champion"
    if promotion["decision"].get("guesses"):
        return f"{name} waits as @challenger: there is no champion"
    return f"The champion stays; {name} waits"


def _compared(facts: Facts) -> str:
    base = f"compared with {code(facts.base[:10])}" if facts.base else "nothing to compare with"
    store = (
        "Runs and models are on the MLflow server."
        if facts.server
        else "No MLflow server is set: runs and models are in the artifact `mlflow-store` of the "
        "run, which ends with the artifact's retention, and only main's is carried on "
        "(docs/retraining.md)."
    )
    return f"Commit {code(facts.commit[:10])}, {base}. {store} Research only, not for diagnosis."


def _errors(facts: Facts) -> str:
    if facts.validation is None or facts.validation["ok"]:
        return ""
    errors = [_remark(row) for row in facts.validation["errors"]]
    unmet = [
        f"expectation not met: {markdown(_of(expectation))}"
        for expectation in facts.validation["expectations"]
        if not expectation["success"] and expectation.get("severity") != "warning"
    ]
    return f"## What is wrong with the data\n\n{listing([*errors, *unmet])}"


def _of(expectation: Mapping[str, Any]) -> str:
    return f"{expectation['name']} (observed: {expectation['observed']})"


def _model(facts: Facts) -> str:
    if not facts.complete or facts.registered is None:
        return ""
    decision = (facts.promotion or facts.registered)["decision"]
    lines = ["## Model", f"The rule's decision: {decision['reason']}."]
    rows = [
        (split, name, number(pair["champion"][key]), number(pair["this"][key]),
         pair["this"]["images_per_class"])
        for split in ("val", "test")
        if (pair := decision.get(split))
        for key, name in (("metric", "`register.metric`"), ("log_loss", "log loss"))
    ]  # fmt: skip
    if rows:
        against = f"champion (version {decision['champion_version']})"
        lines += [
            "New model and champion on the same images, none of which either was trained on:",
            markdown_table(["images", "figure", against, "new", "images of the rarer class"], rows),
        ]
    return "\n\n".join(lines)


SHOWN = ("outputs/evaluate", "outputs/train/figures", "outputs/tuning/figures")
"""Where the figures come from; none of them shows an image of a patient."""


def write_report(facts: Facts, folder: Path) -> None:
    """Write report.md, which shows the figures in figures/, and summary.md, which shows none.

    Figures of stages that did not run to their end are left out.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    if facts.complete:
        for source in SHOWN:
            for file in sorted(Path(source).glob("*.png")):
                shutil.copyfile(file, figures / f"{Path(source).parts[1]}_{file.name}")
    paths = [f"figures/{file.name}" for file in sorted(figures.glob("*.png"))]
    write_text(folder / "report.md", render(facts, paths))
    write_text(folder / "summary.md", render(facts))


def write_failure(reason: str, folder: Path) -> None:
    """Write report.md and summary.md of a run of which nothing else can be told."""
    page = f"# Stopped: nothing else can be told of this run\n\n{code(' '.join(reason.split()))}\n"
    for name in ("report.md", "summary.md"):
        write_text(folder / name, page)
