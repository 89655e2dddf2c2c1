"""Stage headline: one outer fold after the other."""

from functools import partial

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.features import trunk_outputs
from brain_tumor.model.training import Start, number_format
from brain_tumor.tracking import lineage
from brain_tumor.tuning.plan import needed_outputs
from evidence import settings as study
from evidence.baselines import read_baselines
from evidence.headline import Headline, run_track
from evidence.parts import Finished, data_digest, images_digest, read_pool, with_phantoms
from evidence.recipe import product_recipe


def main() -> None:
    """Run the recipe on every outer fold; folds that are finished are not run again."""
    section = study.read().headline
    params = settings.read()
    initial = outputs.InitialWeights.read()
    initial.check_file(outputs.BACKBONE)
    manifest = outputs.read_manifest()
    pool = read_pool(manifest, outputs.IMAGES, params.augment)
    pool = with_phantoms(pool, outputs.AUGMENTED_IMAGES, outputs.AUGMENTED_RECORDS)
    start = Start(outputs.BACKBONE, default_cache())
    # All that trials will ask the feature cache for, in one pass.
    wanted, _ = needed_outputs(params.train, params.tune)
    trunk_outputs(start.weights, pool.images, wanted, start.cache)
    baselines = read_baselines(pool, outputs.DATA, start)
    decides = {
        "train": params.train.model_dump(),
        "tune": params.tune.model_dump(),
        "calibrate": params.calibrate.model_dump(),
    }
    track = Headline(
        pool,
        baselines,
        partial(product_recipe, start, params),
        section,
        images_digest(manifest),
        data_digest(pool, params.preprocess, params.augment, outputs.BACKBONE, baselines.files),
        decides,
        {"weights": initial.source, "precision": number_format(params.train.precision)},
    )
    inputs = {
        "manifest": outputs.MANIFEST,
        "images": outputs.IMAGES,
        "weights": outputs.BACKBONE,
        "records": outputs.AUGMENTED_RECORDS,
    }
    tags = lineage.tags(lineage.trace(inputs)) | initial.tags()
    run_track(track, Finished(study.FOLDS), lineage.flat_params(settings.PARAMS), tags)


if __name__ == "__main__":
    run(main)
