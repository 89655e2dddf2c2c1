"""Stage `split`: every image of the manifest to train, val or test."""

from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.dataset.expectations import outcomes, run_suite
from brain_tumor.dataset.splitting.split import SplitError, summarise
from brain_tumor.dataset.splitting.split import split as divide
from brain_tumor.dataset.splitting.suite import split_expectations, with_manifest
from brain_tumor.outputs import read_manifest, write_split
from brain_tumor.progress import working
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(manifest: In, split: Out, summary: Out, params: In = Path("params.yaml")) -> None:
    """Divide the images of MANIFEST and check the result before it is written."""
    with reporting_errors():
        wanted = settings.read(params).split
        images = read_manifest(manifest)
        with working("dividing the images, and checking how"):
            table = divide(images, wanted)
            checked = with_manifest(table, images)
            found = outcomes(run_suite("split", checked, split_expectations(wanted)))
        unmet = [f"{one.name} (observed: {one.observed})" for one in found if not one.success]
        if unmet:
            raise SplitError("the split is not as asked: " + "; ".join(unmet))
        write_split(table, split)
        write_json(summary, summarise(table, images))


if __name__ == "__main__":
    run(main)
