"""Adding labelled images to the data set: what would be added, and adding it."""

import hashlib
import shutil
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from brain_tumor.data import dvc
from brain_tumor.data.compare import compare, count, counted, images, listed, number_of
from brain_tumor.data.dvc import default_remote, ignored, in_folder, md5, on_record
from brain_tumor.data.fetch import has_files
from brain_tumor.data.folder import (
    PATIENTS_FILE,
    BadImageError,
    ImageFacts,
    Remark,
    read_all_facts,
    read_facts,
    walk,
)
from brain_tumor.data.junk import is_document, is_junk
from brain_tumor.data.patients import MORE, Spellings, read_patient_rows, read_patients
from brain_tumor.errors import UserError
from brain_tumor.escaping import is_text, printable, terminal
from brain_tumor.files import obstacle, replacing, write_text
from brain_tumor.imaging.grey import NoPictureError, UnknownKindError
from brain_tumor.imaging.read import is_named_as_image
from brain_tumor.outputs import table_text
from brain_tumor.settings import MASKS_FOLDER, ValidateParams


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
        tagged: images whose own tags name their patient.
    """

    root: Path
    images: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problems: list[Remark] = field(default_factory=list)
    tagged: set[str] = field(default_factory=set)


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
    no_images = {*masks, PATIENTS_FILE}
    others = [path for path in paths if path not in no_images]
    images = [path for path in others if not is_document(PurePosixPath(path).name)]
    incoming.left_out.extend(sorted({*others} - {*images}))
    facts = _decoded(images, incoming, params)
    incoming.tagged.update(path for path, image in facts.items() if image.patient)
    other = next(name for name in params.folders if name != folder)
    _check_class(source, facts, other, incoming)
    _match_masks(masks, facts, folder, incoming, params)
    if PATIENTS_FILE in paths:
        patients, remarks = read_patients(source / PATIENTS_FILE, images)
        incoming.patients.update(patients)
        left_out = set(incoming.left_out)
        incoming.problems.extend(item for item in remarks if item.path not in left_out)
    return incoming


def in_class(path: str, folder: str) -> str:
    """Path within the class folder of a path in the source: a leading class folder goes."""
    return path.removeprefix(f"{folder}/")


def _files(source: Path, incoming: Incoming) -> Iterator[str]:
    for path, kind in walk(source):
        if kind == "link":
            incoming.problems.append(Remark(f"{path}/", "link to a folder: not followed"))
        elif kind == "unreadable":
            incoming.problems.append(Remark(f"{path}/", "folder that cannot be read"))
        elif kind == "file" and not is_junk(PurePosixPath(path).name):
            if is_text(path):
                yield path
            else:
                incoming.problems.append(Remark(printable(path), "file name is not valid UTF-8"))


def _decoded(
    paths: Sequence[str], incoming: Incoming, params: ValidateParams
) -> dict[str, ImageFacts]:
    facts: dict[str, ImageFacts] = {}
    files = [incoming.root / path for path in paths]
    for path, file, result in zip(paths, files, read_all_facts(files, params), strict=True):
        if not isinstance(result, BadImageError):
            facts[path] = result
            incoming.images[path] = md5(file)
        elif _is_no_image(file, result):
            incoming.left_out.append(path)
        else:
            incoming.problems.append(Remark(path, str(result)))
    return facts


def _is_no_image(file: Path, error: BadImageError) -> bool:
    """Whether nobody can miss it: neither name nor header speak for one, or it is DICOM without."""
    if obstacle(file):
        return False
    if error.decoding is NoPictureError:
        return True
    unknown = error.decoding is UnknownKindError
    empty = not file.stat().st_size
    return not is_named_as_image(file.name) and (unknown or empty)


def _check_class(
    source: Path, facts: dict[str, ImageFacts], other: str, incoming: Incoming
) -> None:
    inside = {parent.as_posix() for path in facts for parent in PurePosixPath(path).parents}
    for path in sorted(folder for folder in inside if PurePosixPath(folder).name == other):
        reason = "named like the folder of the other class: add each class by itself"
        incoming.problems.append(Remark(f"{path}/", reason))
    if source.is_dir() and source.resolve().name == other:
        reason = f"is named '{other}', like the folder of the other class: is the label right?"
        incoming.problems.append(Remark(".", reason))


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
            incoming.problems.append(Remark(mask, reason))
        elif problem := _mask_problem(incoming.root / mask, facts[owner], params):
            incoming.problems.append(Remark(mask, problem))
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


def grown_table(
    table: Path, images: Collection[str], new: Iterable[str], patients: Mapping[str, str]
) -> tuple[str | None, list[Remark]]:
    """Extend the table by the images that are new, and by the patients that became known.

    Args:
        table: the data folder's patients.csv, which need not exist.
        images: all images the data folder will have, by their paths in it.
        new: those of them that are new.
        patients: patients now known, by the same paths.

    Returns:
        The text of the table, None if it stays as it is or is not needed, and contradictions.

    Raises:
        UserError: the table is no CSV with the columns path and patient.
    """
    if not table.exists() and not patients:
        return None, []
    columns, rows = _read(table) if table.exists() else (["path", "patient"], [])
    before = [dict(row) for row in rows]
    spellings = Spellings(images, table.parent)
    by_path = {spellings.path(row["path"]): row for row in rows}
    for path in (*new, *patients) if table.exists() else images:
        if path not in by_path:
            by_path[path] = dict.fromkeys(columns, "") | {"path": path}
            rows.append(by_path[path])
    remarks = []
    for path, patient in patients.items():
        recorded = by_path[path]["patient"].strip()
        if recorded and recorded != patient:
            reason = f"patient {patient!r} here, but {recorded!r} in the data folder"
            remarks.append(Remark(path, reason))
        by_path[path]["patient"] = patient
    return (None if rows == before else _text(columns, rows)), remarks


def _read(table: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        columns, rows = read_patient_rows(table)
    except UserError as error:
        raise UserError(f"{table}: {error}") from error
    if any(MORE in row for row in rows):
        raise UserError(f"{table}: columns {','.join(columns)} expected, a row has more")
    return columns, rows


def _text(columns: list[str], rows: list[dict[str, str]]) -> str:
    return table_text(pd.DataFrame(rows, columns=columns, dtype="str"))


@dataclass
class Addition:
    """What becomes of each incoming file; targets are paths in the data folder.

    Attributes:
        listing: MD5 of every file of the data folder once the plan is carried out.
        images: target of each image that is taken, by its incoming path.
        skipped: the file with the same bytes, by the incoming path of the image that is not taken.
        masks: target of each mask that is taken, by its incoming path.
        table: text of patients.csv, None if it stays as it is.
        problems: what stands against carrying it out.
        left_out: files that are not meant as images.
        has_patients: whether the batch names patients, in a table or in the tags of its images.
    """

    listing: dict[str, str]
    images: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    masks: dict[str, str] = field(default_factory=dict)
    table: str | None = None
    problems: list[Remark] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    has_patients: bool = False

    @property
    def copies(self) -> dict[str, str]:
        """Target of each file to copy, by its incoming path."""
        return self.images | self.masks

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return not self.copies and self.table is None


def plan_addition(
    incoming: Incoming,
    listing: Mapping[str, str],
    table: Path,
    folder: str,
    params: ValidateParams,
) -> Addition:
    """Find a place for every incoming image; the same files always get the same places.

    An image whose bytes are in the class folder already is skipped. One whose name is taken by
    other bytes (or would be, where file names know no case) gets eight digits of its MD5 into it.
    `listing` is the MD5 of the files of the data folder, `table` its patients.csv.
    """
    plan = Addition(
        dict(listing),
        left_out=tuple(incoming.left_out),
        has_patients=bool(incoming.patients) or incoming.images.keys() <= incoming.tagged,
    )
    owners = _owners(listing, folder, params)
    taken = {_folded(path) for path in listing}
    for path, digest in incoming.images.items():
        twin = owners.get(digest)
        if twin and not twin.startswith(f"{folder}/"):
            reason = f"same bytes as {twin} of the other class: which label is right?"
            plan.problems.append(Remark(path, reason))
        elif twin:
            plan.skipped[path] = twin
        else:
            target = _free(f"{folder}/{in_class(path, folder)}", digest, taken)
            taken.add(_folded(target))
            owners[digest] = plan.images[path] = target
            plan.listing[target] = digest
    _place_masks(plan, incoming)
    _place_patients(plan, incoming, table, params)
    return plan


def _owners(listing: Mapping[str, str], folder: str, params: ValidateParams) -> dict[str, str]:
    """The image that has each MD5: one of the class if there is one; of the other, none left out.

    An image left out for its wrong label may come back with the right one.
    """
    excluded = {str(PurePosixPath(item.path)) for item in params.exclude}
    digests = images(listing, tuple(params.folders))
    own = {path for path in digests if path.startswith(f"{folder}/")}
    others = digests.keys() - own - excluded
    return {digests[path]: path for path in [*sorted(others), *sorted(own, reverse=True)]}


def _folded(path: str) -> str:
    """One text for all paths that some file systems take for the same."""
    return unicodedata.normalize("NFC", path).casefold()


def _free(target: str, digest: str, taken: set[str]) -> str:
    path = PurePosixPath(target)
    named = path.with_name(f"{path.stem}-{digest[:8]}{path.suffix}")
    longer = path.with_name(f"{path.stem}-{digest}{path.suffix}")
    return next(
        (str(free) for free in (path, named) if _folded(str(free)) not in taken), str(longer)
    )


def _place_masks(plan: Addition, incoming: Incoming) -> None:
    places = plan.skipped | plan.images
    for image, mask in incoming.masks.items():
        if image not in places:
            continue
        digest, target = md5(incoming.root / mask), f"{MASKS_FOLDER}/{places[image]}.png"
        if target not in plan.listing:
            plan.masks[mask], plan.listing[target] = target, digest
        elif plan.listing[target] != digest:
            plan.problems.append(Remark(mask, f"other bytes than {target} of the data folder"))


def _place_patients(
    plan: Addition, incoming: Incoming, table: Path, params: ValidateParams
) -> None:
    places = plan.skipped | plan.images
    patients: dict[str, str] = {}
    for path, patient in incoming.patients.items():
        if patient and path in places and patients.setdefault(places[path], patient) != patient:
            reason = f"same bytes as another image, but of patient {patient!r} instead of "
            plan.problems.append(Remark(path, f"{reason}{patients[places[path]]!r}"))
    everything = images(plan.listing, tuple(params.folders))
    plan.table, contradictions = grown_table(
        table, sorted(everything), plan.images.values(), patients
    )
    plan.problems.extend(contradictions)
    if plan.table is not None:
        digest = hashlib.md5(plan.table.encode(), usedforsecurity=False).hexdigest()
        plan.listing[PATIENTS_FILE] = digest


def add(source: Path, label: str, data: Path, params: ValidateParams) -> Addition:
    """Take images of label `no` or `yes` (see `collect`) into the data folder and its data.dvc.

    All is checked first. Then the files are copied and `dvc add` runs. If that fails, the data
    folder and data.dvc are as they were.

    Raises:
        UserError: the data folder is not what data.dvc describes, its patients.csv cannot be read,
            something of the batch cannot be taken (the message names all of it), a file changes
            while it is copied, or another run is adding.
        OSError: files cannot be read or written.
        DvcError: `dvc add` failed.
    """
    dvc.require_repository(data)
    if source.resolve().is_relative_to(data.resolve()):
        raise UserError(f"{source} lies in {data} already: give a folder outside it")
    if data.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{source} holds {data} itself: give a folder outside it")
    folder = next(name for name, its_label in params.folders.items() if its_label == label)
    with _only_one(data):
        listing = _recorded(data, tuple(params.folders))
        incoming = collect(source, folder, params)
        plan = plan_addition(incoming, listing, data / PATIENTS_FILE, folder, params)
        _require_no_problem(source, incoming, plan, data)
        if not plan.is_empty:
            batch = {"name": source.resolve().name, "label": label, "files": len(plan.images)}
            _carry_out(plan, incoming.root, data, batch)
    return plan


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Keep a second run out, which would not know of what this one is about to place."""
    from filelock import FileLock, Timeout

    folder = dvc.require_repository(data) / "tmp"
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / f"brain-tumor-add-{data.name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise UserError(
            f"something is being added to {data} right now: wait until it ends"
        ) from error


