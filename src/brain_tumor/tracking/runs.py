"""Runs in MLflow: named, started, resumed, logged to, described, and ended whatever happens."""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from brain_tumor import machine
from brain_tumor.figure_text import cell, markdown_table
from brain_tumor.tracking import connection, lineage
from brain_tumor.tracking.connection import NoStoreError, StoreError

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient

NOTE_TAG = "mlflow.note.content"  # MLflow's own: the description of a run
_PER_BATCH = 100  # MLflow takes at most this many parameters at a time

Metrics = Mapping[str, Mapping[str, Mapping[str, float]]]  # split, figure: `value`, `low`, `high`

# The figures people compare; all others are in the report and in evaluation/.
HEADLINE = {
    "log_loss": "Log loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
SPLITS = {"val": "Validation", "test": "Test"}
_INTERVAL = ("value", "low", "high")
_SENTENCE = ("accuracy", "auroc", "log_loss")
_OPTIMISTIC = "Validation images chose the model, so their figures are optimistic."
_RESEARCH = "Research only, not for diagnosis."


@dataclass(frozen=True)
class Run:
    """A run of the store to write to."""

    client: "MlflowClient"
    run_id: str

    def log_epoch(
        self, step: int, metrics: Mapping[str, float], model_id: str | None = None
    ) -> None:
        """Add a point at an epoch to the curve of each metric; the UI shows it at once.

        `model_id` is the logged model they are figures of, if any.
        """
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        points = [Metric(key, float(value), now, step, model_id) for key, value in metrics.items()]
        self.client.log_batch(self.run_id, metrics=points)

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Set single figures."""
        self.log_epoch(0, metrics)

    def log_params(self, params: Mapping[str, str]) -> None:
        """Set parameters (see `lineage.acted_params`)."""
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

    def log_figures(self, folder: Path) -> None:
        """Attach the PNG files of a folder; MLflow shows figures of runs side by side."""
        for figure in sorted(folder.glob("*.png")):
            self.log_file(figure, "figures")

    def log_evaluation(self, results: Metrics, folder: Path) -> None:
        """Add the figures of stage evaluate, in numbers, in words and drawn.

        The files of `folder`, that stage's, are attached.
        """
        self.log_metrics(headline(results))
        self.describe(None, result_note(results))
        self.log_text(figures_csv(results), "evaluation/figures.csv")
        self.log_figures(folder)
        for file in sorted([*folder.glob("*.json"), *folder.glob("*.md")]):
            self.log_file(file, "evaluation")

    def log_dataset(self, name: str, digest: str, context: str) -> None:
        """Name the data the run used.

        The digest is its MD5 as DVC has it, at most 36 characters; `context` is what the data was
        used for, as `training`.
        """
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset
        from mlflow.entities import DatasetInput, InputTag

        source = CodeDatasetSource({"data.dvc": digest})
        dataset = MetaDataset(source, name=name, digest=digest)  # type: ignore[abstract]
        tag = InputTag("mlflow.data.context", context)
        entry = DatasetInput(dataset._to_mlflow_entity(), [tag])
        self.client.log_inputs(self.run_id, datasets=[entry])


HOST_TAG, PROCESS_TAG = "process.host", "process.id"


def owner() -> dict[str, str]:
    """The tags of a run that this process is responsible for."""
    return {HOST_TAG: machine.host(), PROCESS_TAG: machine.identify(os.getpid()) or ""}


@contextmanager
def ending(run: Run) -> Iterator[None]:
    """Set a run to FINISHED after the block, or as `failing` does."""
    with failing(run):
        yield
    run.client.set_terminated(run.run_id, "FINISHED")


@contextmanager
def failing(run: Run) -> Iterator[None]:
    """Set a run to FAILED when the block raises, to KILLED on Ctrl-C or SIGTERM."""
    try:
        yield
    except (KeyboardInterrupt, _Terminated):
        _give_up(run, "KILLED")
        raise
    except StoreError:  # nothing can be written; the next run of this machine closes this one
        raise
    except BaseException:
        _give_up(run, "FAILED")
        raise


def _give_up(run: Run, status: str) -> None:
    """Set the status of a run unless it is another process's, which goes on with it."""
    tags = run.client.get_run(run.run_id).data.tags
    if {key: tags.get(key) for key in (HOST_TAG, PROCESS_TAG)} == owner():
        run.client.set_terminated(run.run_id, status)


class _Terminated(SystemExit):
    """SIGTERM as an exception, so that `with` blocks end as they should."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Have SIGTERM raise in the block."""

    def terminate(signum: int, _frame: FrameType | None) -> None:
        raise _Terminated(128 + signum)

    previous: Any = None
    with suppress(ValueError):  # only the main thread may set a handler
        previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


@contextmanager
def start_run(
    name: str, params: Mapping[str, str], tags: Mapping[str, str], parent: str | None = None
) -> Iterator[Run]:
    """Open a run for the length of a `with` block.

    It ends FINISHED, FAILED when the block raises, KILLED on Ctrl-C or SIGTERM. Runs that a
    killed process of this machine left open are closed first.

    `params` are flat (see `lineage.acted_params`), `parent` is the id of the run this one belongs
    to (trials of a study), and `Run.log_lineage` adds tags of what it read.
    """
    run = create_run(name, params, tags, parent)
    with ending(run), sigterm_raises():
        yield run


def create_run(
    name: str, params: Mapping[str, str], tags: Mapping[str, str], parent: str | None = None
) -> Run:
    """Open a run of this process (arguments as of `start_run`) and leave it open."""
    client = connection.make_and_connect()
    close_abandoned_runs(client)
    nested = {"mlflow.parentRunId": parent} if parent else {}
    source = {"mlflow.source.name": " ".join(sys.argv[:1]), "mlflow.source.type": "LOCAL"}
    created = client.create_run(
        connection.experiment_id(client),
        run_name=name,
        tags={**source, **tags, **owner(), **nested},
    )
    run = Run(client, created.info.run_id)
    with failing(run):
        run.log_params(params)
    return run


@contextmanager
def shared(run: Run) -> Iterator[Run]:
    """Work on a run for the length of a `with` block, beside others that do so too.

    Whoever succeeds leaves it FINISHED. It fails or is killed with the process that owns it: the
    one that opened it or, once it was not RUNNING any more, the first to take it up again.
    """
    close_abandoned_runs(run.client)
    if run.client.get_run(run.run_id).info.status != "RUNNING":
        run.set_tags(owner())
        run.client.update_run(run.run_id, status="RUNNING")
    with ending(run), sigterm_raises():
        yield run


def discard_run(run: Run) -> None:
    """Delete a run that turned out not to be needed."""
    run.client.set_terminated(run.run_id, "KILLED")
    run.client.delete_run(run.run_id)


def close_run(run_id: str) -> None:
    """Set a run that its process left open, on whatever machine, to KILLED."""
    run = resume_run(run_id)
    if run is not None and run.client.get_run(run_id).info.status == "RUNNING":
        run.client.set_terminated(run_id, "KILLED")


def resume_run(run_id: str) -> Run | None:
    """The run of that id to add to (its status stays as it is); None if the store has none."""
    from mlflow.exceptions import MlflowException

    try:
        client = connection.connect()
    except NoStoreError:
        return None
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return Run(client, run_id) if run.info.lifecycle_stage == "active" else None


def close_abandoned_runs(client: "MlflowClient") -> None:
    """Set runs to KILLED whose process, on this machine, is not there any more."""
    condition = f"attributes.status = 'RUNNING' AND tags.`{HOST_TAG}` = '{machine.host()}'"
    running = client.search_runs([connection.experiment_id(client)], condition, max_results=1000)
    for run in running:
        if not machine.is_alive(run.data.tags.get(PROCESS_TAG, "")):
            client.set_terminated(run.info.run_id, "KILLED")


def training_name(train: Mapping[str, Any]) -> str:
    """What tells a training from others: `mixed6, 2 blocks, lr 1.2e-4`.

    With no block trained: `mixed6, head only, penalty 0.03` where the head is solved.

    `train` is the section with what the study chose.
    """
    depth, penalty = train["fine_tune_blocks"], train["head_penalty"]
    blocks = f"{depth} block{'s' * (depth != 1)}" if depth else "head only"
    solved_only = penalty is not None and not depth
    rate = f"penalty {short(penalty)}" if solved_only else f"lr {short(train['learning_rate'])}"
    head = "paper head, " if train["head"] == "paper" else ""
    return f"{head}mixed{train['head_block']}, {blocks}, {rate}"


def study_title(images: int, objective: str, folds: int, trials: int) -> str:
    """What tells a study from others: `study: 253 images, log loss over 5 folds, 20 trials`."""
    over = f"over {folds} folds" if folds > 1 else "on validation"
    return f"study: {images} images, {objective.replace('_', ' ')} {over}, {trials} trials"


def short(value: float) -> str:
    """Two digits that matter: 1.2e-4, 0.03, 12."""
    if value and not 1e-2 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def headline(metrics: Metrics) -> dict[str, float]:
    """The figures people compare, under MLflow names, as `test/accuracy`; no intervals."""
    return {
        f"{split}/{figure}": float(metrics[split][figure]["value"])
        for split in SPLITS
        for figure in HEADLINE
        if figure in metrics.get(split, {})
    }


def curves(row: Mapping[str, float]) -> dict[str, float]:
    """What is drawn of an epoch: not its number, nor a learning rate where nothing learnt by it."""
    left_out = {"epoch", "fine_tuning"} | (set() if row.get("learning_rate") else {"learning_rate"})
    return {key: value for key, value in row.items() if key not in left_out}


def result_note(metrics: Metrics, more: str = "") -> str:
    """The result of a training for the description of its run: Markdown, with 95 % intervals.

    `more` stands between the result in a sentence and the table.
    """
    test = metrics.get("test", {})
    figures = [f"{HEADLINE[key]} {cell(test, key, 3)}" for key in _SENTENCE if key in test]
    first = f"Test: {', '.join(figures)}, with 95 % intervals." if figures else "No test figures."
    rows = [
        [name, *(cell(metrics.get(split, {}), key, 3) for split in SPLITS)]
        for key, name in HEADLINE.items()
        if any(key in metrics.get(split, {}) for split in SPLITS)
    ]
    table = markdown_table(["Figure (95 % interval)", *SPLITS.values()], rows)
    return "\n\n".join(filter(None, [first, more, table, f"{_OPTIMISTIC} {_RESEARCH}"]))


def figures_csv(metrics: Metrics) -> str:
    """All figures with their intervals, a row each: MLflow shows the file as a table."""
    lines = ["split,figure,value,low,high"]
    for split, figures in metrics.items():
        for figure, parts in figures.items():
            values = (f"{parts[key]:.6g}" if key in parts else "" for key in _INTERVAL)
            lines.append(",".join([split, figure, *values]))
    return "\n".join(lines) + "\n"


def trials_note(trials: "pd.DataFrame", best: int | None, objective: str) -> str:
    """The result of a study for the description of its run: the best trial, and all, best first.

    A trial is a row: number, state, value (of the objective) and the hyperparameters.
    """
    table = trials.drop(columns=["duration_s"], errors="ignore").copy()
    table["_pruned"] = table["state"] != "complete"
    sign = 1.0 if objective == "log_loss" else -1.0
    table["_rank"] = sign * table["value"].astype(float)
    table = table.sort_values(["_pruned", "_rank", "number"]).drop(columns=["_pruned", "_rank"])
    names = ["trial" if name == "number" else name.replace("_", " ") for name in table.columns]
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    first = (
        f"Trial {best} is the best of {len(table)}; `value` is the validation "
        f"{objective.replace('_', ' ')}, the mean of all folds. A pruned trial has `value so far` "
        "only, of its first folds, which is not to be compared with a mean of all."
    )
    return f"{first}\n\n{markdown_table(names, rows)}"


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if value.is_integer() else f"{value:.4g}"
