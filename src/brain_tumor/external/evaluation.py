"""What came of a model on images from elsewhere."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from brain_tumor.external.predictions import COPY, RELATED, UNREADABLE, Predictions
from brain_tumor.external.result import ClassFigures, Subgroup
from brain_tumor.settings import LABELS


@dataclass(frozen=True)
class Evaluation:
    """Figures of each class, and what they are of.

    Attributes:
        date: when, UTC, to the second.
        model: name and version.
        model_digest: of what decides its answers.
        engine: what ran the network.
        threshold: the model's own.
        folder: its name, without where it lies.
        folder_digest: SHA-256 of paths and contents of the files in it.
        predictions: of every slice that counts, and what was left out.
        table: that of `predictions` with a column `baseline_probability`, missing where unknown.
        classes: the figures: tumours first.
        subgroups: by format and size.
        notes: what a reader must know before the figures.
    """

    date: str
    model: str
    model_digest: str
    engine: str
    threshold: float
    folder: str
    folder_digest: str
    predictions: Predictions
    table: pd.DataFrame
    classes: tuple[ClassFigures, ...]
    subgroups: tuple[Subgroup, ...]
    notes: tuple[str, ...]

    def counts(self, label: str) -> dict[str, int]:
        """How many files of a class were given and left out, and what is left of them."""
        rows = self.table[self.table["label"] == label]
        out = self.predictions.left_out
        why = out.loc[out["label"] == label, "why"]
        used = int(rows["path"].nunique())
        return {
            "files": used + len(why),
            "copies_of_training_images": int((why == COPY).sum()),
            "related_to_copies": int((why == RELATED).sum()),
            "unreadable": int((why == UNREADABLE).sum()),
            "used_files": used,
            "slices": len(rows),
            "clusters": int(rows["cluster"].nunique()),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; there is no figure of both classes together."""
        return {
            "date": self.date,
            "model": {"name": self.model, "digest": self.model_digest, "engine": self.engine},
            "threshold": self.threshold,
            "folder": {"name": self.folder, "digest": self.folder_digest},
            "notes": list(self.notes),
            "counts": {label: self.counts(label) for label in LABELS},
            "figures": {figures.label: figures.as_dict() for figures in self.classes},
            "subgroups": [
                {"by": one.by, "kind": one.kind, "label": one.label} | one.right.as_dict()
                for one in self.subgroups
            ],
        }
