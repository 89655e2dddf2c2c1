"""Mend a store that does not have the model of the stage outputs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from brain_tumor.atomic import RESTORE, read_json
from brain_tumor.outputs import OutputsError, StageOutputs
from brain_tumor.registry import pages, versions
from brain_tumor.registry.champion import give_alias, judge, may_promote
from brain_tumor.registry.contest import CHALLENGER, CHAMPION, champion_of
from brain_tumor.registry.register import make_bundle, make_version
from brain_tumor.settings import PreprocessParams, RegisterParams
from brain_tumor.tracking import store
from brain_tumor.tracking.models import Version


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
        OutputsError: a file is missing or does not belong to registered.json.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    wanted = read_json(outputs.registered, RESTORE)
    name, digest = str(wanted["name"]), str(wanted["digest"])
    params = params.model_copy(update={"name": name})
    client = store.connect()
    found = versions.find_version(client, name, digest)
    promoting = may_promote()
    if found is not None and (champion_of(client, name) is not None or not promoting):
        return Synced(found.uri, found.aliases, restored=False)
    version = found or _restore(outputs, preprocess, name, digest)
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=promoting)
    pages.describe(client, version, alias, outcome.as_dict(), outputs)
    others = tuple(one for one in version.aliases if one not in (CHAMPION, CHALLENGER))
    return Synced(version.uri, (alias, *others), restored=found is None)


def _restore(
    outputs: StageOutputs, preprocess: PreprocessParams, name: str, digest: str
) -> Version:
    outputs.check()
    with tempfile.TemporaryDirectory() as temporary:
        folder, actual = make_bundle(Path(temporary), outputs, preprocess)
        if actual != digest:
            raise OutputsError(
                f"{outputs.registered} names digest {digest}, but {outputs.model} with the atlas "
                f"and params.yaml gives {actual}; run `dvc repro`, or `dvc checkout` the outputs "
                "that belong together"
            )
        return make_version(folder, digest, outputs, name, restored=True)
