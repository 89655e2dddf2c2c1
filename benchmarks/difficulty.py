"""How hard the images of `data/` are: simple classifiers on grouped folds.

Run `make repro` first. Three times five folds that no duplicate and no patient crosses; AUROC and
balanced accuracy are means over folds:

    python benchmarks/difficulty.py PATH/TO/inception_v3.weights.h5
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from PIL import Image
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brain_tumor.data.copies import clusters
from brain_tumor.model import metrics
from brain_tumor.model.backbone import prepare
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.outputs import read_manifest
from brain_tumor.settings import BackboneParams
from brain_tumor.shards import open_images

OUTPUTS = Path("outputs")
BLOCK, REPEATS, FOLDS = 6, 3, 5
Images = NDArray[np.uint8]


def main(sources: Annotated[list[str], typer.Argument(help="As backbone.source.")]) -> None:
    """Print a row per classifier."""
    manifest = read_manifest(OUTPUTS / "manifest.csv")
    images = open_images(OUTPUTS / "preprocess" / "images", list(manifest["path"]))[:]
    facts = pd.get_dummies(manifest[["width", "height", "bytes", "format", "mode"]]).to_numpy(float)
    score(manifest, "random forest on file metadata", facts, lambda: RandomForestClassifier(300))
    score(manifest, "1-NN on 32x32 pixels", thumbnails(images), lambda: KNeighborsClassifier(1))
    for source in sources:
        name = f"linear probe on mixed{BLOCK}, weights {Path(source).name}"
        score(manifest, name, pooled_features(images, source), probe)


def score(manifest: pd.DataFrame, name: str, x: NDArray[Any], make: Callable[[], Any]) -> None:
    """Print mean AUROC and balanced accuracy of a classifier over grouped folds."""
    y = (manifest["label"] == "yes").to_numpy().astype(np.int64)
    group = clusters(manifest).to_numpy()
    figures = []
    for repeat in range(REPEATS):
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=repeat)
        for fit, held in folds.split(x, y, group):
            np.random.seed(repeat)  # noqa: NPY002  (scikit-learn's default source)
            p = make().fit(x[fit], y[fit]).predict_proba(x[held])[:, 1]
            figures.append((metrics.auroc(y[held], p), metrics.balanced_accuracy(y[held], p, 0.5)))
    auroc, accuracy = np.mean(figures, axis=0)
    print(f"{name:60} AUROC {auroc:.3f}  balanced accuracy {accuracy:.3f}", flush=True)


def probe() -> Any:
    """A standardised, regularised logistic regression."""
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))


def thumbnails(images: Images) -> NDArray[np.float64]:
    """Images averaged to 32x32 pixels, (N, 1024)."""
    pictures = (Image.fromarray(image).resize((32, 32), Image.Resampling.BOX) for image in images)
    return np.stack([np.asarray(picture, dtype=np.float64).ravel() for picture in pictures])


def pooled_features(images: Images, source: str) -> NDArray[np.float32]:
    """Average-pooled features (N, channels) of the block."""
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "backbone.weights.h5"
        prepare(weights, BackboneParams(source=source, seed=0), Path)
        (vectors,) = trunk_outputs(weights, images, [Output(BLOCK, "gap")], default_cache())
        return np.asarray(vectors[:])


if __name__ == "__main__":
    typer.run(main)
