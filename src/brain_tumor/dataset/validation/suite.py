"""What is expected of the manifest, as a Great Expectations suite."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import pandas as pd

from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.image_facts import EXTENSIONS
from brain_tumor.settings import LABELS, ValidateParams

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation


def with_problems(manifest: pd.DataFrame, errors: Sequence[Finding]) -> pd.DataFrame:
    """The table the suite checks: the manifest, and a row for each path that is only in `errors`.

    Added columns: `problem` ("file: reason", missing where there is none; escaped, since Data Docs
    print values as HTML), `labels_in_group` (number of classes in the image's duplicate group) and
    `megapixels`.
    """
    problems: dict[str, str] = {}
    for path, reason in errors:
        start = f"{problems[path]};" if path in problems else f"{escape(path)}:"
        problems[path] = f"{start} {escape(reason)}"
    found = pd.DataFrame({"path": sorted({*manifest["path"], *problems})}, dtype="str")
    table = found.merge(manifest, on="path", how="left")
    table["problem"] = table["path"].map(problems).astype("str")
    table["labels_in_group"] = table.groupby("group")["label"].transform("nunique")
    table["megapixels"] = table["width"] * table["height"] / 1e6
    return table


def manifest_expectations(
    params: ValidateParams, required: dict[str, int]
) -> Sequence["Expectation"]:
    """The suite: `required` is the fewest images of each class that the split needs."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectColumnValuesToBeNull(
            column="problem", description="every file is one readable image of one class"
        ),
        *(
            gxe.ExpectTableRowCountToBeBetween(
                min_value=required[label],
                row_condition=Column("label") == label,
                description=f"at least {required[label]} images of class {label} for the split",
            )
            for label in LABELS
        ),
        gxe.ExpectColumnValuesToBeUnique(column="path", description="no file is listed twice"),
        gxe.ExpectColumnValuesToBeInSet(
            column="label", value_set=list(LABELS), description="no other class"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="format",
            value_set=list(EXTENSIONS),
            description=f"format is one of {', '.join(EXTENSIONS)}",
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=side,
                min_value=params.min_side_px,
                description=f"{side} is at least {params.min_side_px} px",
            )
            for side in ("width", "height")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="megapixels",
            max_value=params.max_megapixels,
            description=f"at most {params.max_megapixels:g} megapixels",
        ),
        *(
            gxe.ExpectColumnValuesToMatchRegex(
                column=column,
                regex=f"^[0-9a-f]{{{digits}}}$",
                description=f"{column} is {digits} hexadecimal digits",
            )
            for column, digits in (("sha256", 64), ("dhash", 16))
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="labels_in_group", value_set=[1], description="no duplicates across classes"
        ),
    ]
