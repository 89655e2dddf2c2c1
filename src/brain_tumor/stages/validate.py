"""Stage `validate`: raw images to a checked manifest, or a report of what is wrong."""

import sys
from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.dataset.expectations import outcomes, run_suite
from brain_tumor.dataset.fetch.data_dvc import origin, read_meta
from brain_tumor.dataset.splitting.split import required_images
from brain_tumor.dataset.validation.data_docs import write_data_docs
from brain_tumor.dataset.validation.report import about, complaints, to_report
from brain_tumor.dataset.validation.suite import manifest_expectations, with_problems
from brain_tumor.dataset.validation.validate import validate
from brain_tumor.outputs import write_manifest
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(data: In, manifest: Out, report: Out, docs: Out, params: In = Path("params.yaml")) -> None:
    """Check the images of DATA; write the manifest only if nothing is wrong."""
    with reporting_errors():
        manifest.unlink(missing_ok=True)  # an old one must not outlive data that fails
        wanted = settings.read(params).validate
        split_wanted = settings.read(params).split
        validation = validate(data, wanted, split_wanted)
        table = with_problems(validation.manifest, validation.errors)
        suite = manifest_expectations(wanted, required_images(split_wanted))
        result = run_suite("manifest", table, suite)
        source = f"{data.name}/ (source: {origin(read_meta(data))})"
        write_data_docs(docs, "Validation of the images", about(validation, source), result)
        write_json(report, to_report(validation, outcomes(result)))
        problems = complaints(validation, outcomes(result))
        if not problems:
            write_manifest(validation.manifest, manifest)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if problems:
        raise SystemExit(1)


if __name__ == "__main__":
    run(main)
