"""`brain-tumor registry ...`: the registered models."""

from pathlib import Path
from typing import Annotated

import typer

from brain_tumor.cli.options import PARAMS, ParamsFile
from brain_tumor.stages.paths import reporting_errors

app = typer.Typer(help="Keep the model registry and the outputs together.", no_args_is_help=True)


@app.command("sync")
def registry_sync(params: ParamsFile = PARAMS) -> None:
    """Make the MLflow store hold the model of outputs/registered.json.

    DVC restores outputs without touching the store. If the store lacks the model, its run and
    version are built again from the stage outputs. If all is in place, nothing happens.
    """
    from brain_tumor import settings
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.registry.sync import sync

    with reporting_errors():
        asked = settings.read(params)
        synced = sync(StageOutputs(params=params), asked.preprocess, asked.register)
    aliases = ", ".join(f"@{alias}" for alias in synced.aliases) or "no alias"
    typer.echo(f"{synced.uri} ({aliases}): {'restored' if synced.restored else 'in place'}")


@app.command("promote")
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
    from brain_tumor.atomic import write_json
    from brain_tumor.outputs import StageOutputs
    from brain_tumor.registry.champion import promote

    with reporting_errors():
        section = settings.read(params).register
        section = section.model_copy(update={"force": section.force or force})
        promotion = promote(StageOutputs(params=params), section)
        if json_file:
            write_json(json_file, asdict(promotion))
    typer.echo(f"{promotion.uri} is @{promotion.alias}: {promotion.decision['reason']}")
