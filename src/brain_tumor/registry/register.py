"""Register the model of the stage outputs, and mend a store that does not have it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.imaging.preprocess_params import PreprocessParams
from brain_tumor.inference import bundle
from brain_tumor.registry import versions
from brain_tumor.registry.contest import champion_of, contest
from brain_tumor.registry.outputs import OutputsError, StageOutputs, read_json
from brain_tumor.registry.params import RegisterParams
from brain_tumor.registry.rebuild import RESTORED_TAG, run_of
from brain_tumor.tracking import lineage, models, store
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


@dataclass(frozen=True)
class Synced:
    """What `sync` found or did."""

    uri: str
    aliases: tuple[str, ...]
    restored: bool


def register(
    outputs: StageOutputs, preprocess: PreprocessParams, params: RegisterParams
) -> Registered:
    """Make the model a version of the registered model and give it the alias it earns.

    A model that is registered already (same digest, same figures) gets no second version. The
    alias is set last, so what is interrupted is done again and not taken for finished.

    Args:
        outputs: the files of the stages.
        preprocess: section `preprocess`, stored with the model.
        params: section `register`.

    Raises:
        OutputsError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    outputs.check()
    client = store.connect()
    with tempfile.TemporaryDirectory() as temporary:
        folder, digest = _bundle(Path(temporary), outputs, preprocess)
        version = versions.find_version(client, params.name, digest)
        if version is None or version.tags.get("md5.metrics") != lineage.md5(outputs.metrics):
            version = _make(folder, digest, outputs, params.name, restored=False)
    outcome = contest(client, version, outputs, params)
    models.set_alias(client, version, outcome.decision.alias)
    return Registered(
        name=version.name,
        version=version.number,
        alias=outcome.decision.alias,
        run_id=version.run_id,
        digest=digest,
        decision=outcome.as_dict(),
    )


def sync(outputs: StageOutputs, preprocess: PreprocessParams, params: RegisterParams) -> Synced:
    """Make the store hold the model that registered.json names; changes no file.

    DVC brings registered.json back from its cache or a remote without touching the store. Where
    the store has no whole version of that digest, run and version are built again from the stage
    outputs, tagged `restored`, and the rule for the alias is applied; otherwise only a missing
    champion is set. A second call does nothing.

    Args:
        outputs: the files of the stages.
        preprocess: section `preprocess`, as in params.yaml of that model.
        params: section `register`.

    Raises:
        OutputsError: a file is missing or does not belong to registered.json.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    wanted = read_json(outputs.registered)
    name, digest = str(wanted["name"]), str(wanted["digest"])
    params = params.model_copy(update={"name": name})
    client = store.connect()
    found = versions.find_version(client, name, digest)
    if found is not None and champion_of(client, name) is not None:
        return Synced(found.uri, found.aliases, restored=False)
    if found is not None:
        models.set_alias(client, found, "champion")
        return Synced(found.uri, ("champion", *found.aliases), restored=False)
    version = _restore(outputs, preprocess, name, digest)
    alias = contest(client, version, outputs, params).decision.alias
    models.set_alias(client, version, alias)
    return Synced(version.uri, (alias,), restored=True)


def _restore(
    outputs: StageOutputs, preprocess: PreprocessParams, name: str, digest: str
) -> Version:
    outputs.check()
    with tempfile.TemporaryDirectory() as temporary:
        folder, actual = _bundle(Path(temporary), outputs, preprocess)
        if actual != digest:
            raise OutputsError(
                f"{outputs.registered} names digest {digest}, but {outputs.model} with the atlas "
                f"and params.yaml gives {actual}; run `dvc repro`, or `dvc checkout` the outputs "
                "that belong together"
            )
        return _make(folder, digest, outputs, name, restored=True)


def _bundle(
    temporary: Path, outputs: StageOutputs, preprocess: PreprocessParams
) -> tuple[Path, str]:
    folder = temporary / "bundle"
    bundle.write(folder, outputs.model, outputs.model_json, outputs.atlas, preprocess)
    return folder, bundle.digest(folder)


def _make(
    folder: Path, digest: str, outputs: StageOutputs, name: str, *, restored: bool
) -> Version:
    run = run_of(outputs)
    if restored:
        run.set_tags({RESTORED_TAG: "true"})
    return versions.make_version(run, name, digest, folder, outputs, restored=restored)
