"""Stage validate: raw images to a checked manifest, or a report of what is wrong."""

import sys

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.check import about, complaints, shown, to_report, validate
from brain_tumor.data.dvc import origin, read_meta
from brain_tumor.data.expectations import outcomes, run_suite
from brain_tumor.data.split import required_images
from brain_tumor.data.suite import manifest_expectations, write_data_docs
from brain_tumor.escaping import terminal
from brain_tumor.files import write_json
from brain_tumor.machine import working


def main() -> None:
    """Check the images of data/; write the manifest only if nothing is wrong."""
    outputs.MANIFEST.unlink(missing_ok=True)  # an old one must not outlive data that fails
    params = settings.read()
    with working("looking at the images, and for copies among them"):
        validation = validate(outputs.DATA, params.validate, params.split)
    with working("checking the manifest with Great Expectations"):
        suite = manifest_expectations(params.validate, required_images(params.split))
        result = run_suite("manifest", validation.facts, suite)
    source = f"{outputs.DATA.name}/ (source: {origin(read_meta(outputs.DATA))})"
    facts = about(validation, source)
    words = shown([f"{path}: {reason}" for path, reason in validation.errors])
    write_data_docs(outputs.DATA_DOCS, "Validation of the images", facts, words, result)
    write_json(outputs.VALIDATION, to_report(validation, outcomes(result)))
    problems = complaints(validation, outcomes(result))
    for problem in shown(problems):
        print(f"error: {terminal(problem)}", file=sys.stderr)
    if problems:
        raise SystemExit(1)
    outputs.write_manifest(validation.manifest)


if __name__ == "__main__":
    run(main)
