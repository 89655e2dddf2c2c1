"""Registering the model of the pipeline, and giving a version the alias it earned."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.errors import UserError
from brain_tumor.files import RESTORE, read_json
from brain_tumor.inference import bundle
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry import versions
from brain_tumor.registry.contest import CHALLENGER, CHAMPION, ContestResult, champion_of, contest
from brain_tumor.registry.versions import RESTORED_TAG, run_of
from brain_tumor.report.card import REGISTERED_REPORT_FILE, REPORT_FILE
from brain_tumor.settings import PreprocessParams, RegisterParams
from brain_tumor.tracking import connection, models
from brain_tumor.tracking.models import Version
from brain_tumor.tracking.runs import NOTE_TAG, result_note, resume_run

REGISTERED_TAG, DECISION_TAG = "registered", "promotion"
PROMOTE_VARIABLE = "BRAIN_TUMOR_PROMOTE"
_LONGEST = 5000  # characters of a tag
_CONTESTS = 5  # a contest takes seconds to minutes, and promotions are rare


@dataclass(frozen=True)
class Registered:
    """What registered.json holds."""

    name: str
    version: str
    alias: str | None
    run_id: str
    digest: str
    decision: dict[str, Any]


def register(
    outputs: StageOutputs, preprocess: PreprocessParams, params: RegisterParams
) -> Registered:
    """Make the model a version of the registered model and give it the alias it earns.

    A model that is registered already (same digest, figures and profile) gets no second version,
    but a report made since.
    The alias is set last, so what is interrupted is done again and not taken for finished. With
    `BRAIN_TUMOR_PROMOTE=no` (in CI) a new model is @challenger, whatever it earned.

    Raises:
        UserError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    promoting = may_promote()
    outputs.check()
    client = connection.connect()
    with tempfile.TemporaryDirectory() as temporary:
        folder, digest = _make_bundle(Path(temporary), outputs, preprocess)
        version = versions.find_version(client, params.name, digest)
        if version is None or not versions.holds(version, outputs):
            run = run_of(outputs)
            version = versions.make_version(
                run, params.name, digest, folder, outputs, restored=False
            )
    versions.renew_report(client, version, outputs)
    alias, decision = _award(client, version, outputs, params, promoting=promoting)
    return Registered(version.name, version.number, alias, version.run_id, digest, decision)


@dataclass(frozen=True)
class Synced:
    """The version that `sync` found or made."""

    uri: str
    aliases: tuple[str, ...]
    restored: bool


def sync(outputs: StageOutputs, preprocess: PreprocessParams, params: RegisterParams) -> Synced:
    """Make the store hold the model that registered.json names; changes no file.

    DVC brings registered.json back from its cache or a remote without touching the store. Where
    the store has no whole version of that digest, run and version are built again from the stage
    outputs, tagged `restored`. The rule for the alias is applied to it, and where the store has no
    champion. A second call does nothing. `BRAIN_TUMOR_PROMOTE=no` as in `register`.

    Raises:
        UserError: a file is missing or does not belong to registered.json.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    registered = read_json(outputs.registered, RESTORE)
    name, digest = str(registered["name"]), str(registered["digest"])
    params = params.model_copy(update={"name": name})
    client = connection.connect()
    present = versions.find_version(client, name, digest)
    promoting = may_promote()
    if present is not None and (champion_of(client, name) is not None or not promoting):
        return Synced(present.uri, present.aliases, restored=False)
    version = present or _restore(outputs, preprocess, name, digest)
    alias, _ = _award(client, version, outputs, params, promoting=promoting)
    others = tuple(other for other in version.aliases if other not in (CHAMPION, CHALLENGER))
    return Synced(version.uri, (alias, *others), restored=present is None)


def _restore(
    outputs: StageOutputs, preprocess: PreprocessParams, name: str, digest: str
) -> Version:
    outputs.check()
    with tempfile.TemporaryDirectory() as temporary:
        folder, actual = _make_bundle(Path(temporary), outputs, preprocess)
        if actual != digest:
            raise UserError(
                f"{outputs.registered} names digest {digest}, but {outputs.model} with this code "
                f"and params.yaml gives {actual}; run `dvc repro`, or `dvc checkout` the outputs "
                "that belong together"
            )
        run = run_of(outputs)
        run.set_tags({RESTORED_TAG: "true"})
        return versions.make_version(run, name, digest, folder, outputs, restored=True)


def _make_bundle(
    temporary: Path, outputs: StageOutputs, preprocess: PreprocessParams
) -> tuple[Path, str]:
    """Collect what a model is loaded from in a folder; it and the digest of its content."""
    folder = temporary / "bundle"
    files = bundle.sources(outputs.model, outputs.model_json, outputs.export)
    return folder, bundle.write(folder, files, preprocess)


@dataclass(frozen=True)
class Promotion:
    """What `promote` decided: the model's version, its alias, and the figures behind it."""

    uri: str
    alias: str
    decision: dict[str, Any]


