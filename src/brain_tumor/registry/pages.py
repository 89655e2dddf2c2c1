"""What MLflow's pages say of a registered model: on its run, its logged model and its version."""

from collections.abc import Mapping
from typing import Any

from brain_tumor.atomic import RESTORE, read_json
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.contest import CHAMPION
from brain_tumor.report.card import REGISTERED_REPORT_FILE, REPORT_FILE
from brain_tumor.tracking import models
from brain_tumor.tracking.models import Version
from brain_tumor.tracking.run import NOTE_TAG
from brain_tumor.tracking.runs import resume_run
from brain_tumor.tracking.wording import result_note

REGISTERED_TAG, DECISION_TAG = "registered", "promotion"
_LONGEST = 5000  # characters of a tag


def describe(
    client: Any, version: Version, alias: str, decision: Mapping[str, Any], outputs: StageOutputs
) -> None:
    """Say on every page of a version which it is, what came of it, and why it has its alias.

    Versions that had an alias and lost it are named anew.

    Args:
        client: of the store.
        version: the model of `outputs`.
        alias: that it was given now.
        decision: as registered.json has it.
        outputs: the files of the stages.
    """
    for other in models.versions(client, version.name):
        had = other.tags.get(DECISION_TAG, "").partition(":")[0]
        if had and other.number != version.number and had not in other.aliases:
            models.set_tags(client, other, {DECISION_TAG: f"formerly {had}"})
            _name(client, other, _title(other, other.aliases))
    reason = str(decision["reason"])
    models.set_tags(client, version, {DECISION_TAG: f"{alias}: {reason}"[:_LONGEST]})
    _name(client, version, _title(version, (alias,)))
    place = f"#/models/{version.name}/versions/{version.number}"
    page = f"[{version.name} version {version.number}]({place})"
    became = f"became `@{alias}`: {reason}."
    metrics = read_json(outputs.metrics, RESTORE)
    own = result_note(metrics, f"Registered as {page}, it {became}")
    run = resume_run(version.run_id)
    if run is not None:
        run.describe(None, own)
        # Without the pictures: a store may be shared with people who may not see the images.
        page_text = (outputs.report / REGISTERED_REPORT_FILE).read_text(encoding="utf-8")
        run.log_text(page_text, REPORT_FILE)
    client.set_logged_model_tags(version.model_id, {NOTE_TAG: own})
    link = _run_link(client, version)
    models.describe_version(client, version, result_note(metrics, f"It {became} {link}"))
    if alias == CHAMPION:
        text = result_note(metrics, f"The champion is {page}. It {became} {link}")
        models.describe_model(client, version.name, text)


def _title(version: Version, aliases: tuple[str, ...]) -> str:
    names = ", ".join(f"@{alias}" for alias in sorted(aliases)) or "no alias"
    return f"{version.name} version {version.number} ({names})"


def _name(client: Any, version: Version, title: str) -> None:
    """Tag run and logged model with the version they are registered as."""
    run = resume_run(version.run_id) if version.run_id else None
    if run is not None:
        run.set_tags({REGISTERED_TAG: title})
    if version.model_id:
        client.set_logged_model_tags(version.model_id, {REGISTERED_TAG: title})


def _run_link(client: Any, version: Version) -> str:
    run = resume_run(version.run_id)
    if run is None:
        return "The store does not know the run of the training."
    info = client.get_run(version.run_id).info
    name = info.run_name or version.run_id
    place = f"#/experiments/{info.experiment_id}/runs/{info.run_id}"
    return f"Run of the training: [{name}]({place})."
