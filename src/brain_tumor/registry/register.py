"""Register the model of the stage outputs."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.inference import bundle
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry import pages, versions
from brain_tumor.registry.champion import give_alias, judge, may_promote
from brain_tumor.registry.rebuild import RESTORED_TAG, run_of
from brain_tumor.settings import PreprocessParams, RegisterParams
from brain_tumor.tracking import store
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
        OutputsError: a file is missing.
        ModelUnusableError: the champion cannot be run to be compared with.
    """
    promoting = may_promote()
    outputs.check()
    client = store.connect()
    with tempfile.TemporaryDirectory() as temporary:
        folder, digest = make_bundle(Path(temporary), outputs, preprocess)
        version = versions.find_version(client, params.name, digest)
        if version is None or not versions.holds(version, outputs):
            version = make_version(folder, digest, outputs, params.name, restored=False)
    versions.renew_report(client, version, outputs)
    outcome = judge(client, version, outputs, params)
    alias = give_alias(client, version, outcome.decision.alias, may_promote=promoting)
    pages.describe(client, version, alias, outcome.as_dict(), outputs)
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
