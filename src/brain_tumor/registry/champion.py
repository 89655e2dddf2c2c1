"""Who is champion: judging a version, giving it its alias, and saying so in MLflow."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from brain_tumor.errors import UserError
from brain_tumor.files import RESTORE, read_json
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry import versions
from brain_tumor.registry.contest import CHALLENGER, CHAMPION, Outcome, champion_of, contest
from brain_tumor.report.card import REGISTERED_REPORT_FILE, REPORT_FILE
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking import connection, models
from brain_tumor.tracking.models import Version
from brain_tumor.tracking.runs import NOTE_TAG, resume_run
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


PROMOTE_VARIABLE = "BRAIN_TUMOR_PROMOTE"
_CONTESTS = 5  # a contest takes seconds to minutes, and promotions are rare


@dataclass(frozen=True)
class Promotion:
    """What `promote` decided: the model's version, its alias, and the figures behind it."""

    uri: str
    alias: str
    decision: dict[str, Any]


def promote(outputs: StageOutputs, params: RegisterParams) -> Promotion:
    """Apply the rule to the registered model of the outputs and the champion of now.

    A second call changes nothing. `register.force` makes it the champion whatever the rule says,
    which is how an older model is brought back.

    Args:
        outputs: the files of the stages; registered.json says which model.
        params: section `register`.

    Raises:
        UserError: the store does not have the model.
        UserError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    wanted = read_json(outputs.registered, RESTORE)
    params = params.model_copy(update={"name": str(wanted["name"])})
    client = connection.connect()
    version = versions.find_version(client, params.name, str(wanted["digest"]))
    if version is None:
        raise UserError(
            f"{outputs.registered}: the store has no version of {params.name} with digest "
            f"{wanted['digest']}; run `brain-tumor registry sync`"
        )
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=True)
    describe(client, version, alias, outcome.as_dict(), outputs)
    return Promotion(version.uri, alias, outcome.as_dict())


def judge(client: Any, version: Version, outputs: StageOutputs, params: RegisterParams) -> Outcome:
    """Hold the contest, again if the champion changed meanwhile: others may promote as well.

    Raises:
        UserError: the champion changed during each of `_CONTESTS` contests.
    """
    for _ in range(_CONTESTS):
        before = _champion(client, params.name)
        outcome = contest(client, version, outputs, params)
        if _champion(client, params.name) == before:
            return outcome
    raise UserError(
        f"{params.name}: its champion changed during each of {_CONTESTS} contests with "
        f"{version.uri}; stop what else promotes models, then run the same command again"
    )


def _champion(client: Any, name: str) -> str | None:
    holder = champion_of(client, name)
    return holder.number if holder else None


def may_promote() -> bool:
    """Whether registering may also make a champion: not with `BRAIN_TUMOR_PROMOTE=no`.

    Raises:
        UserError: `BRAIN_TUMOR_PROMOTE` is neither `yes` nor `no`.
    """
    given = os.environ.get(PROMOTE_VARIABLE) or "yes"
    if given not in ("yes", "no"):
        raise UserError(f"{PROMOTE_VARIABLE} is {given!r}: set it to yes or no")
    return given == "yes"


def give_alias(client: Any, version: Version, earned: str, *, may_promote: bool) -> str:
    """Give a version the alias it earned; a champion of long standing stays one."""
    alias = earned if may_promote or CHAMPION in version.aliases else CHALLENGER
    models.set_alias(client, version, alias)
    if alias == CHAMPION and CHALLENGER in version.aliases:
        models.drop_alias(client, version, CHALLENGER)
    return alias
