"""The comparison of two samples: honest where nothing differs, awake where something does."""

import numpy as np
import pandas as pd
import pytest

from brain_tumor.monitoring.drift import measure_all, with_model_measures
from brain_tumor.monitoring.drift_test import Difference, compare, design
from tests import sections

PARAMS = sections.drift(alpha=0.05, min_effect=0.2, permutations=499)
Sizes = tuple[int, int]


def draw(
    rng: np.random.Generator,
    clusters: int,
    *,
    side: str,
    sizes: Sizes = (1, 3),
    yes: float = 0.6,
    shift: float = 0.0,
    scale: float = 1.0,
) -> pd.DataFrame:
    """Images in clusters; what is measured depends on class and cluster."""
    rows = []
    for cluster in range(clusters):
        label = "yes" if rng.random() < yes else "no"
        centre = rng.normal()
        split = "" if side == "new" else ("train", "val", "test")[cluster % 3]
        for _ in range(rng.integers(sizes[0], sizes[1] + 1)):
            value = 0.7 * centre + 0.7 * rng.normal() + 1.5 * (label == "yes")
            name, looks = f"{side}-{cluster}", value * scale + shift
            rows.append((name, split, label, looks, rng.normal(), rng.integers(2)))
    columns = ["cluster", "split", "label", "side_px", "detail", "axial"]
    return pd.DataFrame(rows, columns=columns)


def difference_of(images: pd.DataFrame, *, of_class: bool = True) -> Difference:
    layout = design(
        images["cluster"].to_numpy(str),
        (images["split"] == "").to_numpy(),
        (images["label"] == "yes").to_numpy(),
        of_class=of_class,
    )
    return compare(images["side_px"].to_numpy(), layout, 299, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("known", "new", "yes"),
    [
        ((1, 3), (1, 3), 0.6),
        ((1, 3), (1, 3), 1.0),  # only tumours are added
        ((1, 1), (10, 10), 0.6),
        ((10, 10), (1, 1), 0.6),  # single slices added to whole volumes
    ],
)
def test_exchangeable_images_alarm_at_most_alpha_of_the_time(
    known: Sizes, new: Sizes, yes: float
) -> None:
    rng = np.random.default_rng(5)
    draws = 200
    p = np.array(
        [
            difference_of(
                pd.concat(
                    [
                        draw(rng, 60, side="old", sizes=known),
                        draw(rng, 15, side="new", sizes=new, yes=yes),
                    ]
                )
            ).p
            for _ in range(draws)
        ]
    )
    for alpha in (0.05, 0.1):  # within three standard deviations
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / draws)
    assert (p <= 0.5).mean() > 0.1  # it is a p value, not a constant


@pytest.mark.slow
def test_all_measures_together_warn_at_most_alpha_of_the_time() -> None:
    rng = np.random.default_rng(6)
    warned = []
    for _ in range(150):
        both = [draw(rng, 60, side="old"), draw(rng, 15, side="new", yes=0.6)]
        images = complete(pd.concat(both, ignore_index=True), rng)
        warned.append(any(compared.warns for compared in measure_all(images, PARAMS)))
    assert np.mean(warned) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


def complete(images: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """With a model's probabilities and features."""
    right = np.clip(0.7 + 0.2 * rng.normal(size=len(images)), 0, 1)
    is_yes = images["label"] == "yes"
    images = images.assign(probability=np.where(is_yes, right, 1 - right))
    return with_model_measures(images, rng.normal(size=(len(images), 8)).astype(np.float32), 5)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("side_px", "images are larger"),
        ("detail", "images are sharper or noisier"),
        ("axial", "more slices are axial"),
        ("right", "the model is surer of the true class"),
        ("distance", "images lie farther from the training images"),
    ],
)
def test_a_real_shift_is_caught_and_named_and_nothing_else(column: str, sentence: str) -> None:
    rng = np.random.default_rng(7)
    both = [draw(rng, 120, side="old"), draw(rng, 40, side="new")]
    images = complete(pd.concat(both, ignore_index=True), rng)
    if column == "axial":
        images.loc[images["is_new"], "axial"] = 1
    else:
        images[column] += images["is_new"] * 2.5 * images[column].std()
    measured = measure_all(images, PARAMS)
    warned = [compared for compared in measured if compared.warns]
    assert [compared.measure.name for compared in warned] == [column]
    assert warned[0].sentence().startswith(sentence)
    assert "KS 0." in warned[0].sentence()


