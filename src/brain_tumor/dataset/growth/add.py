"""Add images of one class to the data folder: all of a batch, or nothing of it."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brain_tumor.atomic import write_text
from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.fetch.fetch import has_files
from brain_tumor.dataset.growth.diff import DataDiff, compare, count
from brain_tumor.dataset.growth.incoming import Incoming, collect
from brain_tumor.dataset.growth.listing import ignored, in_folder, md5, on_record
from brain_tumor.dataset.growth.plan import Plan, make_plan
from brain_tumor.dataset.growth.repository import default_remote
from brain_tumor.dataset.growth.text import counted, listed, number_of
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.settings import ValidateParams


class AddError(ValueError):
    """A batch cannot be added now; the data folder is as it was."""


@dataclass(frozen=True)
class Added:
    """What came of adding a batch.

    Attributes:
        plan: what became of each of its files.
        left_out: files that are not meant as images.
        unknown_patients: whether a table of patients is kept, but the batch has none.
        counts: images of each class folder now.
        remote: the default DVC remote, None if none is set.
    """

    plan: Plan
    left_out: tuple[str, ...]
    unknown_patients: bool
    counts: dict[str, int]
    remote: str | None


def add(source: Path, label: str, data: Path, params: ValidateParams) -> Added:
    """Take a folder's images (or one image) into the data folder and its data.dvc.

    All is checked first, and copied beside the data folder. Then each file takes its place in one
    step, and `dvc add` runs. Where that is cut off, the same call completes it.

    Args:
        source: see `incoming.collect`; it stays as it is.
        label: the images' label, "no" or "yes".
        data: the data folder, as data.dvc describes it.
        params: what an image must be, and the class folders.

    Raises:
        AddError: the data folder is not what data.dvc describes, something of the batch cannot be
            taken (the message names all of it), a file changes while it is copied, or another run
            is adding.
        OSError: files cannot be read or written.
        PatientsError: the data folder's patients.csv cannot be read.
        DvcError: `dvc add` failed.
    """
    if source.resolve().is_relative_to(data.resolve()):
        raise AddError(f"{source} lies in {data} already: give a folder outside it")
    if data.resolve().is_relative_to(source.resolve()):
        raise AddError(f"{source} holds {data} itself: give a folder outside it")
    folder = next(name for name, its_label in params.folders.items() if its_label == label)
    with _only_one(data):
        _require_data(data)
        incoming = collect(source, folder, params)
        recorded, present = on_record(data), in_folder(data)
        plan = make_plan(incoming, recorded, data / PATIENTS_FILE, folder, params)
        _require_no_problem(source, incoming, plan, data)
        missing = {
            path: target
            for path, target in plan.copies.items()
            if present.get(target) != plan.listing[target]
        }
        if present != _expected(recorded, present, plan, placed=not missing):
            _refuse(data, compare(recorded, present, tuple(params.folders)))
        if not plan.is_empty:
            _copy(missing, incoming.root, plan, data)
            _record(source, label, plan, data, resumed=present != recorded)
    return Added(
        plan,
        tuple(incoming.left_out),
        (data / PATIENTS_FILE).exists() and not incoming.patients and bool(plan.images),
        count(plan.listing, tuple(params.folders)),
        default_remote(data),
    )


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Keep a second run out, which would not know of what this one is about to place."""
    from filelock import FileLock, Timeout

    folder = data_dvc.require_repository(data) / "tmp"
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / f"brain-tumor-add-{data.name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise AddError(
            f"something is being added to {data} right now: wait until it ends"
        ) from error


def _require_data(data: Path) -> None:
    pointer = data_dvc.pointer(data)
    if not pointer.is_file():
        first = f"`dvc add {data}`" if has_files(data) else "`brain-tumor data fetch SOURCE`"
        raise AddError(f"{data} is not under DVC, there is no {pointer}: run {first} first")
    if not has_files(data):
        raise AddError(f"{data} is missing: run `brain-tumor data ensure` first")


def _require_no_problem(source: Path, incoming: Incoming, plan: Plan, data: Path) -> None:
    left = ignored(data, plan.copies.values())
    problems = [
        *incoming.problems,
        *plan.problems,
        *(Finding(path, "would be ignored by DVC, see .dvcignore: rename it") for path in left),
    ]
    if problems:
        lines = "".join(f"\n  {path}: {reason}" for path, reason in sorted(set(problems)))
        raise AddError(f"nothing was added, {source} has to be put right first:{lines}")
    if not incoming.images:
        advice = "; DICOM has to be exported first" if incoming.left_out else ""
        raise AddError(f"{source}: no image in it ({len(incoming.left_out)} other files){advice}")


