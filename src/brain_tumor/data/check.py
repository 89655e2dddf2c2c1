"""The check of a data folder: its manifest, what is wrong with it, and the pages that say so."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from brain_tumor.data.copies import THUMBNAIL_PX, duplicate_groups
from brain_tumor.data.expectations import ExpectationResult
from brain_tumor.data.folder import (
    EXTENSIONS,
    PATIENTS_FILE,
    BadImageError,
    Contents,
    ImageFacts,
    Remark,
    find_images,
    read_facts,
)
from brain_tumor.data.patients import read_patients
from brain_tumor.data.split import SplitError, required_images, split
from brain_tumor.files import write_text
from brain_tumor.machine import track
from brain_tumor.outputs import MANIFEST_COLUMNS
from brain_tumor.settings import LABELS, SplitParams, ValidateParams

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.expectations import Expectation


def across_classes(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image whose duplicate group holds images of both classes."""
    return [
        Remark(path, f"{_likeness(group, path, twin)}, which is of the other class: one is wrong")
        for _, group in manifest.groupby("group")
        for path, label in zip(group["path"], group["label"], strict=True)
        if (twin := _closest(group[group["label"] != label], group, path))
    ]


def within_class(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image that repeats an earlier one, by path, of its class."""
    return [
        Remark(path, _likeness(group, path, twin))
        for _, group in manifest.groupby(["group", "label"])
        for path in group["path"].iloc[1:]
        if (twin := _closest(group[group["path"] < path], group, path))
    ]


def _closest(others: pd.DataFrame, group: pd.DataFrame, path: str) -> str:
    """The first of `others` with the same bytes as `path`, else the first; "" if there is none."""
    digest = group.loc[group["path"] == path, "sha256"].iloc[0]
    identical = others.loc[others["sha256"] == digest, "path"]
    return next(iter([*identical, *others["path"]]), "")


def _likeness(group: pd.DataFrame, path: str, twin: str) -> str:
    digests = group.set_index("path")["sha256"]
    return f"{'same bytes as' if digests[path] == digests[twin] else 'near-duplicate of'} {twin}"


def describe(data: Path, contents: Contents, params: ValidateParams) -> pd.DataFrame:
    """Decode every image in `contents.images` and lay out the manifest, sorted by path.

    What is wrong or odd is added to `contents.errors` and `contents.warnings`.
    """
    rows: list[tuple[str, str, ImageFacts]] = []
    for path, label in track(sorted(contents.images), "decode", total=len(contents.images)):
        try:
            facts = read_facts(data / path, params)
        except BadImageError as error:
            contents.errors.append(Remark(path, str(error)))
            continue
        rows.append((path, label, facts))
        contents.warnings.extend(_oddities(path, facts))
    patients, problems = read_patients(
        data / PATIENTS_FILE,
        [path for path, _ in contents.images],
        excluded=[item.path for item in contents.excluded],
    )
    contents.errors.extend(problems)
    return _table(rows, patients, params)


def _table(
    rows: Sequence[tuple[str, str, ImageFacts]], patients: dict[str, str], params: ValidateParams
) -> pd.DataFrame:
    paths = [path for path, _, _ in rows]
    facts = [fact for _, _, fact in rows]
    groups = duplicate_groups(
        paths,
        [fact.sha256 for fact in facts],
        [fact.dhash for fact in facts],
        np.array([fact.thumbnail for fact in facts], dtype=np.uint8).reshape(
            -1, THUMBNAIL_PX, THUMBNAIL_PX
        ),
        params.near_duplicate_max_hamming,
        params.near_duplicate_min_correlation,
    )
    table = pd.DataFrame([fact._asdict() for fact in facts], columns=list(ImageFacts._fields))
    table["dhash"] = [f"{fact.dhash:016x}" for fact in facts]
    table["path"] = paths
    table["label"] = [label for _, label, _ in rows]
    table["patient"] = [patients.get(path, "") for path in paths]
    table["group"] = groups
    return table[list(MANIFEST_COLUMNS)].astype(MANIFEST_COLUMNS)


def _oddities(path: str, facts: ImageFacts) -> list[Remark]:
    suffix = Path(path).suffix.lower()
    checks = (
        (
            suffix not in EXTENSIONS.get(facts.format, set()),
            f"content is {facts.format}, file name says '{suffix}'",
        ),
        (facts.orientation != 1, f"EXIF orientation {facts.orientation}: turned when decoded"),
        (facts.blank, "blank: every pixel has the same value"),
    )
    return [Remark(path, reason) for odd, reason in checks if odd]


class Validation(NamedTuple):
    """The manifest of the images that decode; errors stop the pipeline, warnings do not."""

    manifest: pd.DataFrame
    errors: list[Remark]
    warnings: list[Remark]
    excluded: list[Remark]


def validate(data: Path, params: ValidateParams, split_params: SplitParams) -> Validation:
    """Scan, decode and compare all images of a data folder; there must be enough for the split."""
    contents = find_images(data, params)
    manifest = describe(data, contents, params)
    errors = [*contents.errors, *across_classes(manifest)]
    if contents.images:
        errors.extend(_shortages(manifest, params, split_params))
    warnings = [*contents.warnings, *within_class(manifest)]
    return Validation(manifest, sorted(errors), sorted(warnings), contents.excluded)


def _shortages(
    manifest: pd.DataFrame, params: ValidateParams, split_params: SplitParams
) -> list[Remark]:
    counts = manifest["label"].value_counts()
    required = required_images(split_params)
    folder_of = {label: folder for folder, label in params.folders.items()}
    short = [
        Remark(
            f"{folder_of[label]}/",
            f"{counts.get(label, 0)} usable images, the split needs at least {required[label]}",
        )
        for label in LABELS
        if counts.get(label, 0) < required[label]
    ]
    if short:
        return short
    try:
        split(manifest, split_params)
    except SplitError as error:
        return [Remark(".", str(error))]
    return []


def with_problems(manifest: pd.DataFrame, errors: Sequence[Remark]) -> pd.DataFrame:
    """The table the suite checks: the manifest, and a row for each path that is only in `errors`.

    Added columns: `problem` ("file: reason", missing where there is none; escaped, since Data Docs
    print values as HTML), `labels_in_group` (number of classes in the image's duplicate group) and
    `megapixels`.
    """
    problems: dict[str, str] = {}
    for path, reason in errors:
        start = f"{problems[path]};" if path in problems else f"{escape(path)}:"
        problems[path] = f"{start} {escape(reason)}"
    paths = pd.DataFrame({"path": sorted({*manifest["path"], *problems})}, dtype="str")
    table = paths.merge(manifest, on="path", how="left")
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


def to_report(
    validation: Validation, expectations: Sequence[ExpectationResult]
) -> dict[str, object]:
    """Everything found; numbers first.

    Returns:
        `ok`; numbers of usable `images`, of each class, of `distinct` images (duplicate groups and
        single ones), known `patients`; `duplicates` (groups and files, near and byte-identical);
        lists `errors`, `warnings`, `excluded` of path and reason; `expectations`. It holds no
        time and no absolute path: the same for the same data.
    """
    manifest = validation.manifest
    return {
        "ok": not complaints(validation, expectations),
        "images": len(manifest),
        **_class_counts(manifest),
        "distinct": manifest["group"].nunique(),
        "patients": manifest.loc[manifest["patient"] != "", "patient"].nunique(),
        "duplicates": {
            **dict(zip(("groups", "files"), _repeated(manifest["group"]), strict=True)),
            **dict(
                zip(
                    ("identical_groups", "identical_files"),
                    _repeated(manifest["sha256"]),
                    strict=True,
                )
            ),
        },
        **{
            kind: [remark._asdict() for remark in getattr(validation, kind)]
            for kind in ("errors", "warnings", "excluded")
        },
        "expectations": [outcome._asdict() for outcome in expectations],
    }


def complaints(validation: Validation, expectations: Sequence[ExpectationResult]) -> list[str]:
    """One line for each error and each expectation that is not met."""
    unmet = [outcome for outcome in expectations if not outcome.success]
    return [
        *(f"{path}: {reason}" for path, reason in validation.errors),
        *(f"manifest: not met: {outcome.name} (observed: {outcome.observed})" for outcome in unmet),
    ]


def about(validation: Validation, data: str) -> str:
    """Which data were validated, how many images they hold and how many of those are copies.

    `data` is the folder and where its content comes from.
    """
    manifest = validation.manifest
    groups, files = _repeated(manifest["group"])
    identical_groups, identical_files = _repeated(manifest["sha256"])
    labels = ", ".join(f"{count} {label}" for label, count in _class_counts(manifest).items())
    copies = (
        f"{files} lie in {groups} groups of copies or near-copies, of them {identical_files} in "
        f"{identical_groups} groups of identical bytes."
        if groups
        else "No copies were found."
    )
    return (
        f"{data}: {len(manifest)} images ({labels}), {manifest['group'].nunique()} of them "
        f"distinct. {copies}"
    )


def _class_counts(manifest: pd.DataFrame) -> dict[str, int]:
    return {label: int((manifest["label"] == label).sum()) for label in LABELS}


def _repeated(column: pd.Series) -> tuple[int, int]:
    """How many values occur more than once, and in how many rows."""
    sizes = column.value_counts()
    return int((sizes > 1).sum()), int(sizes[sizes > 1].sum())


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
{body}
</body></html>
"""
_SECTIONS = """{% for section in sections %}{% set section_loop = loop -%}
{% include 'section.j2' %}{% endfor %}"""


def write_data_docs(
    folder: Path, title: str, lead: str, result: "ExpectationSuiteValidationResult"
) -> None:
    """Write `folder/index.html`: what was expected, what was found, the values that failed.

    The paragraph `lead` under the title says which data these are. The sections are those of Great
    Expectations' own page.
    """
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(result).to_json_dict()
    sections = [_without_run(section) for section in document["sections"]]
    body = DefaultJinjaPageView().env.from_string(_SECTIONS).render(sections=sections)
    lines = "\n".join(line.rstrip() for line in body.splitlines() if line.strip())
    page = _PAGE.format(title=escape(title), lead=escape(lead), style=_STYLE, body=lines)
    write_text(folder / "index.html", page)


def _without_run(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out the folded block on the run (load time, batch) and links to pages not written."""

    def is_of_run(block: dict[str, Any]) -> bool:
        kind = block["content_block_type"]
        return kind == "collapse" or (kind == "header" and "Overview" in str(block.get("header")))

    kept = [block for block in section["content_blocks"] if not is_of_run(block)]
    return {**section, "content_blocks": kept}