def test_only_tumours_are_a_shift_of_the_balance_and_of_nothing_else() -> None:
    rng = np.random.default_rng(8)
    both = [draw(rng, 150, side="old", yes=0.5), draw(rng, 50, side="new", yes=1.0)]
    images = pd.concat(both, ignore_index=True)
    assert difference_of(images, of_class=False).p < 0.01  # as if nobody minded the classes
    warned = [compared for compared in measure_all(complete(images, rng), PARAMS) if compared.warns]
    assert [compared.measure.name for compared in warned] == ["is_yes"]
    assert warned[0].sentence().startswith("more images show a tumour: 100% against 47%")


def test_a_wider_spread_is_no_shift_up_or_down() -> None:
    rng = np.random.default_rng(9)
    both = [draw(rng, 150, side="old", yes=0.0), draw(rng, 60, side="new", yes=0.0, scale=5.0)]
    images = complete(pd.concat(both, ignore_index=True), rng)
    [wide] = [compared for compared in measure_all(images, PARAMS) if compared.warns]
    assert wide.difference.direction == "spread"
    assert wide.sentence().startswith("the size varies differently: 80% lie in -")


def test_what_the_digits_do_not_show_is_no_difference() -> None:
    rng = np.random.default_rng(15)
    both = [draw(rng, 60, side="old"), draw(rng, 30, side="new")]
    images = complete(pd.concat(both, ignore_index=True), rng)
    images["bytes_per_px"] = 1.003 + 0.004 * images["is_new"]  # a header, not a compression
    assert not any(compared.warns for compared in measure_all(images, PARAMS))
    images["bytes_per_px"] += 0.2 * images["is_new"]
    [warning] = [compared for compared in measure_all(images, PARAMS) if compared.warns]
    assert warning.sentence().startswith("files are less compressed: median 1.2 bytes per pixel")


def test_copies_are_no_evidence() -> None:
    rng = np.random.default_rng(10)
    known, new = draw(rng, 60, side="old"), draw(rng, 12, side="new", shift=0.8)
    once = difference_of(pd.concat([known, new]))
    tenfold = difference_of(pd.concat([known, *[new] * 10]))
    assert tenfold.p == once.p
    assert tenfold.effect == pytest.approx(once.effect, abs=1e-12)
    assert 0.01 < once.p < 1  # ten times as many would have been sure


def test_difference_is_that_of_scipy_for_single_images() -> None:
    from scipy.stats import ks_2samp

    rng = np.random.default_rng(11)
    known = draw(rng, 80, side="old", sizes=(1, 1), yes=0)
    new = draw(rng, 30, side="new", sizes=(1, 1), yes=0, shift=0.6)
    found = difference_of(pd.concat([known, new]))
    expected = ks_2samp(new["side_px"], known["side_px"])
    assert found.effect == pytest.approx(expected.statistic, abs=1e-12)
    assert found.direction == "higher"
    assert found.p == pytest.approx(expected.pvalue, abs=0.03)


def test_reference_without_a_class_is_compared_as_a_whole() -> None:
    rng = np.random.default_rng(12)
    found = difference_of(
        pd.concat([draw(rng, 40, side="old", yes=0), draw(rng, 20, side="new", yes=1)])
    )
    assert found.direction == "higher"
    assert found.p < 0.05


def test_too_few_held_out_images_leave_their_measures_out() -> None:
    rng = np.random.default_rng(13)
    both = [draw(rng, 12, side="old"), draw(rng, 12, side="new")]
    images = complete(pd.concat(both, ignore_index=True), rng)
    names = {compared.measure.name for compared in measure_all(images, PARAMS)}
    assert names == {"side_px", "detail", "axial", "is_yes"}


def test_own_copies_are_no_neighbours() -> None:
    rng = np.random.default_rng(14)
    from brain_tumor.monitoring.drift import training_distance

    features = rng.normal(size=(40, 6)).astype(np.float32)
    training = np.arange(40) < 30
    cluster = np.array([f"c{index}" for index in range(40)])
    features[30] = features[0]
    apart = training_distance(features, training, cluster, 1)
    cluster[30] = cluster[0]
    together = training_distance(features, training, cluster, 1)
    assert apart[30] == pytest.approx(0, abs=1e-6)
    assert together[30] == pytest.approx(together[0])
    assert together[30] > 0.1


def test_memory_holds_one_draw_of_the_clusters_and_not_all() -> None:
    import tracemalloc

    rng = np.random.default_rng(0)
    cluster = (np.arange(4000) // 2).astype(str)
    is_new, values = rng.random(4000) < 0.3, rng.normal(0, 1, 4000)
    layout = design(cluster, is_new, is_new, of_class=False)
    tracemalloc.start()
    compare(values, layout, permutations=50, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * 8 * len(layout.is_new) * 256  # a draw is units x grid; there are 25
