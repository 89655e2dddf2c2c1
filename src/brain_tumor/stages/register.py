"""Stage register: the model becomes a version of the registered model, and maybe its champion."""

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.machine import working
from brain_tumor.registry.register import register


def main() -> None:
    """Register the model, compare it with the champion and write what was decided and why."""
    params = settings.read()
    with working("storing the model in MLflow, comparing it with the champion"):
        result = register(outputs.StageOutputs(), params.preprocess, params.register)
    result.write()
    print(f"{result.name} version {result.version} is @{result.alias}: ", end="")
    print(result.decision["reason"])


if __name__ == "__main__":
    run(main)
