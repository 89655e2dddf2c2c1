"""Stage backbone: write the weights training starts from."""

import sys
from pathlib import Path

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.machine import working
from brain_tumor.model.backbone import prepare
from brain_tumor.tracking.models import find_model


def _bundle(uri: str) -> Path:
    return find_model(uri).bundle


def main() -> None:
    """Write the backbone's initial weights and the JSON that says where they came from."""
    with working("fetching or making the weights training starts from"):
        initial = prepare(outputs.BACKBONE, settings.read().backbone, _bundle)
    initial.write(outputs.INITIAL_WEIGHTS)
    print(f"initial weights: {initial.source} (sha256 {initial.sha256[:12]})", file=sys.stderr)
    if initial.note:
        print(f"WARNING: {initial.note}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