def _recorded(data: Path, folders: tuple[str, ...]) -> dict[str, str]:
    """MD5 of the files that data.dvc describes; the data folder must hold just these."""
    pointer = dvc.pointer(data)
    if not pointer.is_file():
        first = f"`dvc add {data}`" if has_files(data) else "`brain-tumor data fetch SOURCE`"
        raise UserError(f"{data} is not under DVC, there is no {pointer}: run {first} first")
    if not has_files(data):
        raise UserError(f"{data} is missing: run `brain-tumor data ensure` first")
    recorded, present = on_record(data), in_folder(data)
    if present != recorded:
        raise UserError(
            f"{data} is not what {pointer} describes ({compare(recorded, present, folders)}): "
            f"`dvc add {data}` keeps what is in the folder, `dvc checkout {pointer}` brings back "
            "what is on record; then add again"
        )
    return recorded


def _require_no_problem(source: Path, incoming: Incoming, plan: Addition, data: Path) -> None:
    ignored_targets = ignored(data, plan.copies.values())
    problems = [
        *incoming.problems,
        *plan.problems,
        *(
            Remark(path, "would be ignored by DVC, see .dvcignore: rename it")
            for path in ignored_targets
        ),
    ]
    if problems:
        lines = "".join(
            f"\n  {terminal(path)}: {terminal(reason)}" for path, reason in sorted(set(problems))
        )
        raise UserError(f"nothing was added, {source} has to be put right first:{lines}")
    if not incoming.images:
        raise UserError(f"{source}: no image in it ({len(incoming.left_out)} other files)")


