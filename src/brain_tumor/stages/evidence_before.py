"""Stage before of the evidence: the former recipe on the outer folds of the first assignment."""

import os
from pathlib import Path

from brain_tumor import params as params_file
from brain_tumor.dataset.manifest import read_manifest
from brain_tumor.evidence.baselines import read_baselines
from brain_tumor.evidence.finished import Finished
from brain_tumor.evidence.former import BeforeParams, FormerRecipe
from brain_tumor.evidence.headline import Headline
from brain_tumor.evidence.headline_runs import run_track
from brain_tumor.evidence.params import HeadlineParams
from brain_tumor.evidence.pool import read_pool
from brain_tumor.evidence.source_digest import data_digest, images_digest
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.fit import Start
from brain_tumor.model.initial_weights import InitialWeights
from brain_tumor.model.precision import resolve
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking import lineage


def main(
    data: In,
    manifest: In,
    images: In,
    weights: In,
    source: In,
    folds: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Run the former recipe; folds that are finished are not run again."""
    with reporting_errors():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        initial = InitialWeights.model_validate_json(source.read_text(encoding="utf-8"))
        section = params_file.load(evidence, "before", BeforeParams)
        outer = params_file.load(evidence, "headline", HeadlineParams)
        augment = params_file.load(params, "augment", AugmentParams)
        table = read_manifest(manifest)
        pool = read_pool(table, images, augment)
        start = Start(weights, default_cache())
        baselines = read_baselines(pool, data, start)
        track = Headline(
            pool,
            baselines,
            FormerRecipe(start, section),
            outer.model_copy(update={"repeats": 1}),
            images_digest(table),
            data_digest(pool, weights, baselines.files),
            {"before": section.model_dump()},
            {"weights": initial.source, "precision": resolve(section.train.precision)},
        )
        inputs = {"manifest": manifest, "images": images, "weights": weights}
        tags = lineage.tags(lineage.trace(inputs)) | initial.tags()
        run_track("before", track, Finished(folds), lineage.flat_params(evidence), tags)


if __name__ == "__main__":
    run(main)
