"""Where the data stand: in the folder, in data.dvc, in git, on the remote; and what is next."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.fetch.fetch import has_files
from brain_tumor.dataset.growth.diff import compare, count, images
from brain_tumor.dataset.growth.listing import ListingError, in_folder, on_record
from brain_tumor.dataset.growth.repository import RemoteError, missing_on_remote
from brain_tumor.dataset.growth.text import counted
from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.dataset.validation.patients import read_patients
from brain_tumor.repository import GitError, git

Listing = Mapping[str, str] | None  # None: no data folder, or its list of files cannot be had
Check = tuple[str, str]  # a line, and what to do about it ("": nothing)


def status(data: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """Tell where the data stand, a line at a time as it becomes known, the next step last.

    Raises:
        DvcError: `data` is in no DVC repository.
    """
    pointer = data_dvc.pointer(data)
    present = in_folder(data) if has_files(data) else None
    try:
        recorded: Listing = on_record(data)
    except ListingError:
        recorded = None
    if present is not None:
        yield f"{data}: {counted(count(present, folders))}"
        yield _patients(data, images(present, folders))
    elif not pointer.is_file():
        yield f"{data}: missing, and there is no {pointer}"
        yield "next: `brain-tumor data fetch SOURCE` (`brain-tumor data ensure` makes the phantom)"
        return
    else:
        counts = f"; on record: {counted(count(recorded, folders))}" if recorded else ""
        yield f"{data}: missing{counts}"
    if not pointer.is_file():
        yield f"{pointer}: missing, the data are not under DVC"
        yield f"next: `dvc add {data}`"
        return
    yield f"source: {data_dvc.origin(data_dvc.read_meta(data))}"
    steps: list[str] = []
    for check in (
        partial(_folder, data, folders, present, recorded),
        partial(_git, pointer),
        partial(_remote, data, recorded),
    ):
        line, step = check()
        yield line
        steps.append(step)
    yield f"next: {next(filter(None, steps), '`dvc repro` trains on them, if it has not')}"


def _patients(data: Path, shown: Mapping[str, str]) -> str:
    patients, _ = read_patients(data / PATIENTS_FILE, shown)
    known = [patients[path] for path in shown if patients.get(path)]
    if not known:
        return f"patients: unknown (no {PATIENTS_FILE} names any)"
    without = len(shown) - len(known)
    rest = f"; {without} of {len(shown)} images are of unknown ones" if without else ""
    return f"patients: {len(set(known))} known{rest}"


def _folder(data: Path, folders: tuple[str, ...], present: Listing, recorded: Listing) -> Check:
    pointer = data_dvc.pointer(data)
    if present is None:
        return f"{pointer}: the folder it describes is missing", "`brain-tumor data ensure`"
    if recorded is None:
        return (
            f"{pointer}: cannot be compared, its list of files is in no cache or remote here",
            f"`dvc fetch {pointer}` where a remote has it; or `dvc add {data}` keeps what is "
            "in the folder",
        )
    diff = compare(recorded, present, folders)
    if diff.is_empty:
        return f"{pointer}: describes what is in the folder", ""
    return (
        f"{pointer}: describes something else than the folder ({diff})",
        f"`dvc add {data}` keeps what is in the folder, `dvc checkout {pointer}` brings back "
        "what is on record",
    )


def _git(pointer: Path) -> Check:
    try:
        changed = git("status", "--porcelain", "--", pointer.name, folder=pointer.absolute().parent)
    except GitError:
        return "git: there is no git repository", ""
    if changed:
        new = f" {pointer.with_name('.gitignore')}" if changed.startswith("?") else ""
        return (
            f"git: {pointer} is not committed as it is",
            f"`git add {pointer}{new} && git commit`",
        )
    return f"git: {pointer} is committed", ""


def _remote(data: Path, recorded: Listing) -> Check:
    wanted = len({*(recorded or {}).values()}) + 1  # with the list of files itself
    try:
        answer = missing_on_remote(data)
    except RemoteError as error:
        return f"remote: {error}", "put the remote right (`dvc remote list`)"
    if answer is None:
        step = "`dvc remote add -d NAME URL` and `dvc push`, if others are to have the data"
        return "remote: none is set", step
    # Without the list of files the remote lacks it too, and DVC tells no more.
    name, missing = answer if recorded is not None else (answer[0], 1)
    if missing:
        return f"remote: {name} lacks {missing} of {wanted} files", "`dvc push`"
    return f"remote: {name} has the data", ""
