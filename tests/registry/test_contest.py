"""The rule for the champion, branch by branch."""

from dataclasses import replace
from itertools import count

import pytest

from brain_tumor.outputs import StageOutputs
from brain_tumor.registry import register as registering
from brain_tumor.registry.contest import (
    Candidate,
    Figures,
    Gain,
    Guesses,
    decide,
    decide_first,
    figures,
    settled,
)
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking.models import Version

CHAMPION = Candidate("a", "imagenet", Figures(10, 0.8, 0.50), Figures(10, 0.80, 0.5))
BETTER = Candidate("b", "imagenet", Figures(10, 0.8, 0.49), Figures(10, 0.80, 0.5))


def with_test_metric(value: float) -> Candidate:
    return replace(BETTER, test=Figures(10, value, 0.5))


SURE, UNSURE = Gain(0.66, 0.30, 0.05), Gain(0.60, 0.24, 0.0)


@pytest.mark.parametrize(
    ("frequencies", "metadata", "alias"),
    [
        (SURE, SURE, "champion"),
        (UNSURE, SURE, "challenger"),
        (SURE, UNSURE, "challenger"),
    ],
)
def test_first_champion_must_beat_both_guesses_by_more_than_chance(
    frequencies: Gain, metadata: Gain, alias: str, params: RegisterParams
) -> None:
    gains = {"class_frequencies": frequencies, "file_metadata": metadata}
    decision = decide_first(Guesses(10, 0.36, gains), params)
    assert decision.alias == alias
    named = [name.replace("_", " ") in decision.reason for name in gains]
    is_reason = [gain.is_sure == (alias == "champion") for gain in gains.values()]
    assert named == is_reason
    assert ("registry promote --force" in decision.reason) == (alias == "challenger")


def test_first_champion_needs_images_to_be_judged_by(params: RegisterParams) -> None:
    gains = {"class_frequencies": SURE, "file_metadata": SURE}
    few = Guesses(params.min_images_per_class - 1, 0.36, gains)
    for guesses in (few, None):
        decision = decide_first(guesses, params)
        assert decision.alias == "challenger"
        assert "registry promote --force" in decision.reason


def test_force_needs_no_champion_to_beat(params: RegisterParams) -> None:
    forced = params.model_copy(update={"force": True})
    bare = Candidate("b", "random")
    assert settled(bare, None, params) is None
    decision = settled(bare, None, forced)
    assert decision is not None
    assert decision.alias == "champion"


def test_champion_registered_again_stays_champion(params: RegisterParams) -> None:
    assert decide(CHAMPION, CHAMPION, params).alias == "champion"


def test_better_on_validation_and_equal_on_test_wins(params: RegisterParams) -> None:
    assert decide(BETTER, CHAMPION, params).alias == "champion"


@pytest.mark.parametrize(("metric", "alias"), [(0.775, "champion"), (0.774, "challenger")])
def test_margin_on_test_is_inclusive(metric: float, alias: str, params: RegisterParams) -> None:
    assert decide(with_test_metric(metric), CHAMPION, params).alias == alias


@pytest.mark.parametrize("loss", [0.50, 0.51, float("nan")])
def test_not_better_on_validation_loses_however_good_on_test(
    loss: float, params: RegisterParams
) -> None:
    challenger = replace(with_test_metric(1.0), val=Figures(10, 1.0, loss))
    decision = decide(challenger, CHAMPION, params)
    assert decision.alias == "challenger"
    assert "validation" in decision.reason


def test_random_weights_never_displace_others(params: RegisterParams) -> None:
    challenger = replace(BETTER, initial_weights="random")
    decision = decide(challenger, CHAMPION, params)
    assert decision.alias == "challenger"
    assert "random" in decision.reason


def test_random_weights_may_displace_random_ones(params: RegisterParams) -> None:
    champion = replace(CHAMPION, initial_weights="random")
    assert decide(replace(BETTER, initial_weights="random"), champion, params).alias == "champion"
    assert decide(BETTER, champion, params).alias == "champion"


def test_force_overrides_everything(params: RegisterParams) -> None:
    forced = params.model_copy(update={"force": True})
    worst = Candidate("b", "random", Figures(1, 0.0, 9.0), None)
    assert decide(worst, CHAMPION, forced).alias == "champion"


@pytest.mark.parametrize("split", ["val", "test"])
def test_too_few_images_to_compare_keep_the_champion(split: str, params: RegisterParams) -> None:
    fewer = params.min_images_per_class - 1
    few = replace(getattr(BETTER, split), images_per_class=fewer)
    for figure in (few, None):
        challenger = replace(BETTER, val=figure) if split == "val" else replace(BETTER, test=figure)
        assert decide(challenger, CHAMPION, params).alias == "challenger"


def test_figures_are_those_of_the_own_threshold(params: RegisterParams) -> None:
    truth, scores = [0, 0, 0, 1], [0.1, 0.2, 0.6, 0.7]
    low, high = (figures(truth, scores, threshold, params) for threshold in (0.5, 0.65))
    assert low is not None
    assert high is not None
    assert low.metric == pytest.approx((2 / 3 + 1) / 2)
    assert high.metric == 1.0
    assert low.log_loss == high.log_loss
    assert low.images_per_class == 1
    plain = figures(truth, scores, 0.5, params.model_copy(update={"metric": "accuracy"}))
    assert plain is not None
    assert plain.metric == 0.75


def test_one_class_alone_has_no_figures(params: RegisterParams) -> None:
    assert figures([1, 1], [0.2, 0.9], 0.5, params) is None
    assert figures([], [], 0.5, params) is None


def test_contests_end_where_the_champion_never_stops_changing(
    params: RegisterParams, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = count(1)
    contests = []

    def another_champion(*_: object) -> Version:
        return Version("m", str(next(numbers)), "", "", {}, ("champion",))

    monkeypatch.setattr(registering, "champion_of", another_champion)
    monkeypatch.setattr(registering, "contest", lambda *arguments: contests.append(arguments))
    challenger = Version("m", "0", "", "", {}, ())
    with pytest.raises(ValueError, match="champion changed during each of 5 contests with models"):
        registering.judge(None, challenger, StageOutputs(), params)
    assert len(contests) == 5
