"""What a folder offers to the data set: images that decode, their masks and their patients."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import UnidentifiedImageError

from brain_tumor.dataset.growth.listing import md5
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.image_facts import (
    EXTENSIONS,
    BadImageError,
    ImageFacts,
    read_facts,
)
from brain_tumor.dataset.validation.layout import PATIENTS_FILE, is_junk, printable
from brain_tumor.dataset.validation.patients import read_patients
from brain_tumor.progress import track
from brain_tumor.settings import MASKS_FOLDER, ValidateParams

_IMAGE_SUFFIXES = frozenset[str]().union(*EXTENSIONS.values())


@dataclass(frozen=True)
class Incoming:
    """Files of a folder that may be added; paths are relative to that folder.

    Attributes:
        root: the folder.
        images: MD5 of each image, by its path.
        masks: path of the mask, by the path of its image.
        patients: patient of each image named in patients.csv, "" if unknown, by its path.
        left_out: files that are not meant as images.
        problems: what stands against taking any of it.
    """

    root: Path
    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problems: list[Finding] = field(default_factory=list)


def collect(source: Path, folder: str, params: ValidateParams) -> Incoming:
    """Decode and check all of a folder, or a single image; problems are listed, not raised.

    Args:
        source: folder with images at any depth, and perhaps masks/IMAGE.png for each path IMAGE,
            and patients.csv; or an image file.
        folder: class folder the images are for. The source may have such a folder, as the data
            folder has, but none of the other class.
        params: what an image must be.

    Raises:
        FileNotFoundError: there is no such folder or file.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such folder or image file")
    incoming = Incoming(source if source.is_dir() else source.parent)
    paths = list(_files(source, incoming)) if source.is_dir() else [source.name]
    masks = [path for path in paths if path.startswith(f"{MASKS_FOLDER}/")]
    images = [path for path in paths if path not in {*masks, PATIENTS_FILE}]
    facts = _decoded(images, incoming, params)
    other = next(name for name in params.folders if name != folder)
    _check_class(source, facts, other, incoming)
    _match_masks(masks, facts, folder, incoming, params)
    if PATIENTS_FILE in paths:
        patients, findings = read_patients(source / PATIENTS_FILE, images)
        incoming.patients.update(patients)
        incoming.problems.extend(item for item in findings if item.path not in incoming.left_out)
    return incoming


def in_class(path: str, folder: str) -> str:
    """Path within the class folder of a path in the source: a leading class folder goes."""
    return path.removeprefix(f"{folder}/")


def _files(source: Path, incoming: Incoming) -> Iterator[str]:
    for top, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in folders:
            if (Path(top) / name).is_symlink():
                path = (Path(top) / name).relative_to(source).as_posix()
                incoming.problems.append(Finding(f"{path}/", "link to a folder: not followed"))
        for name in sorted(name for name in names if not is_junk(name)):
            path = (Path(top) / name).relative_to(source).as_posix()
            if printable(path) == path:
                yield path
            else:
                incoming.problems.append(Finding(printable(path), "file name is not valid UTF-8"))


def _decoded(
    paths: Sequence[str], incoming: Incoming, params: ValidateParams
) -> dict[str, ImageFacts]:
    facts: dict[str, ImageFacts] = {}
    for path in track(paths, "decode", total=len(paths)):
        file = incoming.root / path
        try:
            facts[path] = read_facts(file, params)
        except BadImageError as error:
            if _is_no_image(file, error):
                incoming.left_out.append(path)
            else:
                incoming.problems.append(Finding(path, str(error)))
        else:
            incoming.images[path] = md5(file)
    return facts


def _is_no_image(file: Path, error: BadImageError) -> bool:
    """Whether neither name nor header speak for an image, so that nobody can miss it."""
    unknown = isinstance(error.__cause__, UnidentifiedImageError)
    empty = file.exists() and not file.stat().st_size
    return file.suffix.lower() not in _IMAGE_SUFFIXES and (unknown or empty)


def _check_class(
    source: Path, facts: dict[str, ImageFacts], other: str, incoming: Incoming
) -> None:
    inside = {parent.as_posix() for path in facts for parent in PurePosixPath(path).parents}
    for path in sorted(folder for folder in inside if PurePosixPath(folder).name == other):
        reason = "named like the folder of the other class: add each class by itself"
        incoming.problems.append(Finding(f"{path}/", reason))
    if source.is_dir() and source.resolve().name == other:
        reason = f"is named '{other}', like the folder of the other class: is the label right?"
        incoming.problems.append(Finding(".", reason))


def _match_masks(
    masks: Sequence[str],
    facts: dict[str, ImageFacts],
    folder: str,
    incoming: Incoming,
    params: ValidateParams,
) -> None:
    """Give each mask, masks/IMAGE.png or masks/CLASS/IMAGE.png, to its image."""
    owners = {in_class(path, folder): path for path in facts} | {path: path for path in facts}
    for mask in masks:
        name = mask.removeprefix(f"{MASKS_FOLDER}/").removesuffix(".png")
        owner = owners.get(name) or owners.get(in_class(name, folder))
        if owner is None:
            reason = f"mask of no image here: {MASKS_FOLDER}/IMAGE.png is that of IMAGE"
            incoming.problems.append(Finding(mask, reason))
        elif problem := _mask_problem(incoming.root / mask, facts[owner], params):
            incoming.problems.append(Finding(mask, problem))
        else:
            incoming.masks[owner] = mask


def _mask_problem(file: Path, image: ImageFacts, params: ValidateParams) -> str:
    try:
        mask = read_facts(file, params)
    except BadImageError as error:
        return str(error)
    if (mask.width, mask.height) == (image.width, image.height):
        return ""
    return f"mask of {mask.width}x{mask.height} px for {image.width}x{image.height} px"
