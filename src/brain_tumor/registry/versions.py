"""Versions of the registered model: what each holds, and how one is made."""

import shutil
import sys
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from brain_tumor import settings
from brain_tumor.data import training_images
from brain_tumor.data.training_images import TRAINING_IMAGES, TrainingImage
from brain_tumor.errors import UserError
from brain_tumor.figure_text import cell, figure_name
from brain_tumor.files import read_artefact, reading, write_text
from brain_tumor.inference import bundle
from brain_tumor.model.saved import load_meta
from brain_tumor.outputs import (
    EXPORTED,
    Best,
    StageOutputs,
    TrainingRun,
    read_metrics,
    read_table,
)
from brain_tumor.report.card import (
    CARD_FILE,
    REGISTERED_REPORT_FILE,
    ModelCard,
    as_json,
    markdown,
    read_card,
    write_card,
)
from brain_tumor.tracking import connection, lineage, models, pyfunc
from brain_tumor.tracking.models import BUNDLE, CARD, CARD_FACTS, EVALUATION, REPORT, Version
from brain_tumor.tracking.runs import Run, curves, headline, resume_run, start_run, training_name
from brain_tumor.tracking.signature import SignatureError

RESTORED_TAG = "restored"
_TRACED = (
    "manifest", "split", "model", "predictions", "metrics", "profile", "export", "report",
)  # fmt: skip


def run_of(outputs: StageOutputs) -> Run:
    """The run that `outputs` names; one with the same content if the store does not know it."""
    return resume_run(TrainingRun.read(outputs.run).run_id) or rebuild_run(outputs)


def rebuild_run(outputs: StageOutputs) -> Run:
    """Make a run from the stage outputs: parameters, curves, figures and lineage.

    It is tagged `restored` and names the run of the training in `restored.from`.
    """
    meta = load_meta(outputs.model_json.parent)
    traced = lineage_of(outputs) | {"initial_weights.sha256": meta.initial_weights_sha256}
    tags = {
        RESTORED_TAG: "true",
        "restored.from": TrainingRun.read(outputs.run).run_id,
        "stage": "train",
        "initial_weights": meta.initial_weights,
    }
    chosen = Best.read(outputs.best)
    train = settings.read(outputs.params).train.resolve(chosen.params)
    phantom = lineage.is_phantom(outputs.data.parent)
    logged = lineage.acted_params(outputs.params, train.model_dump(), phantom=phantom)
    metrics = read_metrics(outputs.metrics)
    with start_run(training_name(train.model_dump()), logged, tags | chosen.tags()) as run:
        run.log_lineage(traced)
        if "data.md5" in traced:
            run.log_dataset("brain-mri", traced["data.md5"], "training")
        for row in _rows(outputs.history, ("epoch",)):
            points = {key: float(text) for key, text in row.items() if text}
            run.log_epoch(int(row["epoch"]), curves(points))
        run.log_figures(outputs.figures)
        run.log_evaluation(metrics, outputs.evaluation)
    return run


def lineage_of(outputs: StageOutputs) -> dict[str, str]:
    """What a registered model is made from (see `lineage.trace`)."""
    inputs = {name: getattr(outputs, name) for name in _TRACED} | {"params": outputs.params}
    return lineage.trace(inputs, outputs.params.parent)


_SHORT = ("balanced_accuracy", "auroc")  # what fits the page of a version


def registered_card(outputs: StageOutputs, name: str, digest: str) -> ModelCard:
    """The card with what is known only once the model is registered.

    Raises:
        UserError: stage report left no readable card.
    """
    card = read_card(outputs.report / CARD_FILE)
    lineage = {**card.lineage, **lineage_of(outputs)}
    return card.model_copy(update={"name": name, "digest": digest, "lineage": lineage})


def write_both(folder: Path, card: ModelCard) -> dict[str, Path]:
    """Write the card into a folder for people and machines; name in the model to file."""
    write_text(folder / CARD, markdown(card))
    write_card(folder / CARD_FACTS, card)
    return {name: folder / name for name in (CARD, CARD_FACTS)}


def short_description(card: ModelCard) -> str:
    """A few lines for the page of the version."""
    test = card.metrics["test"]
    figures = ", ".join(f"{figure_name(key)} {cell(test, key)}" for key in _SHORT if key in test)
    use = card.intended_use.split(". ")[0]
    return (
        f"{use}. Initial weights: {card.initial_weights.source}. Test: {figures or 'no figures'}."
    )


