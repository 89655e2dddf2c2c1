"""The report of a run, in Markdown: what changed, what came of it, what to look at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from brain_tumor.ci import sections
from brain_tumor.ci.facts import Facts
from brain_tumor.ci.tables import code, listing, number
from brain_tumor.tracking.wording import markdown_table


def render(facts: Facts, figures: Sequence[str] = ()) -> str:
    """The whole report.

    Args:
        facts: of the run.
        figures: paths of figures relative to the report, to be shown in it; none for a page that
            cannot show them (a comment, a job summary).
    """
    parts = [
        f"# {headline(facts)}",
        _compared(facts),
        _errors(facts),
        _model(facts),
        sections.data(facts),
        sections.drift(facts),
        sections.warnings(facts),
        sections.params(facts),
        sections.metrics(facts),
        sections.stages(facts),
        _figures(figures),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(facts: Facts) -> str:
    """What happened, in one line."""
    if facts.validation is not None and not facts.validation["ok"]:
        return "Stopped before training: the data do not pass validation; the champion stays"
    if not facts.complete or facts.registered is None:
        stopped = facts.unfinished[0] if facts.unfinished else "register"
        return f"Stopped: stage {stopped} did not finish; the champion stays"
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
    errors = [f"{code(fault['path'])}: {fault['reason']}" for fault in facts.validation["errors"]]
    unmet = [
        f"expectation not met: {expectation['name']} (observed: {expectation['observed']})"
        for expectation in facts.validation["expectations"]
        if not expectation["success"]
    ]
    return f"## What is wrong with the data\n\n{listing([*errors, *unmet])}"


def _model(facts: Facts) -> str:
    if not facts.complete or facts.registered is None:
        return ""
    decision = (facts.promotion or facts.registered)["decision"]
    lines = ["## Model", f"The rule's decision: {decision['reason']}."]
    rows = list(_pairs(decision))
    if rows:
        against = f"champion (version {decision['champion_version']})"
        lines += [
            "New model and champion on the same images, none of which either was trained on:",
            markdown_table(["images", "figure", against, "new", "images of the rarer class"], rows),
        ]
    return "\n\n".join(lines)


def _pairs(decision: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    for split in ("val", "test"):
        if not (pair := decision.get(split)):
            continue
        new, champion = pair["this"], pair["champion"]
        for key, name in (("metric", "`register.metric`"), ("log_loss", "log loss")):
            yield split, name, number(champion[key]), number(new[key]), new["images_per_class"]


def _figures(figures: Sequence[str]) -> str:
    if not figures:
        return ""
    shown = "\n\n".join(f"![{path.rsplit('/', 1)[-1]}]({path})" for path in figures)
    return f"## Figures\n\n{shown}"
