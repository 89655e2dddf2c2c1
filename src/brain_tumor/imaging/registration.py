"""Refinement of a pose by SimpleITK: Mattes mutual information, gradient descent, two levels."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from brain_tumor.imaging.atlas import ATLAS_PX_MM
from brain_tumor.imaging.information import BINS

if TYPE_CHECKING:
    import SimpleITK as sitk  # noqa: N813

_SHRINK = (2, 1)
_SMOOTH_MM = (3.0, 1.0)
_ITERATIONS = 60
_LEARNING_RATE = 1.0
_MIN_STEP = 0.01
_RELAXATION = 0.6


def refine(
    fixed: np.ndarray,
    region: np.ndarray,
    moving: np.ndarray,
    matrix: np.ndarray,
    sampling: tuple[float, int],
) -> np.ndarray:
    """Improve a map between two pictures on the atlas grid.

    Repeats bit for bit on one machine: the sampling seed is given and one thread is used.

    Args:
        fixed: the atlas slice, (side, side).
        region: bool (side, side), where the metric is sampled.
        moving: the picture, (side, side).
        matrix: (2, 3), start: pixel of `fixed` to pixel of `moving`, a similarity.
        sampling: fraction of pixels sampled, 0 to 1, and the sampling seed.

    Returns:
        The refined (2, 3) map, or the start where ITK finds nothing to compare.
    """
    import SimpleITK as sitk  # noqa: N813

    transform = _similarity(matrix, fixed.shape)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(*sampling)
    method.SetMetricFixedMask(_image(region.astype(np.uint8)))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(_SHRINK))
    method.SetSmoothingSigmasPerLevel(list(_SMOOTH_MM))
    method.SetOptimizerAsRegularStepGradientDescent(
        _LEARNING_RATE, _MIN_STEP, _ITERATIONS, _RELAXATION
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        with _one_thread():
            method.Execute(_image(fixed), _image(moving))
    except RuntimeError:  # ITK's only exception: nothing to compare (an even picture), say
        return matrix
    return _matrix(transform)


@contextmanager
def _one_thread() -> Iterator[None]:
    """ITK sums in the order its threads finish; the method's own setting reaches not all parts."""
    import SimpleITK as sitk  # noqa: N813

    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def _image(array: np.ndarray) -> "sitk.Image":
    import SimpleITK as sitk  # noqa: N813

    kept = array if array.dtype == np.uint8 and array.max() <= 1 else array.astype(np.float32)
    image = sitk.GetImageFromArray(kept)
    image.SetSpacing((ATLAS_PX_MM, ATLAS_PX_MM))
    return image


def _similarity(matrix: np.ndarray, shape: tuple[int, ...]) -> "sitk.Similarity2DTransform":
    import SimpleITK as sitk  # noqa: N813

    transform = sitk.Similarity2DTransform()
    centre = np.array([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    moved = matrix[:, :2] @ centre + matrix[:, 2]
    transform.SetCenter([float(value) for value in centre * ATLAS_PX_MM])
    transform.SetTranslation([float(value) for value in (moved - centre) * ATLAS_PX_MM])
    transform.SetScale(float(np.sqrt(np.linalg.det(matrix[:, :2]))))
    transform.SetAngle(float(np.arctan2(matrix[1, 0], matrix[0, 0])))
    return transform


def _matrix(transform: "sitk.Transform") -> np.ndarray:
    """The (2, 3) pixel map, read off three points (both grids have the same spacing)."""
    origin, right, down = (
        np.array(transform.TransformPoint(point)) / ATLAS_PX_MM
        for point in ((0.0, 0.0), (ATLAS_PX_MM, 0.0), (0.0, ATLAS_PX_MM))
    )
    return np.column_stack([right - origin, down - origin, origin])
