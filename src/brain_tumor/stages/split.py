"""Stage split: every image of the manifest to train, val or test."""

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.expectations import outcomes, run_suite
from brain_tumor.data.split import SplitError, split, split_expectations, summarise, with_manifest
from brain_tumor.files import write_json
from brain_tumor.machine import working


def main() -> None:
    """Divide the images of the manifest and check the result before it is written."""
    section = settings.read().split
    manifest = outputs.read_manifest()
    with working("dividing the images, and checking how"):
        table = split(manifest, section)
        suite = split_expectations(section)
        checks = outcomes(run_suite("split", with_manifest(table, manifest), suite))
    unmet = [f"{check.name} (observed: {check.observed})" for check in checks if not check.success]
    if unmet:
        raise SplitError("the split is not as asked: " + "; ".join(unmet))
    outputs.write_split(table)
    write_json(outputs.SPLIT_SUMMARY, summarise(table, manifest))


if __name__ == "__main__":
    run(main)
