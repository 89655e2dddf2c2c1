"""`brain-tumor ci ...`: the steps of .github/workflows/retrain.yml, for any machine."""

from pathlib import Path
from typing import Annotated

import typer

from brain_tumor.cli.options import DATA, PARAMS, DataFolder, ParamsFile, sections
from brain_tumor.command import reporting_errors, say

app = typer.Typer(
    help="What CI does when data, parameters or code change; docs/retraining.md has the order.",
    no_args_is_help=True,
)


@app.command("restore")
def ci_restore(
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
    without_access: Annotated[
        bool,
        typer.Option(
            "--without-access",
            help="If the remote cannot be read, go on with data that can be made again. A fork's "
            "pull request needs this.",
        ),
    ] = False,
) -> None:
    """Bring back data and outputs from the DVC remote, so that only changed stages run again.

    `dvc repro` makes what the remote lacks. Data that data.dvc describes as the phantom are made
    anew. It is an error if the data cannot be restored.
    """
    from brain_tumor.ci.facts import restore

    with reporting_errors():
        for line in restore(data, *sections(params), without_access=without_access):
            say(line)


@app.command("push")
def ci_push(data: DataFolder = DATA) -> None:
    """Send data and outputs to the DVC remote, if one is set."""
    from brain_tumor.ci.facts import push

    with reporting_errors():
        say(push(data))


@app.command("report")
def ci_report(
    base: Annotated[
        str,
        typer.Option(
            "--base", help="Branch or commit; its last commit shared with HEAD is compared."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            help="Folder for report.md, figures/ and summary.md (the same without figures). "
            "drift.json and promotion.json are read from there.",
        ),
    ] = Path("report"),
    data: DataFolder = DATA,
    params: ParamsFile = PARAMS,
    failed: Annotated[
        bool, typer.Option("--failed/--passed", help="Whether a step of the run failed.")
    ] = False,
) -> None:
    """Write a report of what a run changed and achieved, even if it stopped half-way."""
    from brain_tumor.ci.facts import gather
    from brain_tumor.ci.report import headline, write_failure, write_report

    with reporting_errors():
        try:
            _, folders = sections(params)
            facts = gather(base, data, folders, out, failed=failed)
        except ValueError as error:  # params.yaml or dvc.yaml cannot be read: that is the report
            if params.exists():  # elsewhere than in the project nothing is written
                write_failure(str(error), out)
            raise
        write_report(facts, out)
    say(f"{out / 'report.md'}: {headline(facts)}")


@app.command("results")
def ci_results(
    patch: Annotated[Path, typer.Argument(help="File to write.")] = Path("report/results.patch"),
) -> None:
    """Write the run's changes to dvc.lock and to the small outputs git tracks as a git patch.

    `PYTHONPATH=src python3 -m brain_tumor.ci.record PATCH --branch NAME` commits and pushes it.
    """
    from brain_tumor.ci.facts import write_results

    with reporting_errors():
        names = write_results(patch)
    say(f"{patch}: {len(names)} files changed")
