"""Stage backbone: write the weights training starts from."""

import sys
from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.model.initial_weights import prepare
from brain_tumor.progress import working
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking.download import download


def main(weights: Out, source: Out, params: In = Path("params.yaml")) -> None:
    """Write the backbone's initial weights and the JSON that says where they came from."""
    with reporting_errors():
        section = settings.read(params).backbone
        with working("fetching or making the weights training starts from"):
            initial = prepare(weights, section, download)
        write_json(source, initial.model_dump())
        print(f"initial weights: {initial.source} (sha256 {initial.sha256[:12]})", file=sys.stderr)
        if initial.note:
            print(f"WARNING: {initial.note}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
