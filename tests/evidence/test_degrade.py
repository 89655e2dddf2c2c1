"""Degraded pictures: what each kind does, more at each level, the same every time."""

import numpy as np
import pytest

from brain_tumor.evidence.degrade import Kind, degraded
from brain_tumor.imaging.decode import decode

LEVELS: dict[Kind, tuple[float, ...]] = {
    "noise": (0.02, 0.1, 0.3),
    "blur": (0.003, 0.01, 0.03),
    "contrast": (0.8, 0.4, 0.1),
    "rotation": (5.0, 15.0, 40.0),
    "jpeg": (75, 25, 5),
}


def picture(height: int = 80, width: int = 100) -> np.ndarray:
    """A head-like disc with texture on black, uint8."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    texture = np.random.default_rng(3).normal(0, 12, (height, width))
    return np.where(x**2 + y**2 < 0.6, 130 + 60 * x + texture, 0).clip(0, 255).astype(np.uint8)


def changed(kind: Kind, level: float, seed: int = 0, name: str = "yes/a.jpg") -> np.ndarray:
    return decode(degraded(picture(), kind, level, seed, name)).astype(float)


@pytest.mark.parametrize("kind", LEVELS)
def test_the_same_seed_and_name_give_the_same_bytes(kind: Kind) -> None:
    level = LEVELS[kind][1]
    first = degraded(picture(), kind, level, 0, "yes/a.jpg")
    assert degraded(picture(), kind, level, 0, "yes/a.jpg") == first


def test_another_name_or_seed_gives_other_noise() -> None:
    first = changed("noise", 0.1)
    assert not np.array_equal(changed("noise", 0.1, name="yes/b.jpg"), first)
    assert not np.array_equal(changed("noise", 0.1, seed=1), first)


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_a_stronger_level_is_farther_from_the_picture(kind: Kind) -> None:
    away = [np.abs(changed(kind, level) - picture()).mean() for level in LEVELS[kind]]
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("kind", ["noise", "blur", "contrast", "jpeg"])
def test_size_stays(kind: Kind) -> None:
    assert changed(kind, LEVELS[kind][2]).shape == (80, 100)


def test_noise_has_the_stated_deviation_where_the_signal_is_strong() -> None:
    grey = np.full((200, 200), 150, np.uint8)
    noisy = decode(degraded(grey, "noise", 0.1, 0, "a"))
    assert noisy.std() == pytest.approx(15, rel=0.05)
    dark = np.where(np.arange(200)[:, None] < 100, 150, 0).astype(np.uint8) * np.ones(
        (1, 200), np.uint8
    )
    background = decode(degraded(dark, "noise", 0.1, 0, "a"))[100:]
    assert background.mean() == pytest.approx(15 * np.sqrt(np.pi / 2), rel=0.05)  # Rayleigh


def test_contrast_keeps_the_mean_and_shrinks_differences() -> None:
    low = changed("contrast", 0.4)
    assert low.mean() == pytest.approx(picture().mean(), abs=0.6)
    assert low.std() == pytest.approx(0.4 * picture().std(), rel=0.02)


def test_rotation_cuts_nothing_off_and_fills_with_the_edge() -> None:
    turned = changed("rotation", 30.0)
    assert min(turned.shape) > 80
    assert turned[0, 0] == turned[-1, -1] == 0
    assert turned.sum() == pytest.approx(picture().sum(dtype=float), rel=0.01)


def test_a_file_turns_the_same_way_at_every_level_and_files_turn_either_way() -> None:
    def leans_right(name: str, degrees: float) -> bool:
        bar = np.zeros((61, 61), np.uint8)
        bar[5:31, 30] = 255  # up from the middle
        turned = decode(degraded(bar, "rotation", degrees, 0, name)).astype(float)
        columns = np.arange(turned.shape[1]) - (turned.shape[1] - 1) / 2
        return bool((turned.sum(axis=0) * columns).sum() > 0)

    ways = {name: leans_right(name, 10) for name in map(str, range(12))}
    assert set(ways.values()) == {True, False}
    assert all(leans_right(name, 40) == way for name, way in ways.items())


def test_jpeg_alone_is_written_as_jpeg() -> None:
    assert degraded(picture(), "jpeg", 50, 0, "a").startswith(b"\xff\xd8")
    assert degraded(picture(), "blur", 0.01, 0, "a").startswith(b"\x89PNG")
