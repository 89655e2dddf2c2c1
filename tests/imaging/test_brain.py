"""The brain in pictures of whole heads whose truth is known, and in pictures of anything."""

import hashlib
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.errors import UserError
from brain_tumor.imaging import brain
from brain_tumor.imaging.brain import (
    CELLS,
    FEATURES,
    FRAME_SIDE_PX,
    Brain,
    Fit,
    Places,
    find_brain,
    fit,
    network_digest,
    probability_right,
)
from brain_tumor.imaging.geometry import (
    compose,
    invert,
    magnification,
    rotation_deg,
    similarity,
    transform,
    warp,
)
from brain_tumor.imaging.preprocess import normalise, preprocess_grey
from tests import sections
from tests.imaging.whole_heads import AXES, CENTRE_MM, PLANES, error_mm, truth_of, whole_head

TRUSTING = sections.preprocess(min_confidence=0.0)


def found_in(image: NDArray[np.uint8]) -> tuple[Brain, Fit]:
    """The brain and its pose, which must be there."""
    normalisation = normalise(image, TRUSTING)
    assert normalisation.brain is not None
    assert normalisation.brain.fit is not None
    return normalisation.brain, normalisation.brain.fit


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("number", range(3))
def test_a_known_transform_is_recovered(plane: str, number: int) -> None:
    drawn = whole_head(number, plane)
    truth = truth_of(drawn)
    found, pose = found_in(drawn.image)
    assert (pose.plane, pose.mirrored) == (plane, truth.mirrored)
    assert abs(pose.position_mm - truth.position_mm) <= 20
    assert error_mm(found.matrix, truth) <= 12
    assert rotation_deg(found.matrix) == pytest.approx(rotation_deg(truth.matrix), abs=8)
    assert magnification(found.matrix) == pytest.approx(magnification(truth.matrix), rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("plane", PLANES)
def test_recovery_keeps_its_stated_error(plane: str) -> None:
    right, away_mm, off_mm = [], [], []
    for number in range(40):
        drawn = whole_head(number, plane)
        truth = truth_of(drawn)
        found, pose = found_in(drawn.image)
        right.append((pose.plane, pose.mirrored) == (plane, truth.mirrored))
        if pose.plane == plane:
            off_mm.append(abs(pose.position_mm - truth.position_mm))
            away_mm.append(error_mm(found.matrix, truth))
    position, in_plane = (np.percentile(errors, [50, 95]) for errors in (off_mm, away_mm))
    print(
        f"{plane}: {np.mean(right):.1%} right; position off by {position[0]:.1f} mm (median), "
        f"{position[1]:.1f} mm (95 %); in plane by {in_plane[0]:.1f} and {in_plane[1]:.1f} mm"
    )
    assert np.mean(right) >= 0.95
    assert (position <= (6, 20)).all()
    assert (in_plane <= (5, 12)).all()


@pytest.mark.slow
def test_confidence_is_the_share_that_is_right() -> None:
    right, confidences = [], []
    for plane in PLANES:
        for number in range(40, 80):
            drawn = whole_head(number, plane)
            truth = truth_of(drawn)
            found = normalise(drawn.image, TRUSTING).brain
            assert found is not None
            confidences.append(found.confidence)
            pose = found.fit
            size = magnification(found.matrix) / magnification(truth.matrix)
            right.append(
                pose is not None
                and (pose.plane, pose.mirrored) == (plane, truth.mirrored)
                and abs(pose.position_mm - truth.position_mm) < 20
                and away_deg(rotation_deg(found.matrix), rotation_deg(truth.matrix)) < 15
                and 1 / 1.2 < size < 1.2
            )
    print(f"right {np.mean(right):.3f}, mean confidence {np.mean(confidences):.3f}")
    assert np.mean(confidences) == pytest.approx(np.mean(right), abs=0.1)


@pytest.mark.parametrize("plane", PLANES)
def test_the_mask_is_the_brain(plane: str) -> None:
    drawn = whole_head(1, plane)
    found, _ = found_in(drawn.image)
    to_picture = compose(found.matrix, invert(found.frame_to_mask))
    truth = warp(drawn.brain, to_picture, found.mask.shape[0], order=0)
    assert 2 * (truth & found.mask).sum() / (truth.sum() + found.mask.sum()) > 0.88


def turned(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The picture resampled; `matrix` takes its pixels to those of `image`."""
    return np.asarray(np.rint(warp(image, matrix, max(image.shape))), np.uint8)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("degrees", [-25.0, 25.0])
def test_rotation_has_the_sign_of_the_picture(plane: str, degrees: float) -> None:
    image = whole_head(1, plane).image
    # Positive in (x, y) with y downwards: the picture's axes turn clockwise in `image`.
    turn = similarity(1.0, np.deg2rad(degrees), (0.0, 0.0))
    middle = (max(image.shape) - 1) / 2
    to_image = compose(
        similarity(1.0, 0.0, ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)),
        compose(turn, similarity(1.0, 0.0, (-middle, -middle))),
    )
    before, _ = found_in(image)
    after, pose = found_in(turned(image, to_image))
    assert pose.plane == plane
    change = rotation_deg(after.matrix) - rotation_deg(before.matrix)
    assert change == pytest.approx(-degrees, abs=5)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_turned_back(plane: str, quarters: int) -> None:
    image = whole_head(3, plane).image
    before, pose = found_in(image)
    after, turned_pose = found_in(np.ascontiguousarray(np.rot90(image, quarters)))
    assert (turned_pose.plane, turned_pose.mirrored) == (plane, pose.mirrored)
    # rot90 turns anticlockwise as seen, and so lie the stored image's axes in the picture.
    assert away_deg(rotation_deg(after.matrix), rotation_deg(before.matrix) - 90 * quarters) < 8
    pixels = truth_of(whole_head(3, plane)).pixels
    here = transform(invert(before.matrix), pixels)
    there = transform(invert(after.matrix), quarter_turned(pixels, image.shape, quarters))
    assert np.linalg.norm(here - there, axis=1).mean() < 8


def quarter_turned(
    pixels: NDArray[np.float64], shape: tuple[int, ...], quarters: int
) -> NDArray[np.float64]:
    """Where `np.rot90` puts pixels (x, y) of a picture."""
    if not quarters:
        return pixels
    turned_once = np.stack([pixels[:, 1], shape[1] - 1 - pixels[:, 0]], axis=1)
    return quarter_turned(turned_once, shape[::-1], quarters - 1)


@pytest.mark.slow
@pytest.mark.parametrize("plane", PLANES)
def test_most_pictures_are_turned_back_however_they_came(plane: str) -> None:
    right = []
    for number in range(20):
        drawn = whole_head(number, plane)
        truth = truth_of(drawn)
        for quarters in (1, 2, 3):
            image = np.ascontiguousarray(np.rot90(drawn.image, quarters))
            found = normalise(image, TRUSTING).brain
            pose = found.fit if found else None
            right.append(
                found is not None
                and pose is not None
                and (pose.plane, pose.mirrored) == (plane, truth.mirrored)
                and away_deg(rotation_deg(found.matrix), rotation_deg(truth.matrix) - 90 * quarters)
                < 15
            )
    print(f"{plane}: {np.mean(right):.1%} of turned pictures are turned back")
    assert np.mean(right) >= 0.9


def away_deg(first: float, second: float) -> float:
    """Angle between two directions, degrees, 0 to 180."""
    return abs((first - second + 180) % 360 - 180)


def test_mirroring_a_sagittal_picture_flips_its_side_and_nothing_else() -> None:
    image = whole_head(3, "sagittal").image
    before, pose = found_in(image)
    after, mirror = found_in(np.ascontiguousarray(image[:, ::-1]))
    assert (mirror.plane, mirror.mirrored) == ("sagittal", not pose.mirrored)
    assert mirror.position_mm == pytest.approx(pose.position_mm, abs=5)
    assert rotation_deg(after.matrix) == pytest.approx(-rotation_deg(before.matrix), abs=5)
    assert magnification(after.matrix) == pytest.approx(magnification(before.matrix), rel=0.05)


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_a_mirrored_picture_of_a_symmetric_plane_keeps_its_position(plane: str) -> None:
    moved_mm = []
    for number in range(6):
        image = whole_head(number, plane).image
        before, pose = found_in(image)
        after, mirror = found_in(np.ascontiguousarray(image[:, ::-1]))
        assert (mirror.plane, mirror.mirrored, pose.mirrored) == (plane, False, False)
        assert rotation_deg(after.matrix) == pytest.approx(-rotation_deg(before.matrix), abs=8)
        moved_mm.append(abs(mirror.position_mm - pose.position_mm))
    assert np.median(moved_mm) <= 4
    assert max(moved_mm) <= 20


@pytest.mark.parametrize("factor", [0.6, 2.0, 5.0])
def test_scaling_a_picture_scales_its_pixels_in_a_millimetre(factor: float) -> None:
    image = whole_head(4, "axial").image
    size = tuple(round(factor * side) for side in image.shape[::-1])
    scaled = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    first, second = (preprocess_grey(each, TRUSTING).record for each in (image, scaled))
    assert second.px_per_mm == pytest.approx(factor * first.px_per_mm, rel=0.05)
    assert second.plane == first.plane
    assert second.position_mm == pytest.approx(first.position_mm, abs=5)


def test_grey_levels_times_a_constant_change_nothing() -> None:
    half = whole_head(5, "coronal").image // 2
    dim, bright = find_brain(half, FIRST), find_brain(2 * half, FIRST)
    assert dim.matrix.tobytes() == bright.matrix.tobytes()
    assert (dim.mask == bright.mask).all()
    assert dim.confidence == bright.confidence


def _answer(image: NDArray[np.uint8]) -> bytes:
    normalisation = normalise(image, TRUSTING)
    return normalisation.matrix.tobytes() + normalisation.mask.tobytes()


def test_it_repeats_bit_for_bit_in_any_process() -> None:
    images = [whole_head(6, plane).image for plane in PLANES]
    here = [_answer(image) for image in images]
    assert [_answer(image) for image in images[::-1]] == here[::-1]
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert list(pool.map(_answer, images)) == here


NOISE = np.random.default_rng(0).integers(0, 256, (200, 240), dtype=np.uint8)
ODD = {
    "black": np.zeros((70, 90), np.uint8),
    "white": np.full((70, 90), 255, np.uint8),
    "noise": NOISE,
    "one pixel": NOISE[:1, :1],
    "tiny": NOISE[:8, :8],
    "a row": np.tile(NOISE[:1], 2)[:, :300],
    "a column": np.tile(NOISE[:, :1], (2, 1))[:300],
    "a dot": np.pad(np.full((2, 2), 255, np.uint8), 60),
    "a line": np.pad(np.full((1, 200), 255, np.uint8), ((90, 90), (10, 10))),
    "huge": np.kron(NOISE, np.ones((20, 20), np.uint8)),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_picture_of_no_head_gets_an_answer_or_a_fallback(kind: str) -> None:
    done = preprocess_grey(ODD[kind], sections.preprocess())
    assert done.image.shape == (299, 299)
    assert bool(done.record.fallback) != bool(done.record.px_per_mm)
    assert np.isfinite(done.record.matrix).all()
    assert 0 <= done.record.confidence <= 1


@pytest.mark.parametrize("kind", ["black", "white"])
def test_an_even_picture_shows_no_brain(kind: str) -> None:
    record = preprocess_grey(ODD[kind], TRUSTING).record
    assert (record.fallback, record.plane, record.confidence) == ("no brain found", "", 0.0)


@pytest.fixture
def network_copy(tmp_path: Path) -> Path:
    """A copy of the network, with its description beside it."""
    for file in (brain.NETWORK, brain.described_in(brain.NETWORK)):
        shutil.copyfile(file, tmp_path / file.name)
    return tmp_path / brain.NETWORK.name


FIRST = similarity(2.5, 0.0, (-5.0, -5.0))


def test_a_damaged_network_is_refused_with_the_remedy(network_copy: Path) -> None:
    find_brain(NOISE, FIRST, network_copy)
    brain._session.cache_clear()
    content = bytearray(network_copy.read_bytes())
    content[len(content) // 2] ^= 1
    network_copy.write_bytes(content)
    with pytest.raises(UserError, match=r"brain\.onnx: not the network.*brain\.json.*install"):
        find_brain(NOISE, FIRST, network_copy)


@pytest.mark.parametrize("suffix", [".onnx", ".json"])
def test_a_missing_file_of_the_network_is_named_with_the_remedy(
    suffix: str, network_copy: Path
) -> None:
    network_copy.with_suffix(suffix).unlink()
    with pytest.raises(UserError, match=rf"brain\{suffix}.*install"):
        find_brain(NOISE, FIRST, network_copy)


def test_the_network_is_small_and_its_description_has_its_digest() -> None:
    content = brain.NETWORK.read_bytes()
    assert len(content) <= 1_000_000
    facts = json.loads(brain.described_in(brain.NETWORK).read_text(encoding="utf-8"))
    assert facts["sha256"] == hashlib.sha256(content).hexdigest()


def test_another_confidence_is_another_digest(network_copy: Path) -> None:
    same = network_digest(network_copy)
    about = brain.described_in(network_copy)
    about.write_text(about.read_text(encoding="utf-8").replace('"bias": ', '"bias": 1'))
    assert same == network_digest() != network_digest(network_copy)


CENTRES = np.arange(CELLS) * brain.CELL_PX + (brain.CELL_PX - 1) / 2
Map = NDArray[np.float64]


def places_of(plane: str, mirrored: bool, frame_to_view: Map, position_mm: float) -> Places:
    """What a faultless network says of a view that lies so."""
    x, y = np.meshgrid(CENTRES, CENTRES)
    frame = transform(invert(frame_to_view), np.stack([x.ravel(), y.ravel()], axis=1))
    middle = (FRAME_SIDE_PX - 1) / 2
    across, up, through = AXES[plane]
    points = np.empty((CELLS * CELLS, 3))
    points[:, across] = (frame[:, 0] - middle) * (-1 if mirrored else 1) + CENTRE_MM[across]
    points[:, up] = middle - frame[:, 1] + CENTRE_MM[up]
    points[:, through] = position_mm
    disc = np.hypot(x - 45, y - 50) < 30
    return Places(disc.astype(np.float64), points.reshape(CELLS, CELLS, 3))


# Frame pixels are 1 mm; a pixel of this view is about 2.4 mm, turned by 17 degrees.
FRAME_TO_VIEW = similarity(1 / 2.4, np.deg2rad(17), (12.0, -20.0))
CORNERS = np.array([[40.0, 40.0], [210.0, 40.0], [40.0, 210.0], [210.0, 210.0]])


@pytest.mark.parametrize(
    ("plane", "mirrored"),
    [("axial", False), ("coronal", False), ("sagittal", False), ("sagittal", True)],
)
def test_a_fit_to_points_of_a_similarity_is_exact(plane: str, mirrored: bool) -> None:
    pose = fit(places_of(plane, mirrored, FRAME_TO_VIEW, 23.0))
    assert pose is not None
    assert (pose.plane, pose.mirrored) == (plane, mirrored)
    np.testing.assert_allclose(pose.matrix, FRAME_TO_VIEW, atol=1e-6)
    assert pose.position_mm == pytest.approx(23.0)
    assert pose.px_mm == pytest.approx(2.4)
    assert max(pose.residual_mm, pose.oblique, pose.spread) < 1e-3
    assert pose.name == f"{plane}+23{'-mirrored' if mirrored else ''}"


@pytest.mark.parametrize("plane", PLANES)
def test_a_fit_bears_a_fifth_of_wild_places(plane: str) -> None:
    places = places_of(plane, False, FRAME_TO_VIEW, -10.0)
    rng = np.random.default_rng(1)
    points, brainy = places.points.reshape(-1, 3), np.flatnonzero(places.brain)
    wild = rng.choice(brainy, len(brainy) // 5, replace=False)
    points[wild] = rng.uniform(-100, 100, (len(wild), 3))
    pose = fit(places)
    assert pose is not None
    assert pose.plane == plane
    moved = transform(pose.matrix, CORNERS) - transform(FRAME_TO_VIEW, CORNERS)
    assert 2.4 * np.linalg.norm(moved, axis=1).max() < 5
    assert pose.position_mm == pytest.approx(-10, abs=3)


@pytest.mark.parametrize("tilt_deg", [10.0, 30.0])
def test_a_tilted_plane_is_called_oblique(tilt_deg: float) -> None:
    places = places_of("axial", False, FRAME_TO_VIEW, 0.0)
    places.points[..., 2] += np.tan(np.deg2rad(tilt_deg)) * places.points[..., 1]
    pose = fit(places)
    assert pose is not None
    assert pose.plane == "axial"
    assert pose.oblique == pytest.approx(1 - np.cos(np.deg2rad(tilt_deg)), abs=0.01)
    assert pose.spread > 2


@pytest.mark.parametrize("probability", [0.0, 0.2])
def test_there_is_no_fit_without_brain(probability: float) -> None:
    places = places_of("axial", False, FRAME_TO_VIEW, 0.0)
    assert fit(Places(np.full((CELLS, CELLS), probability), places.points)) is None


def test_confidence_rises_with_what_its_weights_say_and_stays_a_probability() -> None:
    about: dict[str, Any] = {
        "mean": [1.0] * len(FEATURES),
        "deviation": [0.5] * len(FEATURES),
        "weights": [-2.0, 0.0, 0.0, 0.0, 0.0, 1.0],
        "bias": 0.0,
    }
    features = np.full((3, len(FEATURES)), np.e - 1)
    features[1, 0] = features[2, 5] = 100.0
    values = probability_right(features, about)
    assert values[0] == pytest.approx(0.5)
    assert 0 <= values[1] < 0.01
    assert 0.99 < values[2] <= 1