def _carry_out(plan: Addition, root: Path, data: Path, batch: dict[str, object]) -> None:
    """Copy files from `root`, extend patients.csv and run `dvc add`; undo it if anything fails."""
    meta, table = dvc.read_meta(data), data / PATIENTS_FILE
    written = [dvc.pointer(data), *([table] if plan.table is not None else [])]
    before = {file: file.read_bytes() if file.exists() else None for file in written}
    try:
        for path, target in plan.copies.items():
            with replacing(data / target) as aside:
                shutil.copyfile(root / path, aside)
                if md5(aside) != plan.listing[target]:
                    raise UserError(f"{path} changed while it was copied: nothing was added")
        if plan.table is not None:
            write_text(table, plan.table)
        dvc.add(data, meta | {dvc.ADDED: [*meta.get(dvc.ADDED, []), batch]})
    except BaseException:
        for target in plan.copies.values():
            (data / target).unlink(missing_ok=True)
        for file, content in before.items():
            if content is None:
                file.unlink(missing_ok=True)
            else:
                write_text(file, content.decode("utf-8"))
        raise


def added_lines(plan: Addition, data: Path, folders: Sequence[str]) -> Iterator[str]:
    """Describe what became of a batch and of the data folder, and what is next."""
    renamed = {
        path: target
        for path, target in plan.images.items()
        if PurePosixPath(target).name != PurePosixPath(path).name
    }
    masks = f" and {number_of(len(plan.masks), 'mask')}" if plan.masks else ""
    yield f"added: {number_of(len(plan.images), 'image')}{masks}"
    yield from _explained("under another name, theirs was taken", renamed, "->")
    yield from _explained("skipped, the same bytes are there already", plan.skipped, "=")
    if plan.left_out:
        yield f"left out, no images ({len(plan.left_out)}):"
        yield from listed(plan.left_out, show_all=False)
    if plan.table is not None:
        yield "patients.csv: extended"
    if plan.images and not plan.has_patients and (data / PATIENTS_FILE).exists():
        yield (
            "their patients are unknown: a patients.csv (columns path,patient) in the folder "
            "would keep images of one patient in one split"
        )
    yield f"{data}: {counted(count(plan.listing, folders))}"
    if not plan.is_empty:
        pushed = "" if default_remote(data) is None else ", then `dvc push`"
        yield f"next: `git add {dvc.pointer(data)} && git commit`{pushed}"


def _explained(title: str, pairs: Mapping[str, str], sign: str) -> Iterator[str]:
    if pairs:
        yield f"{title} ({len(pairs)}):"
        lines = [f"{path} {sign} {other}" for path, other in pairs.items()]
        yield from listed(lines, show_all=False)
