"""What a data folder has to be, judged by Great Expectations on facts of its files, and its page.

The facts are numbers and names that the reader gives, never a verdict of this project. The limits
are those of params.yaml.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from brain_tumor.data.expectations import FILE, WARNING
from brain_tumor.data.folder import ImageFacts
from brain_tumor.files import write_text
from brain_tumor.imaging.grey import KINDS, FileFacts
from brain_tumor.settings import LABELS, ValidateParams

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation

_NUMBERS = (
    "pictures", "bits", "width", "height", "megapixels", "grey_levels", "labels_in_group",
    "labels_of_patient", "rows_in_patients",
)  # fmt: skip
_BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I": 32, "F": 32}  # of Pillow's modes


def facts_table(
    manifest: pd.DataFrame,
    usable: Iterable[tuple[str, str, ImageFacts]],
    unusable: Mapping[str, FileFacts | None],
    patient_rows: Mapping[str, int],
) -> pd.DataFrame:
    """The table the suite judges: a row for each file of the class folders, sorted by path.

    Columns: those of the manifest that identify an image, missing where it is unusable; `file`
    (its path, escaped, since Data Docs print values as HTML); `kind`, `pictures` in it, `bits` of
    a sample, `width`, `height`, `megapixels`; `grey_levels` (brightest less darkest; missing where
    it was not decoded); number of labels in its duplicate group and of its patient; and its rows
    in patients.csv, missing where there is none.

    Args:
        manifest: of the usable images.
        usable: path, label and facts of each of them.
        unusable: what the headers of the others say, None where they cannot be read.
        patient_rows: how often patients.csv names each path; empty where there is none.
    """
    rows = [
        _row(path, facts.format, facts.mode, facts.width, facts.height, 1)
        | {"grey_levels": facts.brightest - facts.darkest}
        for path, _, facts in usable
    ]
    rows += [
        _row(path, seen.kind, seen.mode, seen.width, seen.height, seen.count)
        if seen
        else {"path": path}
        for path, seen in unusable.items()
    ]
    identities = manifest[["path", "label", "sha256", "dhash"]].copy()
    patients = manifest["patient"].where(manifest["patient"] != "")
    for column, keys in (("labels_in_group", manifest["group"]), ("labels_of_patient", patients)):
        identities[column] = manifest.groupby(keys)["label"].transform("nunique")
    columns = ["path", "kind", *_NUMBERS[:6]]
    table = pd.DataFrame(rows, columns=columns).merge(identities, on="path", how="left")
    table["rows_in_patients"] = [
        patient_rows.get(path, 0) if patient_rows else None for path in table["path"]
    ]
    table[FILE] = [escape(path) for path in table["path"]]
    for column in _NUMBERS:
        numbers = pd.to_numeric(table[column])
        table[column] = numbers if column == "megapixels" else numbers.astype("Int64")
    return table.sort_values("path", ignore_index=True)


def _row(path: str, kind: str, mode: str, width: int, height: int, pictures: int) -> dict[str, Any]:
    """Facts of a header."""
    digits = "".join(character for character in mode.split()[-1] if character.isdigit())
    return {
        "path": path,
        "kind": kind,
        "pictures": pictures,
        "bits": _BITS.get(mode, int(digits or 8)),
        "width": width,
        "height": height,
        "megapixels": width * height / 1e6,
    }


def manifest_expectations(
    params: ValidateParams, required: dict[str, int]
) -> Sequence["Expectation"]:
    """The suite: `required` is the fewest images of each class that the split needs."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectColumnValuesToNotBeNull(
            column="kind", description="every file is an image whose header can be read"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="kind", value_set=list(KINDS), description=f"kind is one of {', '.join(KINDS)}"
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="pictures", value_set=[1], description="every file holds one picture"
        ),
        *(
            gxe.ExpectColumnValuesToBeBetween(
                column=side,
                min_value=params.min_side_px,
                description=f"{side} is at least validate.min_side_px = {params.min_side_px} px",
            )
            for side in ("width", "height")
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="megapixels",
            max_value=params.max_megapixels,
            description=(
                "width x height is at most validate.max_megapixels = "
                f"{params.max_megapixels:g} megapixels"
            ),
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="bits",
            min_value=8,
            severity=WARNING,
            description="depth is at least 8 bits a sample",
        ),
        gxe.ExpectColumnValuesToNotBeNull(
            column="grey_levels", description="the grey levels of every image are known"
        ),
        gxe.ExpectColumnValuesToBeBetween(
            column="grey_levels",
            min_value=1,
            max_value=255,
            severity=WARNING,
            description="no image is blank: its brightest pixel is above its darkest",
        ),
        *(
            gxe.ExpectTableRowCountToBeBetween(
                min_value=required[label],
                row_condition=Column("label") == label,
                description=f"at least {required[label]} images of class {label} for the split",
            )
            for label in LABELS
        ),
        gxe.ExpectColumnValuesToBeUnique(column=FILE, description="no file is listed twice"),
        gxe.ExpectColumnValuesToBeInSet(
            column="label", value_set=list(LABELS), description="no other class"
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
            column="labels_in_group",
            value_set=[1],
            description=(
                "no copies across classes (near-copies: validate.near_duplicate_max_hamming = "
                f"{params.near_duplicate_max_hamming} bits, near_duplicate_min_correlation = "
                f"{params.near_duplicate_min_correlation:g})"
            ),
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="labels_of_patient",
            value_set=[1],
            severity=WARNING,
            description="no patient has images of both classes",
        ),
        gxe.ExpectColumnValuesToBeInSet(
            column="rows_in_patients",
            value_set=[1],
            description="patients.csv, where there is one, names every image once",
        ),
    ]


