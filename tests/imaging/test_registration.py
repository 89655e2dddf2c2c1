"""The slice of the atlas that fits, and how a picture lies on it."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from brain_tumor.imaging.atlas import ATLAS_SIDE_PX, Atlas
from brain_tumor.imaging.geometry import compose, magnification, similarity, transform
from brain_tumor.imaging.registration import Pose, binned, information, normalise, region, search
from brain_tumor.settings import PreprocessParams
from tests import sections

PARAMS = sections.preprocess()
ATLAS_TO_FRAME = similarity(2.0, 0.0, (0.5, 0.5))  # 2 mm pixels to 1 mm pixels
Simulate = Callable[[int, str], Any]


def error_mm(simulated: Any, atlas: Atlas, params: PreprocessParams) -> float:
    """Mean distance over the brain between where points are and where they are thought to be."""
    normalisation = normalise(simulated.image, atlas, params)
    assert normalisation.plane == simulated.plane
    assert normalisation.fallback == ""
    rows, columns = np.nonzero(simulated.brain)
    points = np.stack([columns, rows], axis=1).astype(float)
    truth = transform(simulated.atlas_to_image, points)
    guess = transform(compose(normalisation.matrix, ATLAS_TO_FRAME), points)
    px_per_mm = magnification(simulated.atlas_to_image) / 2.0
    return float(np.linalg.norm(truth - guess, axis=1).mean() / px_per_mm)


def test_a_known_transform_is_recovered(simulate: Simulate, atlas: Atlas) -> None:
    errors = [error_mm(simulate(seed, "axial"), atlas, PARAMS) for seed in range(6)]
    assert np.median(errors) < 1.5
    assert max(errors) < 6.0


@pytest.mark.slow
def test_recovery_keeps_its_stated_error(simulate: Simulate, atlas: Atlas) -> None:
    planes = ["axial"] * 40 + ["coronal"] * 10 + ["sagittal"] * 10
    errors = [error_mm(simulate(seed, plane), atlas, PARAMS) for seed, plane in enumerate(planes)]
    print(f"all: median {np.median(errors):.2f} mm, 95 % {np.percentile(errors, 95):.2f} mm")
    axial = errors[:40]
    print(f"axial: median {np.median(axial):.2f} mm, 95 % {np.percentile(axial, 95):.2f} mm")
    assert np.median(errors) < 1.5
    assert np.percentile(errors, 95) < 6.0


def test_it_repeats_bit_for_bit(simulate: Simulate, atlas: Atlas) -> None:
    image = simulate(3, "axial").image
    first, second = (normalise(image, atlas, PARAMS).matrix for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_rotation_has_the_sign_of_the_picture(simulate: Simulate, atlas: Atlas) -> None:
    simulated = simulate(1, "axial")
    truth = simulated.atlas_to_image
    wanted = np.rad2deg(np.arctan2(truth[1, 0], truth[0, 0]))
    assert normalise(simulated.image, atlas, PARAMS).rotation_deg == pytest.approx(wanted, abs=4.0)


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ({"min_information": 0.99}, "information"),
        ({"min_overlap": 1.0}, "overlap"),
        ({"max_scale": 1.0, "min_scale": 1.0}, "scale"),
        ({"max_rotation_deg": 1e-6}, "rotation"),
    ],
)
def test_a_broken_bound_falls_back_to_centring_with_the_reason(
    bound: dict[str, float], reason: str, simulate: Simulate, atlas: Atlas
) -> None:
    params = PARAMS.model_copy(update=bound)
    normalisation = normalise(simulate(2, "axial").image, atlas, params)
    assert normalisation.fallback.startswith(reason)
    assert normalisation.rotation_deg == 0.0
    y, x = np.argwhere(normalisation.mask).mean(axis=0)
    np.testing.assert_allclose(
        transform(normalisation.matrix, np.array([[127.5, 127.5]]))[0], (x, y)
    )


def test_none_leaves_the_picture_where_it_is(simulate: Simulate) -> None:
    normalisation = normalise(
        simulate(0, "axial").image, None, sections.preprocess(normalisation="none")
    )
    np.testing.assert_array_equal(normalisation.matrix, [[1, 0, 0], [0, 1, 0]])
    assert normalisation.slice_name == ""


@pytest.mark.parametrize("normalisation", ["similarity", "none"])
def test_parameters_of_models_made_with_the_dropped_bound_are_read(
    normalisation: Literal["similarity", "none"],
) -> None:
    params = sections.preprocess(normalisation=normalisation)
    stored = json.dumps(params.model_dump() | {"max_anisotropy": 1.35})
    assert PreprocessParams.model_validate_json(stored, extra="ignore") == params


def test_affine_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValidationError, match=r"no longer offered; .*similarity.*`dvc repro`"):
        PreprocessParams.model_validate_json('{"normalisation": "affine"}', extra="ignore")


def test_a_missing_atlas_is_named(simulate: Simulate) -> None:
    with pytest.raises(ValueError, match="similarity needs an atlas"):
        normalise(simulate(0, "axial").image, None, PARAMS)


def test_a_black_picture_falls_back(atlas: Atlas) -> None:
    normalisation = normalise(np.zeros((70, 90), np.uint8), atlas, PARAMS)
    assert normalisation.fallback != ""


Picture = tuple[NDArray[np.float64], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def picture(simulate: Callable[[int, str], Any]) -> Picture:
    """A slice on the atlas grid, shifted, and its head."""
    image = simulate(3, "axial").image.astype(np.float64)[:ATLAS_SIDE_PX, 9 : 9 + ATLAS_SIDE_PX]
    spare = [(0, ATLAS_SIDE_PX - side) for side in image.shape]
    padded = np.pad(image, spare)
    return padded, padded > 40


def look(picture: Picture, atlas: Atlas, pose: Pose) -> tuple[float, float]:
    """Information and overlap of a pose, pixel by pixel."""
    levels, mask = binned(picture[0]), picture[1]
    head = atlas.heads[pose.slice_index]
    rows, columns = (2 * axis for axis in np.nonzero(region(head)[::2, ::2]))
    moved = np.rint(transform(pose.matrix, np.stack([columns, rows], axis=1))).astype(int)
    inside = ((moved >= 0) & (moved < ATLAS_SIDE_PX)).all(axis=1)
    x, y = np.where(inside[:, None], moved, 0).T
    first = binned(atlas.images[pose.slice_index])[rows, columns]
    shared = information(first, np.where(inside, levels[y, x], 0)[None])[0]
    both = 4 * np.count_nonzero(inside & mask[y, x] & head[rows, columns])
    areas = np.count_nonzero(head) + np.count_nonzero(mask) / magnification(pose.matrix) ** 2
    return float(shared), min(2.0 * both / areas, 1.0)


def test_every_pose_is_scored_as_it_is_seen(picture: Picture, atlas: Atlas) -> None:
    by_slice = search(*picture, atlas, 15.0)
    assert [{pose.slice_index for pose in poses} for poses in by_slice] == [
        {index} for index in range(len(atlas.planes))
    ]
    for poses in by_slice[::3]:
        for pose in poses[::5]:
            assert (pose.information, pose.overlap) == look(picture, atlas, pose)


def test_what_is_kept_of_an_atlas_is_not_used_for_another(picture: Picture, atlas: Atlas) -> None:
    before = search(*picture, atlas, 15.0)
    turned = replace(atlas, images=atlas.images[::-1].copy())
    other = search(*picture, turned, 15.0)
    again = search(*picture, atlas, 15.0)
    assert [pose.information for pose in again[0]] == [pose.information for pose in before[0]]
    assert [pose.information for pose in other[0]] == [pose.information for pose in before[-1]]
