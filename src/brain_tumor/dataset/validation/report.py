"""The report of a validation as JSON-ready values."""

from collections.abc import Sequence

from brain_tumor.dataset.expectations import Outcome
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.validate import Validation
from brain_tumor.settings import LABELS


def to_report(validation: Validation, expectations: Sequence[Outcome]) -> dict[str, object]:
    """Everything found; numbers first.

    Returns:
        `ok`; numbers of usable `images`, of each class, of `distinct` images (duplicate groups and
        single ones), known `patients`; `duplicates` (groups and files, near and byte-identical);
        lists `errors`, `warnings`, `excluded` of path and reason; `expectations`. It holds no
        time and no absolute path: the same for the same data.
    """
    manifest = validation.manifest
    return {
        "ok": is_ok(validation, expectations),
        "images": len(manifest),
        **{label: int((manifest["label"] == label).sum()) for label in LABELS},
        "distinct": manifest["group"].nunique(),
        "patients": manifest.loc[manifest["patient"] != "", "patient"].nunique(),
        "duplicates": {**_repeated(validation, "group"), **_repeated(validation, "sha256")},
        "errors": _listed(validation.errors),
        "warnings": _listed(validation.warnings),
        "excluded": _listed(validation.excluded),
        "expectations": [outcome._asdict() for outcome in expectations],
    }


def is_ok(validation: Validation, expectations: Sequence[Outcome]) -> bool:
    """Whether nothing stands against using the data."""
    return not validation.errors and all(outcome.success for outcome in expectations)


def complaints(validation: Validation, expectations: Sequence[Outcome]) -> list[str]:
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
    near, identical = _repeated(validation, "group"), _repeated(validation, "sha256")
    labels = ", ".join(f"{int((manifest['label'] == label).sum())} {label}" for label in LABELS)
    copies = (
        f"{near['files']} lie in {near['groups']} groups of copies or near-copies, of them "
        f"{identical['identical_files']} in {identical['identical_groups']} groups of identical "
        "bytes."
        if near["groups"]
        else "No copies were found."
    )
    return (
        f"{data}: {len(manifest)} images ({labels}), {manifest['group'].nunique()} of them "
        f"distinct. {copies}"
    )


def _repeated(validation: Validation, column: str) -> dict[str, int]:
    kind = {"group": "", "sha256": "identical_"}[column]
    sizes = validation.manifest[column].value_counts()
    several = sizes[sizes > 1]
    return {f"{kind}groups": len(several), f"{kind}files": int(several.sum())}


def _listed(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [finding._asdict() for finding in findings]
