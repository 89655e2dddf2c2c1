"""The headline track: resumed where it ended, never twice, refused where it is stale."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_tumor import settings
from brain_tumor.errors import UserError
from brain_tumor.model.metrics import log_loss
from brain_tumor.model.recipe import VERSION
from brain_tumor.settings import EvaluateParams
from evidence.headline import Headline, read_folds, read_former, run_fold
from evidence.parts import Finished, Fold, Pool, originals
from evidence.recipe import Answer
from evidence.summary import summarise_headline
from tests.evidence.toys import ROOT, brightness_recipe, small_pool, small_track

POOL = small_pool()
BOOTSTRAP = EvaluateParams(seed=0, bootstrap_resamples=20)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def track(weights: Path) -> Headline:
    return small_track(POOL, weights)


def run(track: Headline, finished: Finished, folds: Sequence[Fold] | None = None) -> None:
    for fold in track.missing(finished) if folds is None else folds:
        run_fold(track, fold, finished, lambda *_: {})


def tables(finished: Finished) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(finished.folder.glob("*.csv"))}


def test_every_image_is_predicted_once_a_repeat(track: Headline, finished: Finished) -> None:
    run(track, finished)
    table, facts = read_folds(finished, track.params)
    paths = sorted(originals(POOL)["source"])
    for _, rows in table.groupby("repeat"):
        assert sorted(rows["path"]) == paths
    assert table["repeat"].nunique() == 2
    assert [(fold["repeat"], fold["fold"]) for fold in facts] == [
        (fold.repeat, fold.number) for fold in track.folds
    ]
    assert (table["y"] == (table["label"] == "yes")).all()


def test_a_fold_says_what_it_was_made_of(track: Headline, finished: Finished) -> None:
    run(track, finished, track.folds[:1])
    table, facts = finished.read("headline-r0-f0")
    assert list(table.columns) == [
        "path", "label", "cluster", "probability", "uncalibrated", "temperature", "threshold",
        "majority", "metadata", "pixels_1nn", "probe",
    ]  # fmt: skip
    assert facts["chosen"] == {"seed": 0}
    assert facts["wall_s"] >= 0
    assert set(facts["digest"]) == {"images", "data", "params", "recipe"}
    assert {"date", "machine", "python"} <= set(facts["environment"])


def test_an_interrupted_run_goes_on_and_finished_folds_are_not_run_again(
    track: Headline, finished: Finished, tmp_path: Path
) -> None:
    calls: list[int] = []

    def breaks(pool: Pool, fitting: Sequence[str], unseen: Sequence[str], seed: int) -> Answer:
        calls.append(seed)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return brightness_recipe(pool, fitting, unseen, seed)

    interrupted = replace(track, recipe=breaks)
    with pytest.raises(KeyboardInterrupt):
        run(interrupted, finished)
    assert len(track.missing(finished)) == 3
    run(interrupted, finished)
    assert len(calls) == 4 + 3
    whole = Finished(tmp_path / "whole")
    run(track, whole)
    assert tables(finished) == tables(whole)


def test_the_order_of_folds_does_not_matter(
    track: Headline, finished: Finished, tmp_path: Path
) -> None:
    backwards = Finished(tmp_path / "backwards")
    run(track, finished)
    run(track, backwards, track.folds[::-1])
    assert tables(finished) == tables(backwards)


def test_more_repeats_leave_finished_folds_as_they_are(
    track: Headline, finished: Finished, weights: Path
) -> None:
    run(track, finished)
    more = small_track(POOL, weights, repeats=3)
    assert [fold.repeat for fold in more.missing(finished)] == [2, 2, 2]


def test_a_former_recipe_is_read_in_the_repeats_there_are(
    track: Headline, finished: Finished, tmp_path: Path, weights: Path
) -> None:
    former = Finished(tmp_path / "former")
    run(track, finished)
    run(small_track(POOL, weights, repeats=3, rate=0.2), former)
    folds, _ = read_folds(finished, track.params)
    table, facts = read_former(former, folds)
    assert table is not None
    assert set(table["repeat"]) == {part["repeat"] for part in facts} == {0, 1}
    summary = summarise_headline(folds, facts, pd.DataFrame(), [], None, BOOTSTRAP, table)
    paired = summary["former"]["paired"]["log_loss"]
    ours, theirs = (
        np.mean(
            [log_loss(rows["y"].to_numpy(), rows["probability"].to_numpy()) for _, rows in each]
        )
        for each in (folds.groupby("repeat"), table.groupby("repeat"))
    )
    assert paired["value"] == pytest.approx(ours - theirs, abs=1e-5)


def test_a_former_recipe_of_other_images_is_left_out_and_that_is_said(
    track: Headline, finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(track, finished)
    folds, _ = read_folds(finished, track.params)
    assert read_former(Finished(tmp_path / "none"), folds) == (None, [])
    assert capsys.readouterr().err == ""
    others = folds.assign(path="no/" + folds["path"])
    assert read_former(finished, others) == (None, [])
    assert "the former recipe is left out" in capsys.readouterr().err
    assert read_former(finished, folds.assign(repeat=folds["repeat"] + 1)) == (None, [])


def rounded_otherwise(pool: Pool) -> Pool:
    images = pool.images.copy()
    images[0, 0, 0] ^= 1
    return Pool(images, pool.rows)


def relabelled(pool: Pool) -> Pool:
    return Pool(pool.images, pool.rows.replace({"label": {"no": "yes", "yes": "no"}}))


def another_cluster(pool: Pool) -> Pool:
    first = pool.rows["cluster"].iloc[0]
    return Pool(pool.images, pool.rows.replace({"cluster": {first: "another"}}))


def test_parts_of_unlike_processors_go_together(
    track: Headline, finished: Finished, weights: Path
) -> None:
    """Which round a pixel differently; images, code and parameters are the same."""
    run(track, finished, track.folds[:1])
    track = small_track(rounded_otherwise(POOL), weights)
    assert track.missing(finished) == list(track.folds[1:])


@pytest.mark.parametrize("section", ["preprocess", "augment"])
def test_another_preprocessing_is_other_data(
    section: str, track: Headline, finished: Finished, weights: Path
) -> None:
    run(track, finished, track.folds[:1])
    params = settings.read(ROOT / settings.PARAMS)
    field = {"preprocess": "crop_margin_fraction", "augment": "gamma"}[section]
    changed = getattr(params, section).model_copy(update={field: 0.07})
    params = replace(params, **{section: changed})
    with pytest.raises(UserError, match="made from other data"):
        small_track(POOL, weights, settings=params).missing(finished)


@pytest.mark.parametrize("change", [relabelled, another_cluster])
def test_other_data_are_an_error_that_says_what_to_delete(
    change: Any, track: Headline, finished: Finished, weights: Path
) -> None:
    run(track, finished, track.folds[:1])
    with pytest.raises(UserError, match=r"headline-r0-f0\.json: made from other data.*delete"):
        small_track(change(POOL), weights).missing(finished)


def test_other_weights_are_other_data(track: Headline, finished: Finished, weights: Path) -> None:
    run(track, finished, track.folds[:1])
    weights.write_bytes(b"others")
    with pytest.raises(UserError, match="made from other data"):
        small_track(POOL, weights).missing(finished)


def test_other_parameters_are_an_error(track: Headline, finished: Finished, weights: Path) -> None:
    run(track, finished, track.folds[:1])
    for changed in (small_track(POOL, weights, rate=0.2), small_track(POOL, weights, folds=4)):
        with pytest.raises(UserError, match="made from other params"):
            changed.missing(finished)


def test_another_recipe_is_an_error(
    track: Headline, finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(track, finished, track.folds[:1])
    monkeypatch.setattr("evidence.headline.VERSION", VERSION + 1)
    with pytest.raises(UserError, match="made from other recipe"):
        track.missing(finished)


def test_a_whole_track_is_kept_unless_it_is_of_other_images(
    track: Headline, finished: Finished, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(track, finished)
    assert small_track(POOL, weights, rate=0.2).missing(finished) == []
    assert "were made from other params" in capsys.readouterr().err
    with pytest.raises(UserError, match="made from other images"):
        small_track(POOL, weights, images="others").missing(finished)


def test_a_missing_fold_is_found_out_when_they_are_read(
    track: Headline, finished: Finished
) -> None:
    run(track, finished, track.folds[:-1])
    with pytest.raises(ValueError, match=r"headline-r1-f2\.json: missing.*make evidence"):
        read_folds(finished, track.params)


def test_folds_of_more_repeats_than_asked_for_are_passed_over(
    track: Headline, finished: Finished
) -> None:
    run(track, finished)
    table, _ = read_folds(finished, track.params.model_copy(update={"repeats": 1}))
    assert table["repeat"].unique().tolist() == [0]


def test_folds_that_do_not_belong_together_are_found_out(
    track: Headline, finished: Finished
) -> None:
    run(track, finished)
    table = finished.folder / "headline-r0-f1.csv"
    (finished.folder / "headline-r0-f0.csv").write_bytes(table.read_bytes())
    with pytest.raises(ValueError, match=r"predicted [13] times in 2 repeats"):
        read_folds(finished, track.params)


def test_a_recipe_that_gives_no_probabilities_is_found_out(
    track: Headline, finished: Finished
) -> None:
    def broken(pool: Pool, fitting: Sequence[str], unseen: Sequence[str], seed: int) -> Answer:
        answer = brightness_recipe(pool, fitting, unseen, seed)
        return replace(answer, probability=np.full(len(unseen), np.nan))

    with pytest.raises(RuntimeError, match="headline-r0-f0"):
        run(replace(track, recipe=broken), finished)
    assert not finished.folder.exists()
