"""The study of a search: found by what it depends on, so that unlike trials never mix."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from brain_tumor.model.search.quiet import experimental_on_purpose, quiet_log
from brain_tumor.settings import TuneParams

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage


def study_name(facts: Mapping[str, object]) -> str:
    """`brain-tumor-` and a digest of the facts (JSON values) that comparable trials share."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"brain-tumor-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def open_study(storage: "BaseStorage", name: str, params: TuneParams, *, create: bool) -> "Study":
    """The study of that name, with sampler and pruner as section `tune` says.

    With `create` it is made when missing; several processes may do so at once.

    Raises:
        ValueError: it is missing and not to be made.
    """
    import optuna

    from brain_tumor.model.search.sampler import RepeatableTPESampler

    sampler = RepeatableTPESampler(params.seed, params.startup_trials)
    with quiet_log():
        if create:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="minimize" if params.objective == "log_loss" else "maximize",
                load_if_exists=True,
            )
            with experimental_on_purpose():
                study.set_metric_names([params.objective])
        try:
            return optuna.load_study(
                study_name=name, storage=storage, sampler=sampler, pruner=_pruner(params)
            )
        except KeyError as error:
            raise ValueError(
                f"study {name} is not in the storage: start `dvc repro tune` first, with the same "
                "data, weights, parameters, recipe and number format (unlike machines: give "
                "train.precision a value), and the same OPTUNA_STORAGE"
            ) from error


def _pruner(params: TuneParams) -> "BasePruner":
    from optuna import pruners

    from brain_tumor.model.search.pruner import RungMedianPruner

    if params.pruner == "median":
        return RungMedianPruner(params.startup_trials)
    return pruners.NopPruner()
