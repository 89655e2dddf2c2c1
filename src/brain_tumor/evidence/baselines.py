"""What a network must beat, on the same folds: guesses from little, and a linear probe."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.dataset.metadata import metadata_classifier, metadata_features
from brain_tumor.evidence.folds import Fold
from brain_tumor.evidence.pool import Pool, is_tumour, originals
from brain_tumor.evidence.probe import predict_probe

if TYPE_CHECKING:
    from brain_tumor.model.fit import Start

THUMBNAIL_PX = 32
PROBE_BLOCK = 6
NAMES = ("majority", "metadata", "pixels_1nn", "probe")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Baselines:
    """What the baselines see.

    Attributes:
        rows: of the pool: source, label, copy, cluster.
        files: `metadata_features` of each raw file, indexed by manifest path.
        pixels: float64 (N, 32 * 32), of the pool's images.
        features: float32 (N, channels), pooled features of the frozen trunk at `mixed6`.
    """

    rows: pd.DataFrame
    files: pd.DataFrame
    pixels: Floats
    features: NDArray[np.float32]

    def predict(self, fold: Fold) -> dict[str, Floats]:
        """Probability of a tumour by each baseline, float64 (unseen,), in the order of the fold.

        Each is fitted on the fold's development images; phantoms are left out.
        """
        images = self.rows[~self.rows["copy"].to_numpy(np.bool_)]
        own = images.reset_index().set_index("source")
        known, unseen = own.loc[list(fold.development)], own.loc[list(fold.unseen)]
        truth = is_tumour(known["label"])
        return {
            "majority": np.full(len(unseen), truth.mean()),
            "metadata": self._metadata(fold, truth),
            "pixels_1nn": self._nearest(known["index"], truth, unseen["index"]),
            "probe": predict_probe(self.features, self.rows, fold),
        }

    def _metadata(self, fold: Fold, truth: NDArray[np.int64]) -> Floats:
        forest = metadata_classifier(fold.repeat).fit(self.files.loc[list(fold.development)], truth)
        return np.asarray(forest.predict_proba(self.files.loc[list(fold.unseen)])[:, 1])

    def _nearest(self, known: pd.Series, truth: NDArray[np.int64], unseen: pd.Series) -> Floats:
        from sklearn.neighbors import KNeighborsClassifier

        nearest = KNeighborsClassifier(1).fit(self.pixels[known.to_numpy()], truth)
        return np.asarray(nearest.predict_proba(self.pixels[unseen.to_numpy()])[:, 1])


def read_baselines(pool: Pool, data: Path, start: "Start") -> Baselines:
    """Read what the baselines see.

    Args:
        pool: the images.
        data: folder of the raw files.
        start: weights of the frozen trunk and where its features are kept.

    Raises:
        OSError: a raw file is missing.
    """
    from brain_tumor.model.features import Output, trunk_outputs

    paths = originals(pool)["source"].to_numpy(str)
    files = pd.DataFrame([metadata_features(data / path) for path in paths], index=paths)
    wanted = [Output(PROBE_BLOCK, "gap")]
    (features,) = trunk_outputs(start.weights, pool.images, wanted, start.cache)
    return Baselines(pool.rows, files, _thumbnails(pool.images), np.asarray(features))


def _thumbnails(images: NDArray[np.uint8]) -> Floats:
    """Each image averaged over areas to 32 x 32, as a row."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    small = [np.asarray(Image.fromarray(one).resize(side, Image.Resampling.BOX)) for one in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float64)
