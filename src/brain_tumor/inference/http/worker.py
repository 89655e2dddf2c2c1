"""What a worker process does: load a classifier once, then files to findings until told to end."""

import contextlib
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brain_tumor.inference.classifier import Classifier
    from brain_tumor.inference.finding import Finding

# How the kinds of pictures that are taken begin; DICOM and NIfTI are told by their readers.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Setup:
    """What a worker loads: a bundle folder, and the model's name for its answers."""

    bundle: Path
    model: str


@dataclass(frozen=True)
class Task:
    """A file to look at.

    Attributes:
        data: the whole file.
        slices: how many of a volume, at most.
        heatmap: whether pictures are wanted.
    """

    data: bytes
    slices: int
    heatmap: bool


@dataclass(frozen=True)
class Fault:
    """Why there is no answer: `unsupported`, `undecodable` or `internal`, and a sentence."""

    kind: str
    message: str


Answer = list[dict[str, Any]] | Fault  # fields of `schema.SliceAnswer`, a dict a slice


def work(connection: Connection, setup: Setup) -> None:
    """Answer tasks from a connection until its other end is closed.

    The first thing sent is None when the model is loaded, else why it cannot be.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # of the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from brain_tumor.inference.classifier import Classifier

    try:
        classifier = Classifier.load(setup.bundle, "fast", setup.model, threads=1)
    except (ValueError, OSError) as error:
        connection.send(str(error))
        return
    _silence()
    connection.send(None)
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            connection.send(answer(classifier, connection.recv()))


def answer(classifier: "Classifier", task: Task) -> Answer:
    """What the model says of a file's slices, or why it cannot."""
    from brain_tumor.imaging.decode import DecodeError

    if task.data and not _taken(task.data):
        return Fault("unsupported", "")
    try:
        found = classifier.examine(task.data, task.slices)
        return [_described(one, heatmap=task.heatmap) for one in found]
    except (DecodeError, MemoryError) as error:
        return Fault("undecodable", str(error) or "too large inside to be read")
    except Exception as error:  # whatever a file brings about must not end the worker
        return Fault("internal", where(error))


def where(error: BaseException) -> str:
    """An error's kind and place, without its message, which may quote a patient's file."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


def _taken(data: bytes) -> bool:
    from brain_tumor.imaging.slices.dicom import is_dicom
    from brain_tumor.imaging.slices.nifti import is_nifti

    return data.startswith(_PICTURES) or is_dicom(data) or is_nifti(data)


def _described(finding: "Finding", *, heatmap: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from brain_tumor.inference.heatmap import heatmap_png, picture_png, strongest

    described = asdict(finding.prediction)
    if heatmap:
        described |= {
            "picture": _data_uri(picture_png(finding)),
            "heatmap": _data_uri(heatmap_png(finding)),
            "strongest_place": strongest(finding),
        }
    return described


def _data_uri(png: bytes) -> str:
    import base64

    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _silence() -> None:
    """Libraries that read files may print what they find in them: let them not."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)
