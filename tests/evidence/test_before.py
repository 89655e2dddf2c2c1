"""The former recipe: what it may see, and the comparison with the present one."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.evidence.small_pool import small_pool
from tests.evidence.test_headline_summary import PARAMS, folds

from brain_tumor import params as params_file
from brain_tumor.evidence.before import compare_before
from brain_tumor.evidence.folds import outer_folds
from brain_tumor.evidence.former import BeforeParams, FormerRecipe
from brain_tumor.evidence.pages import BEFORE
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.fit import Start
from brain_tumor.report.evidence_tables import before_and_after
from brain_tumor.report.page import markdown

EVIDENCE = Path(__file__).parents[2] / "evidence" / "params.yaml"


def former() -> pd.DataFrame:
    """The probe's predictions on the first repeat, as if they were a recipe's."""
    first = folds().query("repeat == 0")
    return first.assign(probability=first["probe"])


def test_the_comparison_is_paired_on_the_repeats_both_have() -> None:
    found = compare_before(folds(), former(), PARAMS)
    assert found["repeats"] == 1
    difference = found["after"]["auroc"]["value"] - found["before"]["auroc"]["value"]
    rounded = pytest.approx(difference, abs=2e-6)  # each to 6 digits
    assert found["paired"]["auroc"]["value"] == rounded
    page = markdown(before_and_after(found, BEFORE, "decisions.md"))
    assert f"{found['before']['auroc']['value']:.2f} [" in page


def test_other_outer_folds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"other outer folds.*delete docs/evidence/before"):
        compare_before(folds(), former().assign(fold=0), PARAMS)


@pytest.mark.slow
def test_the_former_recipe_does_not_see_what_it_answers(
    random_weights: Path, tmp_path: Path
) -> None:
    section = params_file.load(EVIDENCE, "before", BeforeParams)
    small = {"head_block": 2, "head_epochs": 2, "fine_tune_epochs": 1, "batch_size": 8}
    params = BeforeParams(folds=2, train=section.train.model_copy(update=small))
    recipe = FormerRecipe(Start(random_weights, FeatureCache(tmp_path, 1 << 30)), params)
    pool = small_pool()
    fold = next(outer_folds(pool, 3, 0))
    answer = recipe(pool, fold.development, fold.unseen, 0)
    assert answer.probability.shape == (len(fold.unseen),)
    assert answer.threshold == 0.5
    assert not set(answer.inner["path"]) & set(fold.unseen)
    relabelled = pool.rows["label"].where(~pool.rows["source"].isin(fold.unseen), "no")
    other = type(pool)(pool.images, pool.rows.assign(label=relabelled))
    again = recipe(other, fold.development, fold.unseen, 0)
    np.testing.assert_array_equal(again.probability, answer.probability)
