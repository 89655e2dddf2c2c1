"""What the folder of committed evidence holds; every part of it may be missing."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brain_tumor.report.card_parts import Baseline, Figure

SUMMARY, ROBUSTNESS, LOCALISATION = "summary.json", "robustness.json", "localisation.json"
EXTERNAL_LOG = "external-log.csv"
BASELINES = {
    "majority": "Majority",
    "metadata": "File metadata alone (random forest)",
    "pixels_1nn": "1-NN on 32x32 pixels",
    "probe": "Linear probe on frozen features",
}


@dataclass(frozen=True)
class Evidence:
    """Committed evidence.

    Attributes:
        summary: of both tracks, as `make evidence` writes it; empty without one.
        robustness: figures on degraded test images; empty without.
        localisation: how well heat maps point at tumours of phantoms; empty without.
        external: the log of evaluations on other data, texts as they stand in it; empty without.
    """

    summary: Mapping[str, Any]
    robustness: Mapping[str, Any]
    localisation: Mapping[str, Any]
    external: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> "Evidence":
        """Read what there is in `folder`.

        Raises:
            ValueError: a file is there but not readable.
        """
        return cls(
            summary=_json(folder / SUMMARY),
            robustness=_json(folder / ROBUSTNESS),
            localisation=_json(folder / LOCALISATION),
            external=_table(folder / EXTERNAL_LOG),
        )

    def track(self, name: str) -> Mapping[str, Any]:
        """The summary of a track, `headline` or `paper`; empty without one."""
        found: Mapping[str, Any] = self.summary.get(name, {})
        return found

    def is_of(self, sha256: Collection[str]) -> bool:
        """Whether the summary was made on images that are all among these (digests of files)."""
        made_on = set(self.summary.get("sha256", ()))
        return bool(made_on) and made_on <= set(sha256)


def figures(plain: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    """Figures as JSON holds them."""
    return {
        key: Figure.model_validate(dict(figure), extra="ignore") for key, figure in plain.items()
    }


def baselines(headline: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """The baselines of the nested cross-validation; the best with the paired difference."""
    best, paired = headline.get("best_baseline"), headline.get("paired", {})
    return tuple(
        Baseline(
            name=BASELINES.get(name, name),
            figures=figures(found),
            difference=figures(paired if name == best else {}),
        )
        for name, found in headline.get("baselines", {}).items()
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except ValueError as error:
        raise ValueError(f"{path}: not readable as text in UTF-8: {error}") from error


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(_text(path) or "{}")
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: holds {type(content).__name__}; an object is needed")
    return content


def _table(path: Path) -> pd.DataFrame:
    if not _text(path).strip():
        return pd.DataFrame()
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise ValueError(f"{path}: not readable as CSV: {error}") from error
