"""Runs a Great Expectations suite over a table, without a project folder, network or clock.

Apart from `check`, so that stage split does not depend on `imaging`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation


class ExpectationResult(NamedTuple):
    """One expectation met or not; `observed` is what was found in the table."""

    name: str
    success: bool
    observed: Any


def run_suite(
    name: str, table: pd.DataFrame, expectations: Sequence["Expectation"]
) -> "ExpectationSuiteValidationResult":
    """Check `table` against `expectations` (great_expectations takes seconds to import).

    Returns:
        Great Expectations' own result, for `outcomes` and `check.write_data_docs`.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(name=name, expectations=list(expectations))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
    return batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": 1000,
            "include_unexpected_rows": False,
        },
    )


def outcomes(result: "ExpectationSuiteValidationResult") -> list[ExpectationResult]:
    """List what each expectation found, in the order the suite was written in.

    Every expectation needs a description: it is its name.
    """
    return [
        ExpectationResult(
            entry["expectation_config"]["description"], entry["success"], _observed(entry)
        )
        for entry in result.to_json_dict()["results"]
    ]


def _observed(entry: dict[str, Any]) -> Any:
    figures, error = entry["result"], entry["exception_info"]
    if error.get("raised_exception"):
        return f"error: {error.get('exception_message')}"
    if "observed_value" in figures:
        return figures["observed_value"]
    return f"{figures['unexpected_count']} of {figures['element_count']} unexpected"
