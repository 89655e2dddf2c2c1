"""What runs the network: Keras, the reference, or ONNX Runtime, which is faster and smaller."""

from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.inference.bundle import FAST_FILE
from brain_tumor.machine import processors
from brain_tumor.model.explain import Explainer, Explanation, beside, empty_picture
from brain_tumor.model.saved import BATCH, NETWORK_FILE, load, to_unit

EngineName = Literal["keras", "fast"]
NETWORKS: Final[dict[EngineName, str]] = {"keras": NETWORK_FILE, "fast": FAST_FILE}


class Engine(Protocol):
    """Runs a network and says what its probability comes from."""

    @property
    def name(self) -> str:
        """Whose it is: `keras` or `onnxruntime`."""

    def see(self, images: NDArray[np.uint8]) -> Explanation:
        """Look at grey images, uint8 (N, size, size); none give empty arrays."""


class KerasEngine(Explainer):
    """The network as it was trained (see `saved.load`), the reference; needs TensorFlow."""

    name = "keras"


class OnnxEngine:
    """A network written by `export.export_network`, run by ONNX Runtime without TensorFlow."""

    name = "onnxruntime"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load the network; by default it computes with a thread per usable processor.

        Raises:
            UserError: it is missing or unreadable.
        """
        import onnxruntime

        if not path.is_file():
            raise UserError(f"{path}: no network for the fast engine; run `dvc repro` or use keras")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or processors()
        options.log_severity_level = 3  # errors only
        cpu = ["CPUExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=cpu)
        except Exception as error:  # ONNX Runtime's errors share no other class
            raise UserError(f"{path}: not a readable exported network: {error}") from error
        self._empty = self._parts(empty_picture(self._session.get_inputs()[0].shape[1]))

    def see(self, images: NDArray[np.uint8]) -> Explanation:
        """Look at images (see `Engine`)."""
        to_unit(images[:0])  # wrong images are named before any work
        starts = range(0, len(images), BATCH)
        parts = [self._parts(images[start : start + BATCH]) for start in starts]
        return beside(parts, self._empty)

    def _parts(self, images: NDArray[np.uint8]) -> Explanation:
        feed = {self._session.get_inputs()[0].name: images}
        probability, features, contributions = self._session.run(None, feed)
        return Explanation(probability.astype(np.float64), features, contributions)


def load_engine(folder: Path, name: EngineName, threads: int | None = None) -> Engine:
    """Load what runs the network of a bundle folder (see `inference.bundle`).

    `keras` is the network as it was trained; `fast` is exported for inference and computes with
    so many threads.

    Raises:
        UserError: the network is missing or unreadable; the message names the file.
    """
    if name == "keras":
        return KerasEngine(load(folder).network)
    return OnnxEngine(folder / FAST_FILE, threads)
