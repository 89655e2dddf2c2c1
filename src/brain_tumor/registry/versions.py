"""Find the version that holds a model, or make it."""

import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brain_tumor.atomic import read_json
from brain_tumor.dataset.training_images import TRAINING_IMAGES
from brain_tumor.inference import bundle, profile
from brain_tumor.outputs import EXPORTED, StageOutputs
from brain_tumor.registry import card
from brain_tumor.registry.images import read_images, write_training_images
from brain_tumor.registry.rebuild import RESTORED_TAG, lineage_of
from brain_tumor.registry.requirements import inference_requirements
from brain_tumor.report.card import REGISTERED_REPORT_FILE, ModelCard, as_json
from brain_tumor.tracking import artifacts, lineage, logged, models
from brain_tumor.tracking.model_folder import BUNDLE, CARD, CARD_FACTS, EVALUATION, REPORT
from brain_tumor.tracking.models import Version
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.wording import headline

FILES = (
    "MLmodel",
    TRAINING_IMAGES,
    CARD,
    *(f"{BUNDLE}/{name}" for name in bundle.FILES if name not in EXPORTED),
    "code",  # MLflow's name for the package a model brings; how that is laid out changes
)
_PACKAGE = Path(__file__).resolve().parents[1]
_MISSING_TAG = "files_missing"
# Of versions that have them:
_PROFILE_TAG, _EXPORT_TAG, _REPORT_TAG = "md5.profile", "md5.export", "md5.report"
_LATER = {
    _PROFILE_TAG: profile.IN_MODEL,
    _EXPORT_TAG: [f"{BUNDLE}/{name}" for name in EXPORTED],
    _REPORT_TAG: [CARD_FACTS, REPORT],
}
# Of a version: the model, its figures, what its images look like.
_IDENTITY = (models.DIGEST_TAG, "md5.metrics", _PROFILE_TAG)
_READ_LATER = ("md5.metrics", *_LATER)  # all else of the lineage is in the model's card
_OLD_LINEAGE = ("git.", "md5.", "data.")  # tags that versions had all of before


def trusted_versions(client: Any, name: str) -> list[Version]:
    """Versions of this project's making, newest first; others are named on standard error."""
    listed = models.versions(client, name)
    for version in listed:
        if version.digest is None:
            print(f"note: {version.uri} has no tag `digest` and is ignored", file=sys.stderr)
    return [version for version in listed if version.digest is not None]


def is_whole(client: Any, version: Version) -> bool:
    """Whether all files of a version are in the store; says so on standard error if not."""
    later = [path for tag, paths in _LATER.items() if tag in version.tags for path in paths]
    missing = artifacts.missing_files(client, version, [*FILES, *later])
    if missing:
        print(f"note: {version.uri} has lost files ({missing[0]}, ...)", file=sys.stderr)
        models.set_tags(client, version, {_MISSING_TAG: "true"})
    return not missing


def find_version(client: Any, name: str, digest: str) -> Version | None:
    """The version with that digest, its latest figures, and all of its files.

    Of several with the same figures it is the first, which is the one that stays (see `_settle`).
    """
    same = (one for one in trusted_versions(client, name) if one.digest == digest)
    latest = next((one for one in same if is_whole(client, one)), None)
    return None if latest is None else _twins(client, latest)[0]


def holds(version: Version, outputs: StageOutputs) -> bool:
    """Whether a version of the model of `outputs` has its figures and its profile too."""
    present = {"md5.metrics": outputs.metrics, _PROFILE_TAG: outputs.profile}
    return all(version.tags.get(tag) == lineage.md5(path) for tag, path in present.items())