@dataclass(frozen=True)
class Image:
    """A row of the manifest with its place in the split.

    Attributes:
        path: relative to the data folder.
        sha256: of the file.
        is_yes: 1 for `yes`, 0 for `no`.
        split: train, val or test; empty if the split leaves it out.
        groups: of duplicates and of what the split keeps together.
        dhash: of the picture, hexadecimal (see `data.copies`).
    """

    path: str
    sha256: str
    is_yes: int
    split: str
    groups: frozenset[str]
    dhash: str = ""


def read_images(manifest: Path, split: Path) -> list[Image]:
    """All images of a manifest, in its order.

    Raises:
        UserError: a file is missing or has not the columns it should.
    """
    placed = {row["path"]: row for row in _rows(split, ("path", "split", "group"))}
    return [
        _image(row, placed.get(row["path"], {}))
        for row in _rows(manifest, ("path", "label", "sha256", "group"))
    ]


def read_probabilities(predictions: Path) -> dict[str, float]:
    """Path to probability of a predictions table."""
    rows = _rows(predictions, ("path", "probability"))
    with reading(predictions, "run `dvc repro evaluate`"):
        return {row["path"]: float(row["probability"]) for row in rows}


def write_training_images(path: Path, images: Iterable[Image], data: Path) -> None:
    """Write the table that travels with a model: what it was trained on, and chosen by (val).

    The finer hash stays empty of images that are not in the data folder.
    """
    rows = [
        TrainingImage(
            path=image.path,
            sha256=image.sha256,
            group=" ".join(sorted(image.groups)),
            split=image.split,
            dhash=image.dhash,
            fhash=training_images.hash_file(data / image.path),
        )
        for image in images
        if image.split in ("train", "val")
    ]
    training_images.write(path, rows)


def read_training_hashes(path: Path) -> set[str]:
    """SHA-256 of the images a model was trained on (not of those it was chosen by)."""
    return {row.sha256 for row in training_images.read(path) if row.split == "train"}


def unseen(images: Iterable[Image], trained: Collection[str]) -> list[Image]:
    """Images of val and test that have no relation to any of the `trained` hashes.

    An image is left out with its whole groups: a copy of a training image, or another slice of
    the same patient, is no test of the model.
    """
    images = list(images)
    related = {group for image in images if image.sha256 in trained for group in image.groups}
    return [
        image
        for image in images
        if image.split in ("val", "test")
        and image.sha256 not in trained
        and related.isdisjoint(image.groups)
    ]


def _image(row: dict[str, str], place: dict[str, str]) -> Image:
    groups = {f"duplicate:{row['group']}"}
    if row.get("patient"):
        groups.add(f"patient:{row['patient']}")
    if place:
        groups.add(f"split:{place['group']}")
    return Image(
        path=row["path"],
        sha256=row["sha256"],
        is_yes=int(row["label"] == "yes"),
        split=place.get("split", ""),
        groups=frozenset(groups),
        dhash=row.get("dhash", ""),
    )