def _expected(
    recorded: dict[str, str], present: dict[str, str], plan: Plan, *, placed: bool
) -> dict[str, str]:
    """What the folder may hold: what is on record, and what a killed run had placed."""
    expected = recorded | {
        path: digest for path, digest in plan.listing.items() if present.get(path) == digest
    }
    if placed and plan.copies and plan.table is None and PATIENTS_FILE in present:
        expected[PATIENTS_FILE] = present[PATIENTS_FILE]  # written last, after all files
    return expected


def _refuse(data: Path, differences: DataDiff) -> None:
    pointer = data_dvc.pointer(data)
    raise AddError(
        f"{data} is not what {pointer} describes ({differences}): `dvc add {data}` keeps what is "
        f"in the folder, `dvc checkout {pointer}` brings back what is on record; then add again"
    )


def _copy(files: dict[str, str], root: Path, plan: Plan, data: Path) -> None:
    """Copy files beside the data folder, then move each to its target and write the table."""
    aside = data.with_name(f".{data.name}.added.partial")
    shutil.rmtree(aside, ignore_errors=True)  # of a killed run
    try:
        for path, target in files.items():
            (aside / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, aside / target)
            if md5(aside / target) != plan.listing[target]:
                raise AddError(f"{path} changed while it was copied: nothing was added")
        for target in files.values():
            (data / target).parent.mkdir(parents=True, exist_ok=True)
            (aside / target).replace(data / target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if plan.table is not None:
        write_text(data / PATIENTS_FILE, plan.table)


def _record(source: Path, label: str, plan: Plan, data: Path, *, resumed: bool) -> None:
    """Put the batch on record and run `dvc add`; the record goes first, so none can be missing."""
    pointer, meta = data_dvc.pointer(data), data_dvc.read_meta(data)
    batches = list(meta.get(data_dvc.ADDED, []))
    batch = {"name": source.resolve().name, "label": label, "files": len(plan.images)}
    if not (resumed and batches[-1:] == [batch]):
        batches.append(batch)
    before = pointer.read_text(encoding="utf-8")
    meta[data_dvc.ADDED] = batches
    try:
        data_dvc.write_meta(data, meta)
        data_dvc.add(data, meta)
    except data_dvc.DvcError as error:
        write_text(pointer, before)
        raise data_dvc.DvcError(
            f"{error}\nThe files are in {data}, {pointer} is as it was: the same command again "
            f"completes it, `dvc checkout {pointer}` undoes it"
        ) from error


def added_lines(added: Added, data: Path) -> Iterator[str]:
    """Describe what became of a batch and of the data folder, and what is next."""
    plan = added.plan
    renamed = {
        path: target
        for path, target in plan.images.items()
        if PurePosixPath(target).name != PurePosixPath(path).name
    }
    masks = f" and {number_of(len(plan.masks), 'mask')}" if plan.masks else ""
    yield f"added: {number_of(len(plan.images), 'image')}{masks}"
    yield from _explained("under another name, theirs was taken", renamed, "->")
    yield from _explained("skipped, the same bytes are there already", plan.skipped, "=")
    if added.left_out:
        yield f"left out, no images ({len(added.left_out)}):"
        yield from listed(added.left_out, show_all=False)
    if plan.table is not None:
        yield "patients.csv: extended"
    if added.unknown_patients:
        yield (
            "their patients are unknown: a patients.csv (columns path,patient) in the folder "
            "would keep images of one patient in one split"
        )
    yield f"{data}: {counted(added.counts)}"
    if not plan.is_empty:
        pushed = "" if added.remote is None else ", then `dvc push`"
        yield f"next: `git add {data_dvc.pointer(data)} && git commit`{pushed}"


def _explained(title: str, pairs: Mapping[str, str], sign: str) -> Iterator[str]:
    if pairs:
        yield f"{title} ({len(pairs)}):"
        lines = [f"{path} {sign} {other}" for path, other in pairs.items()]
        yield from listed(lines, show_all=False)
