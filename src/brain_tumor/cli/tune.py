"""`brain-tumor tune-worker`: more processes on one study."""

import typer

from brain_tumor.cli.options import PARAMS, ParamsFile
from brain_tumor.stages.paths import reporting_errors


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
        asked = settings.read(params)
        plan = read_plan(TuneInputs(params=params), asked.train, asked.tune, asked.augment)
        ended = join_study(plan)
    typer.echo(f"{plan.name}: this worker ended {ended} trials")
