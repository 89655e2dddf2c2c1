"""`brain-tumor summary`: what the last run came to; the end of `make repro`."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from brain_tumor.cli.options import PARAMS, ParamsFile, registered_name
from brain_tumor.stages.paths import reporting_errors

if TYPE_CHECKING:
    from rich.table import Table

    from brain_tumor.outputs import StageOutputs
    from brain_tumor.report.card import ModelCard
    from brain_tumor.report.words import Split

FIGURES = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss")


def summary(params: ParamsFile = PARAMS) -> None:
    """Show the model of the last `dvc repro`: its figures, whether it is the champion, and why.

    Reads only the outputs of the stages.
    """
    from rich.console import Console

    from brain_tumor.atomic import RESTORE, read_json
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.report.card import CARD_FILE, REPORT_FILE, read_card

    with reporting_errors():
        outputs = StageOutputs(params=params)
        registered = read_json(outputs.registered, RESTORE)
        card = read_card(outputs.report / CARD_FILE)
        network = _network(card, outputs)
        image = outputs.data / _test_image(outputs.split)
        asked_by_default = f"{registered_name()}@champion"
    console = Console(highlight=False, soft_wrap=True)
    name, version, alias = (str(registered[key]) for key in ("name", "version", "alias"))
    console.print(f"\n[bold]{name} version {version}[/]")
    console.print(network, markup=False)
    console.print(_table(card))
    console.print(f"@{alias}: {registered['decision']['reason']}", markup=False)
    if card.initial_weights.note:
        console.print(f"note: {card.initial_weights.note}", style="yellow", markup=False)
    which = "" if f"{name}@{alias}" == asked_by_default else f" --model models:/{name}/{version}"
    console.print(f"Report: {outputs.report / REPORT_FILE}", markup=False)
    console.print("Next:")
    console.print("  make ui  # compare runs and models in MLflow", markup=False)
    console.print(f"  {_program()} predict{which} {image}  # ask the model", markup=False)


def _program() -> str:
    """How the shell is to call `brain-tumor`: `make` puts it on the PATH, a shell may not."""
    program, here = Path(sys.argv[0]), Path.cwd()
    return str(program.relative_to(here)) if program.is_relative_to(here) else "brain-tumor"


def _network(card: "ModelCard", outputs: "StageOutputs") -> str:
    """What the network is, in a line."""
    from brain_tumor import settings
    from brain_tumor.outputs import Best

    asked = settings.read(outputs.params).train.resolve(Best.read(outputs.best).params)
    network = f"InceptionV3 ({card.model.initial_weights}) to mixed{card.model.head_block}"
    if not asked.fine_tune_blocks:
        return f"{network}, head only"
    count = f"{asked.fine_tune_blocks} block" + "s" * (asked.fine_tune_blocks > 1)
    return f"{network}, {count} fine-tuned at learning rate {asked.learning_rate:.2g}"


def _table(card: "ModelCard") -> "Table":
    """Figures of validation and test, with 95 % intervals."""
    from rich.table import Table

    from brain_tumor.report.words import figure_name, shown

    splits: tuple[Split, ...] = ("test", "val")
    sizes = {split: card.images[split] for split in splits}
    table = Table(caption="95 % intervals; validation is optimistic: the study chose by it")
    table.add_column("figure")
    for split in splits:
        table.add_column(f"{split} ({sizes[split].no} no, {sizes[split].yes} yes)")
    for key in FIGURES:
        table.add_row(figure_name(key), *(shown(card.metrics[split].get(key)) for split in splits))
    return table


def _test_image(split: Path) -> str:
    """A test image with a tumour, to try the model on."""
    with split.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return next(r["path"] for r in rows if (r["split"], r["label"]) == ("test", "yes"))
