"""Stage paper of the evidence: the published protocol over several seeds."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from brain_tumor import params as params_file
from brain_tumor.dataset.manifest import read_manifest
from brain_tumor.evidence.finished import Finished
from brain_tumor.evidence.pace import Pace
from brain_tumor.evidence.paper_track import PaperTrack, missing_seeds, run_seed
from brain_tumor.evidence.params import PaperParams
from brain_tumor.evidence.pool import read_pool
from brain_tumor.evidence.source_digest import data_digest
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.fit import Start
from brain_tumor.model.initial_weights import InitialWeights
from brain_tumor.progress import counting
from brain_tumor.stages.paths import In, Out, reporting_errors, run


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
        section = params_file.load(evidence, "paper", PaperParams)
        augment = params_file.load(params, "augment", AugmentParams)
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
