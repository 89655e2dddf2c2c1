"""What one outer fold says: the recipe and the baselines on images they never saw."""

from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.evidence.baselines import Baselines
from brain_tumor.evidence.folds import Fold
from brain_tumor.evidence.pool import Pool, originals
from brain_tumor.evidence.recipe import Answer, Recipe


def answer_fold(
    pool: Pool, recipe: Recipe, baselines: Baselines, fold: Fold
) -> tuple[Answer, pd.DataFrame]:
    """Run recipe and baselines on a fold.

    Returns:
        The recipe's answer, and a row per unseen image: path, label, cluster, probability,
        uncalibrated, temperature, threshold and the probability of each baseline.

    Raises:
        RuntimeError: the recipe does not give a probability for each image.
    """
    answer = recipe(pool, fold.development, fold.unseen, fold.repeat)
    rows = originals(pool).set_index("source").loc[list(fold.unseen)]
    said = answer.probability
    if said.shape != (len(rows),) or not ((said >= 0.0) & (said <= 1.0)).all():
        raise RuntimeError(f"{fold.name}: {len(rows)} probabilities needed, the recipe gave {said}")
    columns: dict[str, Any] = {
        "path": list(fold.unseen),
        "label": rows["label"].to_numpy(str),
        "cluster": rows["cluster"].to_numpy(str),
        "probability": said,
        "uncalibrated": np.asarray(answer.uncalibrated),
        "temperature": answer.temperature,
        "threshold": answer.threshold,
    }
    return answer, pd.DataFrame(columns | baselines.predict(fold))