def make_version(
    run: Run, name: str, digest: str, folder: Path, outputs: StageOutputs, *, restored: bool
) -> Version:
    """Write the model of `outputs` to the store and make it a version.

    Where another process registers the same model meanwhile, both return the same version.

    Args:
        run: the run it belongs to.
        name: of the registered model.
        digest: of the bundle.
        folder: the bundle (see `inference.bundle`).
        outputs: for card and report, the training images and the evaluation.
        restored: whether the store had lost it.
    """
    described = card.registered_card(outputs, name, digest)
    with tempfile.TemporaryDirectory() as temporary:
        extras = _extras(Path(temporary), described, outputs)
        parts = logged.PyfuncParts(
            code_file=_PACKAGE / "registry" / "served_model.py",
            package=_PACKAGE,
            bundle=folder,
            extras=extras,
            requirements=inference_requirements(),
        )
        model_id = logged.log_model(run, parts, headline(as_json(described)["metrics"]))
    tags = _tags(described, lineage_of(outputs)) | ({RESTORED_TAG: "true"} if restored else {})
    description = card.short_description(described)
    made = models.create_version(run.client, name, model_id, run.run_id, description, tags)
    return _settle(run.client, made)


def renew_report(client: Any, version: Version, outputs: StageOutputs) -> None:
    """Give a version the report and card of `outputs`, if they are not those it has.

    Evidence on a model (`make evidence`, `brain-tumor evaluate`) comes after it was registered. The
    card still leads to the commit and the files the model was made from.
    """
    current = lineage.md5(outputs.report)
    if version.tags.get(_REPORT_TAG) == current:
        return
    described = card.registered_card(outputs, version.name, str(version.digest))
    with tempfile.TemporaryDirectory() as temporary:
        traced = {**described.lineage, **_lineage_of(version), _REPORT_TAG: current}
        card.write_both(Path(temporary), described.model_copy(update={"lineage": traced}))
        shutil.copyfile(outputs.report / REGISTERED_REPORT_FILE, Path(temporary) / REPORT)
        client.log_model_artifacts(version.model_id, temporary)
    models.set_tags(client, version, {_REPORT_TAG: current})


def _lineage_of(version: Version) -> dict[str, str]:
    """What a version says of what it was made from: in its card or, before cards, in its tags."""
    if _REPORT_TAG not in version.tags:
        return {key: text for key, text in version.tags.items() if key.startswith(_OLD_LINEAGE)}
    with tempfile.TemporaryDirectory() as temporary:
        facts = read_json(artifacts.fetch(version, CARD_FACTS, Path(temporary)))
        return dict(facts["lineage"])


def _settle(client: Any, made: Version) -> Version:
    """The first version of the same model; `made` is deleted if that is another.

    The store numbers versions one after the other: whoever made a later one sees the earlier.
    """
    first = _twins(client, made)[0]
    if first.number != made.number:
        models.delete_version(client, made)
    return first


def _twins(client: Any, version: Version) -> list[Version]:
    """Whole versions with digest and figures of a version, which is among them, in order."""
    facts = [version.tags.get(tag) for tag in _IDENTITY]
    listed = reversed(models.versions(client, version.name))
    same = (one for one in listed if [one.tags.get(tag) for tag in _IDENTITY] == facts)
    return [one for one in same if one.number == version.number or is_whole(client, one)]


def _extras(folder: Path, described: ModelCard, outputs: StageOutputs) -> dict[str, Path]:
    images = read_images(outputs.manifest, outputs.split)
    write_training_images(folder / TRAINING_IMAGES, images, outputs.data)
    own = {TRAINING_IMAGES: folder / TRAINING_IMAGES, **card.write_both(folder, described)}
    folders = {EVALUATION: outputs.evaluation, profile.FOLDER: outputs.profile}
    return own | folders | {REPORT: outputs.report / REGISTERED_REPORT_FILE}


def _tags(described: ModelCard, traced: Mapping[str, str]) -> dict[str, str]:
    return {
        models.DIGEST_TAG: str(described.digest),
        "initial_weights": described.model.initial_weights,
        "threshold": repr(described.model.threshold),
        **{key: value for key, value in lineage.tags(traced).items() if "mlflow" not in key},
        **{key: traced[key] for key in _READ_LATER if key in traced},
    }
