"""A run of the store, to write to."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brain_tumor.tracking import lineage, wording

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE_TAG = "mlflow.note.content"  # MLflow's own: the description of a run
_PER_BATCH = 100  # MLflow takes at most this many parameters at a time


@dataclass(frozen=True)
class Run:
    """A run of the store to write to.

    Attributes:
        client: of the store.
        run_id: MLflow's id.
    """

    client: "MlflowClient"
    run_id: str

    def log_epoch(
        self, step: int, metrics: Mapping[str, float], model_id: str | None = None
    ) -> None:
        """Add a point at `step` to the curve of each metric; seen in the UI at once.

        Args:
            step: the epoch.
            metrics: name to value.
            model_id: the logged model they are figures of, if any.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(key, float(value), now, step, model_id) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=points)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Set single figures."""
        self.log_epoch(0, metrics)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Set parameters (see `wording.acted_params`)."""
        from mlflow.entities import Param

        items = [Param(key, str(value)) for key, value in params.items()]
        for start in range(0, len(items), _PER_BATCH):
            self.client.log_batch(self.run_id, params=items[start : start + _PER_BATCH])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags."""
        from mlflow.entities import RunTag

        items = [RunTag(key, str(value)) for key, value in tags.items()]
        self.client.log_batch(self.run_id, tags=items)

    def log_lineage(self, facts: Mapping[str, str]) -> None:
        """Attach lineage.json and set the tags that lead there (see `lineage`)."""
        self.client.log_dict(self.run_id, dict(facts), "lineage.json")
        self.set_tags(lineage.tags(facts))

    def describe(self, name: str | None, note: str) -> None:
        """Set the description, Markdown, shown on top of its page; and its name, if given."""
        if name is not None:
            self.client.update_run(self.run_id, name=name)
        self.set_tags({NOTE_TAG: note})

    def log_text(self, text: str, path: str) -> None:
        """Attach a text as a file."""
        self.client.log_text(self.run_id, text, path)

    def log_file(self, path: Path, folder: str | None = None) -> None:
        """Attach a file, in `folder` of the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), folder)

    def log_figure_file(self, path: Path, folder: str = "figures") -> None:
        """Attach a figure; MLflow shows figures of runs side by side."""
        self.log_file(path, folder)

    def log_evaluation(self, results: wording.Metrics, folder: Path) -> None:
        """Add the figures of stage evaluate, in numbers, in words and drawn.

        Args:
            results: the figures.
            folder: of that stage; its files are attached.
        """
        self.log_metrics(wording.headline(results))
        self.describe(None, wording.result_note(results))
        self.log_text(wording.figures_csv(results), "evaluation/figures.csv")
        for figure in sorted(folder.glob("*.png")):
            self.log_figure_file(figure)
        for file in sorted([*folder.glob("*.json"), *folder.glob("*.md")]):
            self.log_file(file, "evaluation")

    def log_dataset(self, name: str, digest: str, context: str) -> None:
        """Name the data the run used.

        Args:
            name: of the data.
            digest: its MD5 as DVC has it; at most 36 characters.
            context: what it was used for, as `training`.
        """
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        source = CodeDatasetSource({"data.dvc": digest})
        dataset = MetaDataset(source, name=name, digest=digest)  # type: ignore[abstract]
        tag = InputTag("mlflow.data.context", context)
        entry = DatasetInput(dataset._to_mlflow_entity(), [tag])
        self.client.log_inputs(self.run_id, datasets=[entry])
