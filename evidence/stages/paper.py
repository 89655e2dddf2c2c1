"""Stage paper: one division after the other."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.machine import counting
from brain_tumor.model.features import default_cache
from brain_tumor.model.training import Start
from brain_tumor.outputs import InitialWeights, read_manifest
from evidence.paper import PaperTrack, missing_seeds, run_seed
from evidence.parts import Finished, Pace, data_digest, read_pool
from evidence.settings import PaperParams


def main(
    manifest: In,
    images: In,
    weights: In,
    source: In,
    seeds: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Train and predict once per seed; seeds that are finished are not run again."""
    with reporting_errors():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        section = settings.load(evidence, "paper", PaperParams)
        augment = settings.read(params).augment
        initial = InitialWeights.read(source)
        initial.check_covers(section.train.head_block)
        table = read_manifest(manifest)
        pool = read_pool(table, images, augment)
        data = data_digest(pool, weights, table)
        start = Start(weights, default_cache())
        track = PaperTrack(start, pool, table, section, data, initial.source)
        finished = Finished(seeds)
        missing = missing_seeds(track, finished)
        pace = Pace(len(missing))
        with counting("paper track", len(missing)) as step:
            for seed in missing:
                accuracy = _test_accuracy(run_seed(track, seed, finished))
                step(f"seed {seed}: test accuracy {accuracy:.3f}; {pace.step()}")


def _test_accuracy(table: pd.DataFrame) -> float:
    test = table[table["split"] == "test"]
    return float(np.mean((test["probability"] >= 0.5) == (test["label"] == "yes")))


if __name__ == "__main__":
    run(main)
