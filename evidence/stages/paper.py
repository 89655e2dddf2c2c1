"""Stage paper: one division after the other."""

import time

import numpy as np

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.machine import counting
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.training import Start
from evidence import settings as study
from evidence.paper import PaperTrack, run_seed
from evidence.parts import Finished, data_digest, pace, read_pool


def main() -> None:
    """Train and predict once per seed, without and with top blocks; finished ones are kept."""
    section = study.read().paper
    initial = outputs.InitialWeights.read()
    initial.check_file(outputs.BACKBONE)
    initial.check_covers(section.train.head_block)
    manifest = outputs.read_manifest()
    params = settings.read()
    pool = read_pool(manifest, study.PAPER_IMAGES, params.augment)
    data = data_digest(pool, params.preprocess, params.augment, outputs.BACKBONE, manifest)
    start = Start(outputs.BACKBONE, default_cache())
    for division, folder in (
        (section, study.SEEDS),
        (section.with_top_blocks(), study.SEEDS_OF_BLOCKS),
    ):
        track = PaperTrack(start, pool, manifest, division, data, initial.source)
        run_seeds(track, Finished(folder), f"paper track, {division.train.fine_tune_blocks} blocks")


def run_seeds(track: PaperTrack, finished: Finished, name: str) -> None:
    """Run what is missing of a track and show how it goes."""
    missing = track.missing(finished)
    began = time.monotonic()
    with counting(name, len(missing)) as step:
        for number, seed in enumerate(missing, 1):
            table = run_seed(track, seed, finished)
            test = table[table["split"] == outputs.TEST]
            right = float(np.mean((test["probability"] >= 0.5) == (test["label"] == "yes")))
            step(f"seed {seed}: test accuracy {right:.3f}; {pace(began, number, len(missing))}")


if __name__ == "__main__":
    run(main)
