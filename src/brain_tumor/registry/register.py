"""Registering the model of the pipeline, and proving that the store has it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.errors import UserError
from brain_tumor.files import RESTORE, read_json
from brain_tumor.inference import bundle
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry import champion, versions
from brain_tumor.registry.champion import give_alias, judge, may_promote
from brain_tumor.registry.contest import CHALLENGER, CHAMPION, champion_of
from brain_tumor.registry.versions import RESTORED_TAG, run_of
from brain_tumor.settings import PreprocessParams, RegisterParams
from brain_tumor.tracking import connection
from brain_tumor.tracking.models import Version


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

    Args:
        outputs: the files of the stages.
        preprocess: section `preprocess`, stored with the model.
        params: section `register`.

    Raises:
        UserError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    promoting = may_promote()
    outputs.check()
    client = connection.connect()
    with tempfile.TemporaryDirectory() as temporary:
        folder, digest = make_bundle(Path(temporary), outputs, preprocess)
        version = versions.find_version(client, params.name, digest)
        if version is None or not versions.holds(version, outputs):
            version = make_version(folder, digest, outputs, params.name, restored=False)
    versions.renew_report(client, version, outputs)
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=promoting)
    champion.describe(client, version, alias, outcome.as_dict(), outputs)
    return Registered(
        name=version.name,
        version=version.number,
        alias=alias,
        run_id=version.run_id,
        digest=digest,
        decision=outcome.as_dict(),
    )


def make_bundle(
    temporary: Path, outputs: StageOutputs, preprocess: PreprocessParams
) -> tuple[Path, str]:
    """Collect what a model is loaded from in a folder; it and the digest of its content."""
    folder = temporary / "bundle"
    files = bundle.sources(outputs.model, outputs.model_json, outputs.atlas, outputs.export)
    bundle.write(folder, files, preprocess)
    return folder, bundle.digest(folder)


def make_version(
    folder: Path, digest: str, outputs: StageOutputs, name: str, *, restored: bool
) -> Version:
    """Make a bundle the next version, under the run that `outputs` names."""
    run = run_of(outputs)
    if restored:
        run.set_tags({RESTORED_TAG: "true"})
    return versions.make_version(run, name, digest, folder, outputs, restored=restored)


@dataclass(frozen=True)
class Synced:
    """What `sync` found or did."""

    uri: str
    aliases: tuple[str, ...]
    restored: bool


def sync(outputs: StageOutputs, preprocess: PreprocessParams, params: RegisterParams) -> Synced:
    """Make the store hold the model that registered.json names; changes no file.

    DVC brings registered.json back from its cache or a remote without touching the store. Where
    the store has no whole version of that digest, run and version are built again from the stage
    outputs, tagged `restored`. The rule for the alias is applied to it, and where the store has no
    champion. A second call does nothing. `BRAIN_TUMOR_PROMOTE=no` as in `register`.

    Args:
        outputs: the files of the stages.
        preprocess: section `preprocess`, as in params.yaml of that model.
        params: section `register`.

    Raises:
        UserError: a file is missing or does not belong to registered.json.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    wanted = read_json(outputs.registered, RESTORE)
    name, digest = str(wanted["name"]), str(wanted["digest"])
    params = params.model_copy(update={"name": name})
    client = connection.connect()
    found = versions.find_version(client, name, digest)
    promoting = may_promote()
    if found is not None and (champion_of(client, name) is not None or not promoting):
        return Synced(found.uri, found.aliases, restored=False)
    version = found or _restore(outputs, preprocess, name, digest)
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=promoting)
    champion.describe(client, version, alias, outcome.as_dict(), outputs)
    others = tuple(one for one in version.aliases if one not in (CHAMPION, CHALLENGER))
    return Synced(version.uri, (alias, *others), restored=found is None)


def _restore(
    outputs: StageOutputs, preprocess: PreprocessParams, name: str, digest: str
) -> Version:
    outputs.check()
    with tempfile.TemporaryDirectory() as temporary:
        folder, actual = make_bundle(Path(temporary), outputs, preprocess)
        if actual != digest:
            raise UserError(
                f"{outputs.registered} names digest {digest}, but {outputs.model} with the atlas "
                f"and params.yaml gives {actual}; run `dvc repro`, or `dvc checkout` the outputs "
                "that belong together"
            )
        return make_version(folder, digest, outputs, name, restored=True)
