"""Stage headline: one outer fold after the other."""

import os
from pathlib import Path

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.model.features import Output, default_cache, trunk_outputs
from brain_tumor.model.training import Start, number_format
from brain_tumor.outputs import InitialWeights, read_manifest
from brain_tumor.tracking import lineage
from evidence.baselines import read_baselines
from evidence.headline import Headline, run_track
from evidence.parts import Finished, Pool, data_digest, images_digest, read_pool, with_phantoms
from evidence.recipe import RecipeParams, product_recipe
from evidence.settings import HeadlineParams


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
            {"weights": initial.source, "precision": number_format(recipe.train.precision)},
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
