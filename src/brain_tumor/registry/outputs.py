"""The files of the stages that a registered model is made from."""

from dataclasses import dataclass, fields
from pathlib import Path

from brain_tumor.atomic import RESTORE
from brain_tumor.inference.bundle import EXPORTED
from brain_tumor.inference.profile import FILES as PROFILE_FILES


class OutputsError(ValueError):
    """A file of the pipeline is missing or unreadable."""


@dataclass(frozen=True)
class StageOutputs:
    """Paths, relative to the repository unless absolute; the defaults are those of dvc.yaml."""

    data: Path = Path("data")
    manifest: Path = Path("outputs/manifest.csv")
    split: Path = Path("outputs/split.csv")
    model: Path = Path("outputs/train/model.keras")
    model_json: Path = Path("outputs/calibrate/model.json")
    run: Path = Path("outputs/train/run.json")
    history: Path = Path("outputs/train/history.csv")
    best: Path = Path("outputs/tuning/best.json")
    atlas: Path = Path("outputs/preprocess/atlas.npz")
    predictions: Path = Path("outputs/predictions.csv")
    metrics: Path = Path("outputs/evaluate/figures.json")
    evaluation: Path = Path("outputs/evaluate")
    profile: Path = Path("outputs/profile")
    export: Path = Path("outputs/export")
    report: Path = Path("outputs/report")
    registered: Path = Path("outputs/registered.json")
    params: Path = Path("params.yaml")

    def check(self) -> None:
        """Raise `OutputsError` unless everything but `data` and `registered` is there."""
        needed = {field.name: getattr(self, field.name) for field in fields(self)}
        paths = [path for name, path in needed.items() if name not in ("data", "registered")]
        paths += [self.profile / name for name in PROFILE_FILES if self.profile.exists()]
        paths += [self.export / name for name in EXPORTED if self.export.exists()]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise OutputsError(f"{', '.join(missing)}: missing; {RESTORE}")
