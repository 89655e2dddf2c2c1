"""Whether a registration can be believed."""

import numpy as np

from brain_tumor.imaging.geometry import magnification
from brain_tumor.imaging.search import Pose
from brain_tumor.settings import PreprocessParams


def rotation_deg(matrix: np.ndarray) -> float:
    """Rotation part of a map, degrees in (-180, 180]."""
    linear = matrix[:, :2]
    return float(np.rad2deg(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])))


def reason_to_distrust(pose: Pose, equal_scale: float, params: PreprocessParams) -> str:
    """Name the first bound a registration breaks, with its value; empty if none.

    `equal_scale` is the scale that would give both heads the same area.
    """
    scale = magnification(pose.matrix) / equal_scale
    rotation = rotation_deg(pose.matrix)
    checks = (
        (params.min_scale <= scale <= params.max_scale, f"scale {scale:.2f}"),
        (abs(rotation) <= params.max_rotation_deg, f"rotation {rotation:.0f} deg"),
        (pose.overlap >= params.min_overlap, f"overlap {pose.overlap:.2f}"),
        (pose.information >= params.min_information, f"information {pose.information:.3f}"),
    )
    return next((reason for kept, reason in checks if not kept), "")
