"""The command line; what a command needs is imported when it runs, so help answers at once."""

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


@app.callback()
def main() -> None:
    """Brain MRI slices to a registered tumour classifier (research only, not for diagnosis)."""
    quiet_tensorflow()
