"""The test of the explanations in figures, with intervals over patients."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.evidence.localisation import NAMES
from brain_tumor.evidence.localisation_grid import Floats
from brain_tumor.evidence.localisation_judged import MODEL, RIVALS
from brain_tumor.evidence.localisation_params import LocalisationParams
from brain_tumor.evidence.localisation_places import PLACES
from brain_tumor.model.metrics import (
    Estimate,
    EvaluateParams,
    Plain,
    cluster_bootstrap,
    estimate,
    plain,
    wilson,
)  # fmt: skip

Scored = dict[str, dict[str, Plain]]


def scores(table: pd.DataFrame, params: LocalisationParams) -> Scored:
    """Mean of each score of each kind of map.

    Args:
        table: see `localisation_judged.judged`.
        params: section `localisation`.
    """
    return {name: _means(_wide(table, name), params) for name in (MODEL, *RIVALS)}


def differences(table: pd.DataFrame, params: LocalisationParams) -> Scored:
    """The model's score minus that of each rival on the same phantom, averaged."""
    ours = _wide(table, MODEL)
    return {name: _means(ours - _wide(table, name), params) for name in RIVALS}


def by(what: str, table: pd.DataFrame, params: LocalisationParams) -> dict[str, dict[str, Any]]:
    """For each plane or contrast the number of phantoms, the scores and the differences."""
    return {
        str(part): {
            "phantoms": int(rows["patient"].nunique()),
            "scores": scores(rows, params),
            "differences": differences(rows, params),
        }
        for part, rows in table.groupby(what)
    }


def shares(kinds: Sequence[str]) -> dict[str, Plain]:
    """How often the strongest place is of which kind, one of each patient: Wilson intervals."""
    return plain({name: wilson(kinds.count(name), len(kinds)) for name in PLACES})


def mean_estimate(values: Floats, params: LocalisationParams) -> Estimate:
    """Mean of values, one of each patient, with a percentile interval over resampled patients."""
    if len(values) < 2:
        return Estimate(float(values.mean()))
    resamples = EvaluateParams(seed=params.seed, bootstrap_resamples=params.bootstrap_resamples)
    weights = cluster_bootstrap(np.arange(len(values)), resamples)
    return estimate(lambda drawn: (drawn @ values) / len(values), weights) or Estimate(np.nan)


def _means(wide: pd.DataFrame, params: LocalisationParams) -> dict[str, Plain]:
    return plain({name: mean_estimate(wide[name].to_numpy(np.float64), params) for name in NAMES})


def _wide(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The scores of one kind of map, indexed by patient."""
    return table[table["map"] == name].set_index("patient").sort_index()[list(NAMES)]
