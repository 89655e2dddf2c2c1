import json
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import ValidationError
from tests import sections

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.geometry import compose, magnification, similarity, transform
from brain_tumor.imaging.normalise import normalise
from brain_tumor.settings import PreprocessParams

PARAMS = sections.preprocess()
ATLAS_TO_FRAME = similarity(2.0, 0.0, (0.5, 0.5))  # 2 mm pixels to 1 mm pixels
Simulate = Callable[[int, str], Any]


def error_mm(simulated: Any, atlas: Atlas, params: PreprocessParams) -> float:
    """Mean distance over the brain between where points are and where they are thought to be."""
    found = normalise(simulated.image, atlas, params)
    assert found.plane == simulated.plane
    assert found.fallback == ""
    rows, columns = np.nonzero(simulated.brain)
    points = np.stack([columns, rows], axis=1).astype(float)
    truth = transform(simulated.atlas_to_image, points)
    guess = transform(compose(found.matrix, ATLAS_TO_FRAME), points)
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
    found = normalise(simulate(2, "axial").image, atlas, params)
    assert found.fallback.startswith(reason)
    assert found.rotation_deg == 0.0
    y, x = np.argwhere(found.mask).mean(axis=0)
    np.testing.assert_allclose(transform(found.matrix, np.array([[127.5, 127.5]]))[0], (x, y))


def test_none_leaves_the_picture_where_it_is(simulate: Simulate) -> None:
    found = normalise(simulate(0, "axial").image, None, sections.preprocess(normalisation="none"))
    np.testing.assert_array_equal(found.matrix, [[1, 0, 0], [0, 1, 0]])
    assert found.slice_name == ""


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
    found = normalise(np.zeros((70, 90), np.uint8), atlas, PARAMS)
    assert found.fallback != ""