def _rows(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    table = read_table(path, columns, dtype="str", keep_default_na=False)
    return [{str(key): str(cell) for key, cell in row.items()} for row in table.to_dict("records")]


_PACKAGES = (
    "keras",
    "mlflow",
    "nibabel",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "pydicom",
    "python-gdcm",
    "rich",
    "ruamel.yaml",
    "scipy",
)
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")  # whichever of the two is installed here


def inference_requirements() -> list[str]:
    """Packages pinned to the versions installed here; nothing the pipeline alone needs."""
    flavour = next(name for name in _TENSORFLOW if any(distributions(name=name)))
    return [f"{name}=={installed(name)}" for name in (*_PACKAGES, flavour)]


FILES = (
    "MLmodel",
    TRAINING_IMAGES,
    CARD,
    *(f"{BUNDLE}/{name}" for name in bundle.FILES if name not in EXPORTED),
    "code",  # MLflow's name for the package a model brings; how that is laid out changes
)
_PACKAGE = Path(__file__).resolve().parents[1]
_MISSING_TAG, _DAMAGED_TAG = "files_missing", "files_damaged"
# Of versions that have them:
_PROFILE_TAG, _EXPORT_TAG, _REPORT_TAG = "md5.profile", "md5.export", "md5.report"
_CONTENT_TAG = "sha256.bundle"  # of bundle.json, which has the digests of the bundle's files
_LATER = {
    _CONTENT_TAG: [f"{BUNDLE}/{bundle.CONTENT_FILE}"],
    _PROFILE_TAG: bundle.PROFILE_PATHS,
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
    missing = models.missing_files(client, version, [*FILES, *later])
    if missing and _is_there(client, version):
        print(f"note: {version.uri} has lost files ({missing[0]}, ...)", file=sys.stderr)
        models.set_tags(client, version, {_MISSING_TAG: "true"})
    return not missing


def is_sound(client: Any, version: Version) -> bool:
    """Whether all files of a version are in the store, and its bundle is as it was registered.

    Says what is wrong on standard error. A version that another process deletes meanwhile, since
    an earlier one is the same (`make_version`), is not sound.
    """
    if not is_whole(client, version):
        return False
    try:
        check_bundle(version, models.find_model(version.uri).bundle)
    except (bundle.DamagedError, SignatureError) as error:
        if not _is_there(client, version):
            return False
        print(f"note: {version.uri} is passed over: {error}", file=sys.stderr)
        if isinstance(error, bundle.DamagedError):
            models.set_tags(client, version, {_DAMAGED_TAG: "true"})
        return False
    except UserError:
        if _is_there(client, version):
            raise
        return False
    return True


def _is_there(client: Any, version: Version) -> bool:
    """Whether the store has a version still."""
    return any(item.number == version.number for item in models.versions(client, version.name))


def check_bundle(version: Version, folder: Path) -> None:
    """Check that a folder holds the bundle of a version, by the digests in the version's tags.

    Versions from before there were such digests are taken as they are.

    Raises:
        DamagedError: a file is missing, or not the one that was registered.
    """
    if _CONTENT_TAG not in version.tags:
        return
    _check_content(version, folder, bundle.check(folder))


def pull(uri: str, folder: Path, *, force: bool = False) -> models.ModelFolder:
    """Copy a registered model to a folder (see `models.pull`), with its files checked.

    Raises:
        UserError: the store has no such model, or the folder is not free.
        DamagedError: a file is not the one that was registered.
        SignatureError: it must be signed and is not.
    """
    version = _named(uri)
    # (a model that is not there is named by `models.pull`)
    return models.pull(
        version.uri if version else uri,
        folder,
        lambda pulled: check_bundle(version, pulled.bundle) if version else None,
        force=force,
    )


def open_model(model: str) -> models.ModelFolder:
    """Find a model (see `models.find_model`); one of the store is that which was registered.

    Raises:
        UserError: there is no such model.
        DamagedError: its `bundle.json` is another than the one that was registered.
        SignatureError: it must be signed and is not.
    """
    version = _named(model) if model.startswith("models:/") else None
    folder = models.find_model(version.uri if version else model)
    if version is not None and _CONTENT_TAG in version.tags:
        _check_content(version, folder.bundle, bundle.read_content(folder.bundle))
    return folder


def _named(uri: str) -> Version | None:
    """The version that a URI names now; an alias may name another a moment later."""
    if not uri.startswith("models:/"):
        return None
    version = models.named_version(connection.connect(), uri)
    if version is None and "@" not in uri and not uri.rpartition("/")[2].isdigit():
        raise UserError(f"{uri}: give models:/NAME@ALIAS or models:/NAME/NUMBER")
    return version


def _check_content(version: Version, folder: Path, content: bundle.Content) -> None:
    if (content.digest, content.sha256) != (version.digest, version.tags[_CONTENT_TAG]):
        path = folder / bundle.CONTENT_FILE
        raise bundle.DamagedError(f"{path}: not the one that was registered as {version.uri}")


def find_version(client: Any, name: str, digest: str) -> Version | None:
    """The version with that digest, its latest figures, and all of its files, undamaged.

    Of several with the same figures it is the first, which is the one that stays.
    """
    same = (item for item in trusted_versions(client, name) if item.digest == digest)
    latest = next((item for item in same if is_sound(client, item)), None)
    return None if latest is None else _first_twin(client, latest)


def holds(version: Version, outputs: StageOutputs) -> bool:
    """Whether a version of the model of `outputs` has its figures and its profile too."""
    present = {"md5.metrics": outputs.metrics, _PROFILE_TAG: outputs.profile}
    return all(version.tags.get(tag) == lineage.md5(path) for tag, path in present.items())


def make_version(
    run: Run, name: str, digest: str, folder: Path, outputs: StageOutputs, *, restored: bool
) -> Version:
    """Write the model of `outputs` to the store and make it a version.

    Where another process registers the same model meanwhile, both return the same version.

    `folder` is the bundle, with that digest; `restored` says that the store had lost the model.
    """
    described = registered_card(outputs, name, digest)
    with tempfile.TemporaryDirectory() as temporary:
        extras = _extras(Path(temporary), described, outputs)
        model_id = pyfunc.log_model(
            run,
            code_file=_PACKAGE / "registry" / "served_model.py",
            package=_PACKAGE,
            bundle=folder,
            extras=extras,
            requirements=inference_requirements(),
            metrics=headline(as_json(described)["metrics"]),
            changing=(CARD, CARD_FACTS, REPORT, models.NAME_FILE),
        )
    tags = _tags(described, lineage_of(outputs)) | ({RESTORED_TAG: "true"} if restored else {})
    tags[_CONTENT_TAG] = bundle.read_content(folder).sha256
    description = short_description(described)
    version = models.create_version(run.client, name, model_id, run.run_id, description, tags)
    # The store numbers versions one after the other: whoever made a later one sees the earlier.
    # `mlflow gc` frees the files of what is deleted.
    first = _first_twin(run.client, version)
    if first.number != version.number:
        run.client.delete_model_version(name, version.number)
        run.client.delete_logged_model(model_id)
    return first


def renew_report(client: Any, version: Version, outputs: StageOutputs) -> None:
    """Give a version the report and card of `outputs`, if they are not those it has.

    Evidence on a model (`make evidence`, `brain-tumor evaluate`) comes after it was registered. The
    card still leads to the commit and the files the model was made from.
    """
    current = lineage.md5(outputs.report)
    if version.tags.get(_REPORT_TAG) == current:
        return
    described = registered_card(outputs, version.name, str(version.digest))
    with tempfile.TemporaryDirectory() as temporary:
        traced = {**described.lineage, **_lineage_of(version), _REPORT_TAG: current}
        write_both(Path(temporary), described.model_copy(update={"lineage": traced}))
        shutil.copyfile(outputs.report / REGISTERED_REPORT_FILE, Path(temporary) / REPORT)
        client.log_model_artifacts(version.model_id, temporary)
    models.set_tags(client, version, {_REPORT_TAG: current})


class _CardFacts(settings.Section):
    """Of a card of any age: what is read of it here."""

    lineage: dict[str, str]


def _lineage_of(version: Version) -> dict[str, str]:
    """What a version says of what it was made from: in its card or, before cards, in its tags."""
    if _REPORT_TAG not in version.tags:
        return {key: text for key, text in version.tags.items() if key.startswith(_OLD_LINEAGE)}
    with tempfile.TemporaryDirectory() as temporary:
        path = models.fetch(version, CARD_FACTS, Path(temporary))
        return read_artefact(path, _CardFacts, "register the model anew").lineage


def _first_twin(client: Any, version: Version) -> Version:
    """The first sound version with digest and figures of a version, which may be itself.

    Only earlier ones are looked at: who made a later one may be about to delete it.
    """
    facts = [version.tags.get(tag) for tag in _IDENTITY]
    listed = reversed(models.versions(client, version.name))
    earlier = (item for item in listed if int(item.number) < int(version.number))
    same = (item for item in earlier if [item.tags.get(tag) for tag in _IDENTITY] == facts)
    return next((item for item in same if is_sound(client, item)), version)


def _extras(folder: Path, described: ModelCard, outputs: StageOutputs) -> dict[str, Path]:
    images = read_images(outputs.manifest, outputs.split)
    write_training_images(folder / TRAINING_IMAGES, images, outputs.data)
    own = {TRAINING_IMAGES: folder / TRAINING_IMAGES, **write_both(folder, described)}
    folders = {EVALUATION: outputs.evaluation, bundle.PROFILE_FOLDER: outputs.profile}
    return own | folders | {REPORT: outputs.report / REGISTERED_REPORT_FILE}


def _tags(described: ModelCard, traced: Mapping[str, str]) -> dict[str, str]:
    return {
        models.DIGEST_TAG: str(described.digest),
        "initial_weights": described.model.initial_weights,
        "threshold": repr(described.model.threshold),
        **{key: value for key, value in lineage.tags(traced).items() if "mlflow" not in key},
        **{key: traced[key] for key in _READ_LATER if key in traced},
    }
