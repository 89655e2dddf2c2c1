"""Where the data stand: in the folder, in data.dvc, in git, on the remote; and what is next."""

import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.fetch.fetch import has_files
from brain_tumor.dataset.growth.diff import compare, count, images
from brain_tumor.dataset.growth.listing import (
    ListingError,
    in_folder,
    on_record,
)
from brain_tumor.dataset.growth.repository import RemoteError, missing_on_remote
from brain_tumor.dataset.growth.text import counted
from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.dataset.validation.patients import read_patients

Told = tuple[str, str]  # a line, and what to do about it ("": nothing)


@dataclass(frozen=True)
class _State:
    data: Path
    folders: tuple[str, ...]
    found: Mapping[str, str] | None  # None: there is no data folder
    recorded: Mapping[str, str] | None  # None: the list of files cannot be had

    @property
    def pointer(self) -> Path:
        return data_dvc.pointer(self.data)


def status(data: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """Tell where the data stand, a line at a time as it becomes known, the next step last.

    Raises:
        DvcError: `data` is in no DVC repository.
    """
    found = in_folder(data) if has_files(data) else None
    state = _State(data, folders, found, _recorded(data))
    if not state.pointer.is_file():
        yield from _without_pointer(state)
        return
    yield _images(state)
    yield from _patients(state)
    yield f"source: {data_dvc.origin(data_dvc.read_meta(data))}"
    steps: list[str] = []
    for tell in (_folder, _git, _remote):
        line, step = tell(state)
        yield line
        steps.append(step)
    yield f"next: {next(filter(None, steps), '`dvc repro` trains on them, if it has not')}"


def _recorded(data: Path) -> Mapping[str, str] | None:
    try:
        return on_record(data)
    except ListingError:
        return None


def _without_pointer(state: _State) -> Iterator[str]:
    if state.found is None:
        yield f"{state.data}: missing, and there is no {state.pointer}"
        yield "next: `brain-tumor data fetch SOURCE` (`brain-tumor data ensure` makes the phantom)"
    else:
        yield _images(state)
        yield from _patients(state)
        yield f"{state.pointer}: missing, the data are not under DVC"
        yield f"next: `dvc add {state.data}`"


def _images(state: _State) -> str:
    if state.found is not None:
        return f"{state.data}: {counted(count(state.found, state.folders))}"
    if state.recorded is None:
        return f"{state.data}: missing"
    return f"{state.data}: missing; on record: {counted(count(state.recorded, state.folders))}"


def _patients(state: _State) -> Iterator[str]:
    if state.found is None:
        return
    shown = images(state.found, state.folders)
    patients, _ = read_patients(state.data / PATIENTS_FILE, shown)
    known = [patients[path] for path in shown if patients.get(path)]
    if not known:
        yield f"patients: unknown (no {PATIENTS_FILE} names any)"
    else:
        without = len(shown) - len(known)
        rest = f"; {without} of {len(shown)} images are of unknown ones" if without else ""
        yield f"patients: {len(set(known))} known{rest}"


def _folder(state: _State) -> Told:
    pointer = state.pointer
    if state.found is None:
        return f"{pointer}: the folder it describes is missing", "`brain-tumor data ensure`"
    if state.recorded is None:
        return (
            f"{pointer}: cannot be compared, its list of files is in no cache or remote here",
            f"`dvc fetch {pointer}` where a remote has it; or `dvc add {state.data}` keeps what is "
            "in the folder",
        )
    diff = compare(state.recorded, state.found, state.folders)
    if diff.is_empty:
        return f"{pointer}: describes what is in the folder", ""
    return (
        f"{pointer}: describes something else than the folder ({diff})",
        f"`dvc add {state.data}` keeps what is in the folder, `dvc checkout {pointer}` brings back "
        "what is on record",
    )


def _git(state: _State) -> Told:
    command = ["git", "status", "--porcelain", "--", state.pointer.name]
    folder = state.data.absolute().parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        return "git: there is no git repository", ""
    if done.stdout:
        new = f" {state.pointer.with_name('.gitignore')}" if done.stdout.startswith("?") else ""
        step = f"`git add {state.pointer}{new} && git commit`"
        return f"git: {state.pointer} is not committed as it is", step
    return f"git: {state.pointer} is committed", ""


def _remote(state: _State) -> Told:
    wanted = len({*(state.recorded or {}).values()}) + 1  # with the list of files itself
    try:
        answer = missing_on_remote(state.data)
    except RemoteError as error:
        return f"remote: {error}", "put the remote right (`dvc remote list`)"
    if answer is None:
        step = "`dvc remote add -d NAME URL` and `dvc push`, if others are to have the data"
        return "remote: none is set", step
    name, missing = answer
    if state.recorded is None:  # then the remote lacks the list, and DVC tells no more
        missing = 1
    if missing:
        return f"remote: {name} lacks {missing} of {wanted} files", "`dvc push`"
    return f"remote: {name} has the data", ""
