"""Sections of the repository's params.yaml, with some values replaced."""

from pathlib import Path
from typing import Any, Final, TypeVar

from ruamel.yaml import YAML

from brain_tumor import settings
from brain_tumor.settings import (
    AugmentParams,
    DriftParams,
    EvaluateParams,
    ExportParams,
    PhantomParams,
    PreprocessParams,
    Section,
    SplitParams,
    ValidateParams,
)

PARAMS: Final = Path(__file__).parent.parent / "params.yaml"
SETTINGS: Final = settings.read(PARAMS)
SectionT = TypeVar("SectionT", bound=Section)


def replaced(section: SectionT, **values: Any) -> SectionT:
    """The section with other values, checked as those of the file are."""
    return type(section)(**{**dict(section), **values})


def phantom(**values: Any) -> PhantomParams:
    """Section `phantom`."""
    return replaced(SETTINGS.phantom, **values)


def validate(**values: Any) -> ValidateParams:
    """Section `validate`."""
    return replaced(SETTINGS.validate, **values)


def split(**values: Any) -> SplitParams:
    """Section `split`."""
    return replaced(SETTINGS.split, **values)


def preprocess(**values: Any) -> PreprocessParams:
    """Section `preprocess`."""
    return replaced(SETTINGS.preprocess, **values)


def augment(**values: Any) -> AugmentParams:
    """Section `augment` without phantoms."""
    return replaced(SETTINGS.augment, **{"phantoms": 0, **values})


def evaluate(**values: Any) -> EvaluateParams:
    """Section `evaluate`."""
    return replaced(SETTINGS.evaluate, **values)


def export(**values: Any) -> ExportParams:
    """Section `export`."""
    return replaced(SETTINGS.export, **values)


def drift(**values: Any) -> DriftParams:
    """Section `drift`."""
    return replaced(SETTINGS.drift, **values)


def write_params(folder: Path, source: Path = PARAMS, **changes: dict[str, Any]) -> None:
    """Write params.yaml to a folder: that of `source`, with other values in some sections."""
    change_params(folder / "params.yaml", changes, source)


def change_params(
    path: Path, changes: dict[str, dict[str, Any]], original: Path | None = None
) -> None:
    """Change values in sections of a params.yaml, or write it from another with other values."""
    yaml = YAML()
    document = yaml.load((original or path).read_text(encoding="utf-8"))
    for section, values in changes.items():
        document[section].update(values)
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
