"""The command line: brain-tumor."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brain_tumor.cli import ci, data
from brain_tumor.cli.evaluate import evaluate
from brain_tumor.cli.options import (
    PARAMS,
    Model,
    ParamsFile,
    chosen,
    model_folder,
    registered_name,
)
from brain_tumor.cli.predict import predict
from brain_tumor.command import reporting_errors, say, show_all_signs
from brain_tumor.escaping import terminal
from brain_tumor.machine import quiet_tensorflow

if TYPE_CHECKING:
    from rich.table import Table

    from brain_tumor.figure_text import Split
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.report.card import ModelCard

registry_app = typer.Typer(
    help="Keep the model registry and the outputs together.", no_args_is_help=True
)


@registry_app.command("sync")
def registry_sync(params: ParamsFile = PARAMS) -> None:
    """Make the MLflow store hold the model of outputs/registered.json.

    DVC restores outputs without touching the store. If the store lacks the model, its run and
    version are built again from the stage outputs. If all is in place, nothing happens.
    """
    from brain_tumor import settings
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.registry.register import sync

    with reporting_errors():
        sections = settings.read(params)
        synced = sync(StageOutputs(params=params), sections.preprocess, sections.register)
    aliases = ", ".join(f"@{alias}" for alias in synced.aliases) or "no alias"
    say(f"{synced.uri} ({aliases}): {'restored' if synced.restored else 'in place'}")


@registry_app.command("promote")
def registry_promote(
    params: ParamsFile = PARAMS,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Promote whatever the rule says. This brings an older model back after "
            "`git checkout` and `dvc checkout`.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the decision and its figures to this file.")
    ] = None,
) -> None:
    """Make the model of outputs/registered.json the @champion if the rule allows it.

    Section `register` of params.yaml has the rule. The new model and the champion are compared on
    images that neither was trained on. The first champion must beat guesses that look at no
    picture, by more than chance. Prints the decision and its reason. A second call changes nothing.
    """
    from dataclasses import asdict

    from brain_tumor import settings
    from brain_tumor.files import write_json
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.registry.register import promote

    with reporting_errors():
        section = settings.read(params).register
        section = section.model_copy(update={"force": section.force or force})
        promotion = promote(StageOutputs(params=params), section)
        if json_file:
            write_json(json_file, asdict(promotion))
    say(f"{promotion.uri} is @{promotion.alias}: {promotion.decision['reason']}")


def pull(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder to copy to; it is made when it is missing."),
    ],
    model: Model = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a model that is in the folder already.")
    ] = False,
) -> None:
    """Copy a registered model to a folder that works offline, without a store.

    The folder also holds its card (MODEL_CARD.md), the confusion matrices (evaluation/), the list
    of its training images and the packages it needs (requirements.txt). `brain-tumor predict`,
    `serve` and `mlflow.pyfunc.load_model` take the folder as a model.
    """
    from brain_tumor.registry.versions import pull as pull_model

    with reporting_errors():
        pulled = pull_model(chosen(model), folder, force=force)
    say(f"{folder}: {pulled.name}; its card: {folder / 'MODEL_CARD.md'}")


def serve(
    model: Model = None,
    host: Annotated[
        str,
        typer.Option(
            "--host",
            help="Address to listen on. Only this machine reaches the default. There is no "
            "password: put a proxy that asks for one in front to let others in.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes any free port."),
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Number of worker processes; one per processor by default.",
            show_default=False,
        ),
    ] = None,
    max_mb: Annotated[
        float,
        typer.Option("--max-mb", min=0.001, help="Largest file; a request may have 4 x this."),
    ] = 64,
    timeout_s: Annotated[
        float,
        typer.Option("--timeout-s", min=0.001, help="Seconds after which a file is given up."),
    ] = 30,
) -> None:
    """Serve a model: a page to drop images on, and an HTTP API (its schema: /openapi.json).

    Research only, not for diagnosis. Files stay in memory while they are examined and are never
    written or logged. On SIGTERM or Ctrl-C the server answers the requests it has, then it ends.
    """
    with reporting_errors():
        from brain_tumor.machine import worker_count
        from brain_tumor.serving.schema import MEGABYTE, Limits
        from brain_tumor.serving.server import serve as serve_model

        folder = model_folder(model)
        count = workers or worker_count()
        serve_model(
            folder,
            (host, port),
            count,
            Limits(file_bytes=round(max_mb * MEGABYTE), timeout_s=timeout_s),
            lambda url: say(
                f"{url} serves {folder.name} (worker processes: {count}). Research only, not for "
                "diagnosis. Ctrl-C ends it."
            ),
        )


FIGURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss")


def summary(params: ParamsFile = PARAMS) -> None:
    """Show the model of the last `dvc repro`: its figures, whether it is the champion, and why.

    Reads only the outputs of the stages.
    """
    from rich.console import Console

    from brain_tumor import settings
    from brain_tumor.outputs import Registered, StageOutputs, read_split
    from brain_tumor.report.card import CARD_FILE, REPORT_FILE, read_card

    with reporting_errors():
        outputs = StageOutputs(params=params)
        settings.read(params)  # in another folder than the project's this says so
        registered = Registered.read(outputs.registered)
        card = read_card(outputs.report / CARD_FILE)
        network = _network(card, outputs)
        split = read_split(outputs.split)
        is_test = (split["split"] == "test") & (split["label"] == "yes")
        image = outputs.data / split.loc[is_test, "path"].iloc[0]
        default_model = f"{registered_name()}@champion"
    console = Console(highlight=False, soft_wrap=True)
    name, version, alias = registered.name, registered.version, registered.alias
    console.print(f"\n[bold]{name} version {version}[/]")
    console.print(network, markup=False)
    console.print(_table(card))
    console.print(f"@{alias}: {registered.decision.get('reason', '')}", markup=False)
    if card.initial_weights.note:
        console.print(f"note: {card.initial_weights.note}", style="yellow", markup=False)
    which = "" if f"{name}@{alias}" == default_model else f" --model models:/{name}/{version}"
    console.print(f"Report: {outputs.report / REPORT_FILE}", markup=False)
    console.print("Next:")
    console.print("  make ui  # compare runs and models in MLflow", markup=False)
    command = f"{_program()} predict{which} {shlex.quote(str(image))}"
    console.print(f"  {terminal(command)}  # ask the model", markup=False)


def _program() -> str:
    """How the shell is to call `brain-tumor`: `make` puts it on the PATH, a shell may not."""
    program, here = Path(sys.argv[0]), Path.cwd()
    return str(program.relative_to(here)) if program.is_relative_to(here) else "brain-tumor"


def _network(card: "ModelCard", outputs: "StageOutputs") -> str:
    """What the network is, in a line."""
    from brain_tumor import settings
    from brain_tumor.outputs import Best

    train = settings.read(outputs.params).train.resolve(Best.read(outputs.best).params)
    network = f"InceptionV3 ({card.model.initial_weights}) to mixed{card.model.head_block}"
    if not train.fine_tune_blocks:
        return f"{network}, head only"
    count = f"{train.fine_tune_blocks} block" + "s" * (train.fine_tune_blocks > 1)
    return f"{network}, {count} fine-tuned at learning rate {train.learning_rate:.2g}"


def _table(card: "ModelCard") -> "Table":
    """Figures of validation and test, with 95 % intervals."""
    from rich.table import Table

    from brain_tumor.figure_text import cell, figure_name

    splits: tuple[Split, ...] = ("test", "val")
    sizes = {split: card.images[split] for split in splits}
    table = Table(caption="95 % intervals; validation is optimistic: the study chose by it")
    table.add_column("figure")
    for split in splits:
        table.add_column(f"{split} ({sizes[split].no} no, {sizes[split].yes} yes)")
    for key in FIGURES:
        table.add_row(figure_name(key), *(str(cell(card.metrics[split], key)) for split in splits))
    return table


def tune_worker(params: ParamsFile = PARAMS) -> None:
    """Run trials of the study that `dvc repro` has open in stage tune.

    Start the worker in a checkout with the same outputs and parameters. On another machine set
    OPTUNA_STORAGE and MLFLOW_TRACKING_URI as in the process that started the study. The worker
    ends when the study has its trials.
    """
    from brain_tumor import settings
    from brain_tumor.outputs import TuneInputs
    from brain_tumor.tuning.plan import read_plan
    from brain_tumor.tuning.study import join_study

    with reporting_errors():
        sections = settings.read(params)
        paths = TuneInputs(params=params)
        plan = read_plan(paths, sections.train, sections.tune, sections.augment)
        ended = join_study(plan)
    say(f"{plan.name}: this worker ended {ended} trials")


app = typer.Typer(
    help="Brain MRI slices to a registered tumour classifier (research only, not for diagnosis).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.add_typer(data.app, name="data")
app.add_typer(registry_app, name="registry")
app.add_typer(ci.app, name="ci")
app.command("summary")(summary)
app.command("predict")(predict)
app.command("evaluate")(evaluate)
app.command("pull")(pull)
app.command("serve")(serve)
app.command("tune-worker")(tune_worker)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        say(f"brain-tumor {version('brain-tumor')}")
        raise typer.Exit


@app.callback()
def main(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Brain MRI slices to a registered tumour classifier (research only, not for diagnosis)."""
    quiet_tensorflow()
    show_all_signs()
