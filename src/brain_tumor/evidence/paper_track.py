"""The paper track: the 163/50/40 protocol, ungrouped as published, over several seeds."""

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from brain_tumor.evidence.environment import environment
from brain_tumor.evidence.finished import Digest, Finished
from brain_tumor.evidence.paper_seed import divided, train_seed
from brain_tumor.evidence.params import PaperParams
from brain_tumor.evidence.pool import Pool
from brain_tumor.evidence.source_digest import images_digest, params_digest
from brain_tumor.model.fit import Start
from brain_tumor.model.recipe import VERSION
from brain_tumor.settings import POSITIVE


@dataclass(frozen=True)
class PaperTrack:
    """The protocol on a set of images.

    Attributes:
        start: initial weights and feature cache.
        pool: the images, through the paper's 100 x 100 step, with copies.
        manifest: of the files, for the division.
        params: section `paper`.
        data: digest of all that is read.
        weights: source of the initial weights.
    """

    start: Start
    pool: Pool
    manifest: pd.DataFrame
    params: PaperParams
    data: str
    weights: str

    def digest(self, seed: int) -> Digest:
        """Of what decides a seed's predictions."""
        decides = self.params.model_dump(exclude={"seeds"}) | {"seed": seed}
        return Digest(self._images, self.data, params_digest(decides), VERSION)

    @cached_property
    def _images(self) -> str:
        return images_digest(self.manifest)


def name_of(seed: int) -> str:
    """Of a seed's files."""
    return f"seed-{seed:02d}"


def missing_seeds(track: PaperTrack, finished: Finished) -> list[int]:
    """The seeds that are not finished yet.

    Raises:
        StaleError: see `Finished.missing`.
    """
    seeds = range(track.params.seeds)
    names = set(finished.missing({name_of(seed): track.digest(seed) for seed in seeds}))
    return [seed for seed in seeds if name_of(seed) in names]


def run_seed(track: PaperTrack, seed: int, finished: Finished) -> pd.DataFrame:
    """Divide the files, train, predict all of them, keep what came out and give it."""
    started = time.monotonic()
    table = divided(track.manifest, track.pool, track.params, seed)
    probability, epochs = train_seed(track.start, track.pool, table, track.params, seed)
    facts: dict[str, Any] = {
        "track": "paper",
        "seed": seed,
        "epochs": epochs,
        "wall_s": round(time.monotonic() - started, 1),
        "weights": track.weights,
        "environment": environment(),
    }
    table = table.assign(probability=probability)
    finished.write(name_of(seed), table, track.digest(seed), facts)
    return table


def read_seeds(
    finished: Finished, params: PaperParams
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The finished seeds that `params` names; others in the folder are passed over.

    Returns:
        The columns of their CSVs with `seed` and `y` (0 or 1), and the JSON of each.

    Raises:
        ValueError: one is missing.
    """
    tables, facts = zip(
        *(finished.read(name_of(seed)) for seed in range(params.seeds)), strict=True
    )
    parts = [table.assign(seed=one["seed"]) for table, one in zip(tables, facts, strict=True)]
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(y=(whole["label"] == POSITIVE).astype("int64")), list(facts)
