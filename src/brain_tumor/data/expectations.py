"""Runs a Great Expectations suite over a table, without a project folder, network or clock.

Apart from `suite`, so that stage split does not depend on `imaging`.
"""

from collections.abc import Sequence
from html import unescape
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pandas as pd

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation

CRITICAL: Final = "critical"
WARNING: Final = "warning"
FILE: Final = "file"  # column of a table that names its rows, escaped for HTML


_LISTED: Final = 1000  # rows that fail an expectation, of which its result keeps the names


class ExpectationResult(NamedTuple):
    """One expectation met or not.

    `observed` is what was found in the table, `files` the first rows that fail with their values.
    Where `severity` is "warning" nothing stops.
    """

    name: str
    success: bool
    observed: Any
    severity: str = CRITICAL
    files: tuple[str, ...] = ()


def run_suite(
    name: str, table: pd.DataFrame, expectations: Sequence["Expectation"]
) -> "ExpectationSuiteValidationResult":
    """Check `table` against `expectations` (great_expectations takes seconds to import).

    Where the table has the column `FILE`, rows that fail are named by it.

    Returns:
        Great Expectations' own result, for `outcomes` and `suite.write_data_docs`.
    """
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = gx.ExpectationSuite(name=name, expectations=list(expectations))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": table})
    named: dict[str, Any] = {}
    if FILE in table:
        named = {"unexpected_index_column_names": [FILE], "return_unexpected_index_query": False}
    result = batch.validate(
        suite,
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": _LISTED,
            "include_unexpected_rows": False,
            **named,
        },
    )
    for entry in result.results if named else ():
        # Its page names files by the full lists only, which hold every file of every expectation.
        for name in ("unexpected_list", "unexpected_index_list"):
            if f"partial_{name}" in entry.result:
                entry.result[name] = entry.result[f"partial_{name}"]
    return result


def outcomes(result: "ExpectationSuiteValidationResult") -> list[ExpectationResult]:
    """List what each expectation found, in the order the suite was written in.

    Every expectation needs a description: it is its name.
    """
    return [
        ExpectationResult(
            entry["expectation_config"]["description"],
            entry["success"],
            _observed(entry),
            entry["expectation_config"].get("severity", CRITICAL),
            _files(entry),
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


_NAMED_FILES: Final = 20


def _files(entry: dict[str, Any]) -> tuple[str, ...]:
    """Of a table that names its rows; of others the list holds their numbers."""
    listed = entry["result"].get("partial_unexpected_index_list") or []
    rows = [row for row in listed if isinstance(row, dict)]
    column = entry["expectation_config"]["kwargs"].get("column")
    return tuple(_row(unescape(row[FILE]), row.get(column)) for row in rows[:_NAMED_FILES])


def _row(file: str, value: Any) -> str:
    shown = f"{value:g}" if isinstance(value, float) else value
    return file if value is None or unescape(str(value)) == file else f"{file} ({shown})"
