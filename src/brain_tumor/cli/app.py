"""The command line; what a command needs is imported when it runs, so help answers at once."""

from typing import Annotated

import typer

from brain_tumor.cli import ci, data, registry
from brain_tumor.cli.evaluate import evaluate
from brain_tumor.cli.predict import predict
from brain_tumor.cli.pull import pull
from brain_tumor.cli.serve import serve
from brain_tumor.cli.summary import summary
from brain_tumor.cli.tune import tune_worker
from brain_tumor.startup import quiet_tensorflow

app = typer.Typer(
    help="Brain MRI slices to a registered tumour classifier (research only, not for diagnosis).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.add_typer(data.app, name="data")
app.add_typer(registry.app, name="registry")
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

        typer.echo(f"brain-tumor {version('brain-tumor')}")
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
