"""Figures are the same for the same numbers, and hold no text that needs a font."""

import xml.etree.ElementTree as ET
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from brain_tumor.report.drawings import (
    BLUE,
    INK,
    Interval,
    confusion_svg,
    intervals_svg,
    probabilities_svg,
    reliability_svg,
    roc_svg,
)

TRUTH = np.array([0, 0, 0, 1, 1, 1], dtype=np.int64)
SAID = np.array([0.1, 0.1, 0.6, 0.4, 0.8, 0.9])
BINS = pd.DataFrame(
    {
        "low": [0.0, 0.5],
        "high": [0.5, 1.0],
        "images": [4, 0],
        "predicted": [0.2, np.nan],
        "observed": [0.25, np.nan],
        "observed_low": [0.05, np.nan],
        "observed_high": [0.7, np.nan],
    }
)
ROWS = [Interval("AUROC", 0.9, 0.8, 0.95, "val"), Interval("AUROC", 0.8, None, None, "test")]
DRAWN: dict[str, Callable[[], str]] = {
    "reliability": lambda: reliability_svg(BINS),
    "confusion": lambda: confusion_svg(np.array([[2, 1], [0, 3]])),
    "intervals": lambda: intervals_svg(ROWS, "AUROC", 0.5),
    "roc": lambda: roc_svg(TRUTH, SAID, 0.5),
    "probabilities": lambda: probabilities_svg(TRUTH, SAID, 0.5),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_is_the_same_every_time(name: str) -> None:
    assert DRAWN[name]() == DRAWN[name]()


@pytest.mark.parametrize("name", DRAWN)
def test_a_drawing_needs_no_font_and_names_no_date(name: str) -> None:
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(DRAWN[name]()).iter()}
    assert "svg" in tags
    assert not tags & {"text", "image", "metadata", "script"}


@pytest.mark.parametrize("name", DRAWN)
def test_every_colour_can_be_changed_by_the_page(name: str) -> None:
    svg = DRAWN[name]()
    assert f"var(--figure-ink, {INK})" in svg
    for colour in (INK, BLUE):
        assert svg.count(colour) == svg.count(f", {colour})")


def test_a_forest_plot_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="received none"):
        intervals_svg([])


@pytest.mark.parametrize("draw", [roc_svg, probabilities_svg])
def test_a_drawing_of_very_many_images_is_not_larger_than_of_some_thousands(
    draw: Callable[..., str],
) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 40_000)
    said = np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1)
    assert len(draw(truth, said, 0.5)) < 400_000
