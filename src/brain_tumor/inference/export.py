"""The network written for the fast engine, and proof that it says the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import RESTORE, read_json, replacing
from brain_tumor.inference.engine import KerasEngine, OnnxEngine
from brain_tumor.model.explain import Explanation
from brain_tumor.model.saved import SavedModel
from brain_tumor.outputs import EXPORT_REPORT

TOLERANCE = 1e-3  # of a probability; of features and contributions, relative to the largest


@dataclass(frozen=True)
class Agreement:
    """How far the exported network is from the Keras one.

    Attributes:
        images: how many were compared.
        probability: largest difference of a probability.
        features: of a feature, as a fraction of the largest feature.
        contributions: of a place's contribution, as a fraction of the largest one.
    """

    images: int
    probability: float
    features: float
    contributions: float


def export_network(
    model: SavedModel, path: Path, images: NDArray[np.uint8] | None = None
) -> Agreement:
    """Write a network for `engine.OnnxEngine`; the same network gives the same bytes.

    Args:
        model: the network and what it is.
        path: file to write (`bundle.FAST_FILE`); whole, or not at all.
        images: uint8 (N, size, size), N at least 1, to compare on; by default, two of noise.

    Returns:
        How well both agree.

    Raises:
        UserError: they do not, or the network holds a layer that cannot be exported.
    """
    from brain_tumor.inference.onnx import to_onnx

    if images is None:
        side = model.meta.size_px
        images = np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8)
    with replacing(path) as aside:
        aside.write_bytes(to_onnx(model.network).SerializeToString(deterministic=True))
        return compare(KerasEngine(model.network).see(images), OnnxEngine(aside).see(images))


def exported_digest(folder: Path) -> str:
    """The digest of the model that stage export left in `folder`, as the registry has it.

    Raises:
        UserError: its report is missing or older than the digest.
    """
    path = folder / EXPORT_REPORT
    report = read_json(path, RESTORE)
    if "digest" not in report:
        raise UserError(f"{path}: no digest of a model; run `dvc repro`")
    return str(report["digest"])


def compare(reference: Explanation, seen: Explanation) -> Agreement:
    """How far `seen` is from `reference`, of the same images.

    Raises:
        UserError: there are no images, or a difference is above `TOLERANCE`.
    """
    if not len(reference.probability):
        raise UserError("no images to compare the exported network with the trained one on")
    probability = float(np.abs(seen.probability - reference.probability).max())
    differences = {
        "probability": probability,
        "features": _relative(reference.features, seen.features),
        "contributions": _relative(reference.contributions, seen.contributions),
    }
    _check(differences)
    return Agreement(len(reference.probability), **differences)


def _check(differences: Mapping[str, float]) -> None:
    for name, difference in differences.items():
        if not difference <= TOLERANCE:  # so that nan fails
            raise UserError(
                f"the exported network's {name} is {difference:.2g} from the trained network's; "
                f"at most {TOLERANCE} is allowed"
            )


def _relative(reference: NDArray[np.float32], values: NDArray[np.float32]) -> float:
    scale = max(float(np.abs(reference).max()), float(np.finfo(np.float32).tiny))
    return float(np.abs(values - reference).max()) / scale