def promote(outputs: StageOutputs, params: RegisterParams) -> Promotion:
    """Apply the rule to the model that registered.json names and the champion of now.

    A second call changes nothing. `register.force` makes it the champion whatever the rule says,
    which is how an older model is brought back.

    Raises:
        UserError: the store does not have the model, or a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    registered = read_json(outputs.registered, RESTORE)
    params = params.model_copy(update={"name": str(registered["name"])})
    client = connection.connect()
    version = versions.find_version(client, params.name, str(registered["digest"]))
    if version is None:
        raise UserError(
            f"{outputs.registered}: the store has no version of {params.name} with digest "
            f"{registered['digest']}; run `brain-tumor registry sync`"
        )
    alias, decision = _award(client, version, outputs, params, promoting=True)
    return Promotion(version.uri, alias, decision)


def may_promote() -> bool:
    """Whether registering may also make a champion: not with `BRAIN_TUMOR_PROMOTE=no`.

    Raises:
        UserError: `BRAIN_TUMOR_PROMOTE` is neither `yes` nor `no`.
    """
    value = os.environ.get(PROMOTE_VARIABLE) or "yes"
    if value not in ("yes", "no"):
        raise UserError(f"{PROMOTE_VARIABLE} is {value!r}: set it to yes or no")
    return value == "yes"


def _award(
    client: Any, version: Version, outputs: StageOutputs, params: RegisterParams, *, promoting: bool
) -> tuple[str, dict[str, Any]]:
    """Hold the contest, give the version its alias, and say so in MLflow.

    A champion of long standing stays one where nothing may be promoted.

    Returns:
        The alias, and the decision as registered.json has it.
    """
    decision = judge(client, version, outputs, params).as_dict()
    keeps = promoting or CHAMPION in version.aliases
    alias = str(decision["alias"]) if keeps else CHALLENGER
    client.set_registered_model_alias(version.name, alias, version.number)
    if alias == CHAMPION and CHALLENGER in version.aliases:
        client.delete_registered_model_alias(version.name, CHALLENGER)
    _describe(client, version, alias, str(decision["reason"]), outputs)
    return alias, decision


def judge(
    client: Any, version: Version, outputs: StageOutputs, params: RegisterParams
) -> ContestResult:
    """Hold the contest, again if the champion changed meanwhile: others may promote as well.

    Raises:
        UserError: the champion changed during each of `_CONTESTS` contests.
    """
    for _ in range(_CONTESTS):
        before = champion_of(client, params.name)
        result = contest(client, version, outputs, params)
        after = champion_of(client, params.name)
        if (before and before.number) == (after and after.number):
            return result
    raise UserError(
        f"{params.name}: its champion changed during each of {_CONTESTS} contests with "
        f"{version.uri}; stop what else promotes models, then run the same command again"
    )


def _describe(
    client: Any, version: Version, alias: str, reason: str, outputs: StageOutputs
) -> None:
    """Say on every page of a version which it is, what came of it, and why it has its alias.

    Versions that had an alias and lost it are named anew.
    """
    for other in models.versions(client, version.name):
        former = other.tags.get(DECISION_TAG, "").partition(":")[0]
        if former and other.number != version.number and former not in other.aliases:
            models.set_tags(client, other, {DECISION_TAG: f"formerly {former}"})
            _name(client, other, other.aliases)
    models.set_tags(client, version, {DECISION_TAG: f"{alias}: {reason}"[:_LONGEST]})
    _name(client, version, (alias,))
    place = f"#/models/{version.name}/versions/{version.number}"
    page = f"[{version.name} version {version.number}]({place})"
    became = f"became `@{alias}`: {reason}."
    metrics = read_json(outputs.metrics, RESTORE)
    own = result_note(metrics, f"Registered as {page}, it {became}")
    link = "The store does not know the run of the training."
    run = resume_run(version.run_id)
    if run is not None:
        run.describe(None, own)
        # Without the pictures: a store may be shared with people who may not see the images.
        page_text = (outputs.report / REGISTERED_REPORT_FILE).read_text(encoding="utf-8")
        run.log_text(page_text, REPORT_FILE)
        info = client.get_run(version.run_id).info
        place = f"#/experiments/{info.experiment_id}/runs/{info.run_id}"
        link = f"Run of the training: [{info.run_name or version.run_id}]({place})."
    client.set_logged_model_tags(version.model_id, {NOTE_TAG: own})
    note = result_note(metrics, f"It {became} {link}")
    client.update_model_version(version.name, version.number, note)
    if alias == CHAMPION:
        text = result_note(metrics, f"The champion is {page}. It {became} {link}")
        client.update_registered_model(version.name, text)


def _name(client: Any, version: Version, aliases: tuple[str, ...]) -> None:
    """Tag run and logged model with the version they are registered as."""
    names = ", ".join(f"@{alias}" for alias in sorted(aliases)) or "no alias"
    tags = {REGISTERED_TAG: f"{version.name} version {version.number} ({names})"}
    run = resume_run(version.run_id) if version.run_id else None
    if run is not None:
        run.set_tags(tags)
    if version.model_id:
        client.set_logged_model_tags(version.model_id, tags)