# Great Expectations' own page loads styles, scripts and a counting pixel from six hosts and prints
# the time. Its sections are kept and wrapped in a page of their own; what Bootstrap and Font
# Awesome would have done is done by these few lines.
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff;
       margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h5 { font-size: 1.05rem; margin: 0 } h6 { font-size: 1rem; margin: 0 }
.alert { background: #eceff1; border-radius: 4px; padding: .6rem .9rem }
.ge-section { margin-bottom: 1.6rem }
table { border-collapse: collapse; width: 100%; margin-top: .4rem }
th, td { border-bottom: 1px solid #cfd8dc; padding: .35rem .6rem; text-align: left;
         vertical-align: top; overflow-wrap: anywhere }
.badge { background: #eceff1; border-radius: 3px; padding: 0 .3rem; font-family: monospace }
i.text-success::before { content: "\\2714"; color: #00695c; font-style: normal }
i.text-danger::before { content: "\\2718"; color: #b71c1c; font-style: normal }
strong.text-danger { color: #b71c1c }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
<p>{lead}</p>
{findings}
{body}
</body></html>
"""
_SECTIONS = """{% for section in sections %}{% set section_loop = loop -%}
{% include 'section.j2' %}{% endfor %}"""


def write_data_docs(
    folder: Path,
    title: str,
    lead: str,
    findings: Sequence[str],
    result: "ExpectationSuiteValidationResult",
) -> None:
    """Write `folder/index.html`: what was expected, what was found, the files that failed.

    The paragraph `lead` under the title says which data these are, and `findings` what is wrong, in
    words. The sections are those of Great Expectations' own page.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(result).to_json_dict()
    sections = [_without_run(section) for section in document["sections"]]
    body = DefaultJinjaPageView().env.from_string(_SECTIONS).render(sections=sections)
    lines = "\n".join(line.rstrip() for line in body.splitlines() if line.strip())
    words = "".join(f"<li>{escape(finding)}</li>" for finding in findings)
    page = _PAGE.format(
        title=escape(title),
        lead=escape(lead),
        style=_STYLE,
        findings=f"<p>What is wrong, in words:</p><ul>{words}</ul>" if words else "",
        body=lines,
    )
    write_text(folder / "index.html", page)


def _without_run(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out the folded block on the run (load time, batch) and links to pages not written."""

    def is_of_run(block: dict[str, Any]) -> bool:
        kind = block["content_block_type"]
        return kind == "collapse" or (kind == "header" and "Overview" in str(block.get("header")))

    kept = [block for block in section["content_blocks"] if not is_of_run(block)]
    return {**section, "content_blocks": kept}
