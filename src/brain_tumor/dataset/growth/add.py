"""Add images of one class to the data folder: all of a batch, or nothing of it."""

from dataclasses import dataclass
from pathlib import Path

from brain_tumor.atomic import write_text
from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.fetch.fetch import has_files
from brain_tumor.dataset.growth.carry_out import carry_out, is_carried_out, only_one
from brain_tumor.dataset.growth.diff import compare, count, differing
from brain_tumor.dataset.growth.incoming import Incoming, collect
from brain_tumor.dataset.growth.listing import ignored, in_folder, on_record
from brain_tumor.dataset.growth.plan import Plan, make_plan
from brain_tumor.dataset.growth.repository import default_remote
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.settings import ValidateParams


class AddError(ValueError):
    """A batch cannot be added; nothing of it was."""


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

    The new data folder is made beside the old one, of links to its files, and takes its place in
    one step. Where that or what follows is cut off, the same call completes it.

    Args:
        source: see `incoming.collect`; it stays as it is.
        label: the images' label, "no" or "yes".
        data: the data folder, as data.dvc describes it.
        params: what an image must be, and the class folders.

    Raises:
        AddError: the data folder is not what data.dvc describes, or something of the batch cannot
            be taken; the message names all of it.
        OSError: files cannot be read or written.
        CopyError: another run is adding, or a file changes while it is copied.
        PatientsError: the data folder's patients.csv cannot be read.
        DvcError: `dvc add` failed.
    """
    if source.resolve().is_relative_to(data.resolve()):
        raise AddError(f"{source} lies in {data} already: give a folder outside it")
    if data.resolve().is_relative_to(source.resolve()):
        raise AddError(f"{source} holds {data} itself: give a folder outside it")
    folder = next(name for name, its_label in params.folders.items() if its_label == label)
    with only_one(data):
        _require_data(data)
        incoming = collect(source, folder, params)
        recorded, found = on_record(data), in_folder(data)
        plan = make_plan(incoming, recorded, data / PATIENTS_FILE, folder, params)
        _require_no_problem(source, incoming, plan, data)
        resumed = found != recorded
        if resumed and not is_carried_out(plan, found):
            _refuse_unrecorded(data, recorded, found, params)
        if not plan.is_empty:
            if not resumed:
                carry_out(plan, incoming, data)
            _record(source, label, plan, data, resumed=resumed)
    return Added(
        plan,
        tuple(incoming.left_out),
        (data / PATIENTS_FILE).exists() and not incoming.patients and bool(plan.images),
        count(plan.listing, tuple(params.folders)),
        default_remote(data),
    )


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
        known = "; DICOM has to be exported first" if incoming.left_out else ""
        raise AddError(f"{source}: no image in it ({len(incoming.left_out)} other files){known}")


def _refuse_unrecorded(
    data: Path, recorded: dict[str, str], found: dict[str, str], params: ValidateParams
) -> None:
    differences = ", ".join(differing(compare(recorded, found, tuple(params.folders))))
    pointer = data_dvc.pointer(data)
    raise AddError(
        f"{data} is not what {pointer} describes ({differences}): `dvc add {data}` keeps what is "
        f"in the folder, `dvc checkout {pointer}` brings back what is on record; then add again"
    )


def _record(source: Path, label: str, plan: Plan, data: Path, *, resumed: bool) -> None:
    """Put the batch on record and run `dvc add`; the record goes first, so none can be missing."""
    pointer, meta = data_dvc.pointer(data), data_dvc.read_meta(data)
    batches = list(meta.get(data_dvc.ADDED, []))
    batch = {"name": source.resolve().name, "label": label, "files": len(plan.images)}
    if not (resumed and batches[-1:] == [batch]):
        batches.append(batch)
    before = pointer.read_text(encoding="utf-8")
    try:
        data_dvc.write_meta(data, meta | {data_dvc.ADDED: batches})
        data_dvc.add(data, meta | {data_dvc.ADDED: batches})
    except data_dvc.DvcError as error:
        write_text(pointer, before)
        raise data_dvc.DvcError(
            f"{error}\nThe files are in {data}, {pointer} is as it was: the same command again "
            "completes it"
        ) from error
