"""A registered model on this machine: the folder MLflow brings, or `brain-tumor pull` leaves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brain_tumor.atomic import read_json

BUNDLE = "artifacts/bundle"  # the files a classifier is loaded from
CARD, CARD_FACTS = "MODEL_CARD.md", "model_card.json"
REPORT = "report.html"  # for a browser; what the card says, with figures
EVALUATION = "evaluation"  # confusion matrices and figures


@dataclass(frozen=True)
class ModelFolder:
    """A registered model in a folder.

    Attributes:
        root: holds `MLmodel`.
    """

    root: Path

    @property
    def bundle(self) -> Path:
        """The files a classifier is loaded from."""
        return self.root / BUNDLE

    @property
    def name(self) -> str:
        """Name and version, as MLflow notes them where it puts the model; or `unregistered`."""
        try:
            text = (self.root / "registered_model_meta").read_text(encoding="utf-8")
            facts = YAML(typ="safe", pure=True).load(text)
            return f"{facts['model_name']} version {facts['model_version']}"
        except (OSError, YAMLError, LookupError, TypeError):
            return "unregistered"

    @property
    def card(self) -> str:
        """The model card, Markdown; empty without one."""
        path = self.root / CARD
        return path.read_text(encoding="utf-8") if path.is_file() else ""

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the card; none without one."""
        path = self.root / CARD_FACTS
        return read_json(path) if path.is_file() else {}
