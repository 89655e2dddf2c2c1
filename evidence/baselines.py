"""What a simpler method reaches on the same folds."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.data.metadata import metadata_classifier, metadata_features
from brain_tumor.model import metrics
from evidence.parts import Fold, Pool, is_tumour, originals

if TYPE_CHECKING:
    from brain_tumor.model.training import Start

Floats = NDArray[np.float64]
NAMES = ("majority", "metadata", "pixels_1nn", "probe")
THUMBNAIL_PX = 32
PROBE_BLOCK = 6
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, the inverse of the penalty
_INNER_FOLDS = 5


def predict_probe(features: NDArray[np.float32], rows: pd.DataFrame, fold: Fold) -> Floats:
    """Logistic regression on standardised features, fitted on images and copies.

    Its penalty is the one with the lowest log loss over inner folds of the development images (no
    cluster is divided). The probability of an image is the mean over it and its copies.

    Args:
        features: float32 (N, channels), of the pool.
        rows: of the pool: source, label, copy, cluster.
        fold: what fits and what is unseen.

    Returns:
        float64 (unseen,), in the order of the fold.
    """
    fits = rows["source"].isin(fold.development).to_numpy(np.bool_)
    development = rows[fits].reset_index(drop=True)
    best = _strength(features[fits], development, fold)
    model = _model(best).fit(features[fits], is_tumour(development["label"]))
    return _views_averaged(model, features, rows, list(fold.unseen))


def _strength(features: NDArray[np.float32], rows: pd.DataFrame, fold: Fold) -> float:
    from sklearn.model_selection import StratifiedGroupKFold

    own = rows[~rows["copy"].to_numpy(np.bool_)]
    count = min(_INNER_FOLDS, int(own.groupby("label")["cluster"].nunique().min()))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=fold.repeat)
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for _, places in splitter.split(own, own["label"], own["cluster"]):
        unseen = own.iloc[places]
        fits = ~rows["cluster"].isin(set(unseen["cluster"])).to_numpy(np.bool_)
        for strength in STRENGTHS:
            model = _model(strength).fit(features[fits], is_tumour(rows.loc[fits, "label"]))
            p = _views_averaged(model, features, rows, list(unseen["source"]))
            losses[strength] += metrics.log_loss(is_tumour(unseen["label"]), p) * len(unseen)
    return min(losses, key=lambda strength: losses[strength])


def _model(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def _views_averaged(
    model: Any, features: NDArray[np.float32], rows: pd.DataFrame, paths: list[str]
) -> Floats:
    wanted = rows["source"].isin(paths).to_numpy(np.bool_)
    views = pd.Series(model.predict_proba(features[wanted])[:, 1])
    mean = views.groupby(rows.loc[wanted, "source"].to_numpy()).mean()
    return np.asarray(mean.loc[paths], np.float64)


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
        from sklearn.neighbors import KNeighborsClassifier

        images = self.rows[~self.rows["copy"].to_numpy(np.bool_)]
        own = images.reset_index().set_index("source")
        fitting, unseen = own.loc[list(fold.development)], own.loc[list(fold.unseen)]
        truth = is_tumour(fitting["label"])
        forest = metadata_classifier(fold.repeat).fit(self.files.loc[list(fold.development)], truth)
        nearest = KNeighborsClassifier(1).fit(self.pixels[fitting["index"]], truth)
        return {
            "majority": np.full(len(unseen), truth.mean()),
            "metadata": np.asarray(forest.predict_proba(self.files.loc[list(fold.unseen)])[:, 1]),
            "pixels_1nn": np.asarray(nearest.predict_proba(self.pixels[unseen["index"]])[:, 1]),
            "probe": predict_probe(self.features, self.rows, fold),
        }


def read_baselines(pool: Pool, data: Path, start: "Start") -> Baselines:
    """Read what the baselines see: raw files in `data`, pixels, features of the frozen trunk.

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
    small = [
        np.asarray(Image.fromarray(image).resize(side, Image.Resampling.BOX)) for image in images
    ]
    return np.stack(small).reshape(len(images), -1).astype(np.float64)
