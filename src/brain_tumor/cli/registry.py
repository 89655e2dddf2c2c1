"""`brain-tumor registry ...`: the registered models."""

import typer

from brain_tumor.cli.options import PARAMS, ParamsFile
from brain_tumor.stages.paths import reporting_errors

app = typer.Typer(help="Keep the model registry and the outputs together.", no_args_is_help=True)


@app.command("sync")
def registry_sync(params: ParamsFile = PARAMS) -> None:
    """Make the MLflow store hold the model of outputs/registered.json.

    DVC restores outputs without touching the store; where the store lacks the model, its run and
    version are built again from the stage outputs. Does nothing where all is in place.
    """
    from brain_tumor.imaging.preprocess_params import PreprocessParams
    from brain_tumor.params import load
    from brain_tumor.registry.outputs import StageOutputs
    from brain_tumor.registry.params import RegisterParams
    from brain_tumor.registry.register import sync

    with reporting_errors():
        preprocess = load(params, "preprocess", PreprocessParams)
        synced = sync(
            StageOutputs(params=params), preprocess, load(params, "register", RegisterParams)
        )
    aliases = ", ".join(f"@{alias}" for alias in synced.aliases) or "no alias"
    typer.echo(f"{synced.uri} ({aliases}): {'restored' if synced.restored else 'in place'}")
