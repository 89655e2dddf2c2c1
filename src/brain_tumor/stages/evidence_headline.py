"""Stage headline of the evidence: the whole recipe over outer folds it never sees."""

import os
from pathlib import Path

from brain_tumor import settings
from brain_tumor.evidence.baselines import read_baselines
from brain_tumor.evidence.finished import Finished
from brain_tumor.evidence.headline import Headline
from brain_tumor.evidence.headline_runs import run_track
from brain_tumor.evidence.params import HeadlineParams
from brain_tumor.evidence.pool import Pool, read_pool, with_phantoms
from brain_tumor.evidence.recipe import RecipeParams, product_recipe
from brain_tumor.evidence.source_digest import data_digest, images_digest
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.fit import Start
from brain_tumor.model.precision import resolve
from brain_tumor.outputs import InitialWeights, read_manifest
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking import lineage


def main(
    data: In,
    manifest: In,
    images: In,
    augmented: In,
    records: In,
    weights: In,
    source: In,
    folds: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Run the recipe on every outer fold; folds that are finished are not run again."""
    with reporting_errors():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        initial = InitialWeights.read(source)
        section = settings.load(evidence, "headline", HeadlineParams)
        asked = settings.read(params)
        recipe = RecipeParams(
            asked.train,
            asked.tune,
            asked.calibrate,
        )
        table = read_manifest(manifest)
        pool = read_pool(table, images, asked.augment)
        pool = with_phantoms(pool, augmented, records)
        start = Start(weights, default_cache())
        _features_in_one_pass(start, pool, recipe)
        baselines = read_baselines(pool, data, start)
        track = Headline(
            pool,
            baselines,
            product_recipe(start, recipe),
            section,
            images_digest(table),
            data_digest(pool, weights, baselines.files),
            {name: getattr(recipe, name).model_dump() for name in ("train", "tune", "calibrate")},
            {"weights": initial.source, "precision": resolve(recipe.train.precision)},
        )
        inputs = {"manifest": manifest, "images": images, "weights": weights, "records": records}
        tags = lineage.tags(lineage.trace(inputs)) | initial.tags()
        run_track("headline", track, Finished(folds), lineage.flat_params(params), tags)


def _features_in_one_pass(start: Start, pool: Pool, recipe: RecipeParams) -> None:
    """All that heads on the frozen trunk will ask the feature cache for."""
    block, space = recipe.train.head_block, recipe.tune.space.head_block
    blocks = range(space.low, space.high + 1) if block == "tuned" else [block]
    wanted = [Output(one, recipe.train.head) for one in blocks]
    trunk_outputs(start.weights, pool.images, wanted, start.cache)


if __name__ == "__main__":
    run(main)
