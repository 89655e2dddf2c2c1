"""What spatial normalisation is worth to a classifier: a linear probe with it and without.

    python -m benchmarks.normalisation PATH/TO/images PATH/TO/inception_v3.weights.h5

The folder has `no` and `yes` in it. Features are those of `mixed6`, averaged over places, of each
picture and its mirror image. Three times five folds that no duplicate crosses; AUROC and log loss
are means over the repeats, with the standard deviation over them. The same then for phantoms, as
many in each plane, where no patient crosses folds. `normalisation: none` crops to the head and
turns nothing.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import typer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from benchmarks.difficulty import FOLDS, REPEATS, pooled_features, probe
from brain_tumor import settings
from brain_tumor.data.check import validate
from brain_tumor.data.copies import clusters
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.preprocess import preprocess_folder, preprocess_grey
from brain_tumor.settings import PreprocessParams
from brain_tumor.shards import open_images

WAYS = ("similarity", "none")
SEED = 4242


def main(folder: Path, weights: str, patients: int = 60) -> None:
    """Print a row for each way, of the images and of phantoms, so many patients in each plane."""
    params = settings.read()
    manifest = validate(folder, params.validate, params.split).manifest
    paths, labels = manifest["path"].tolist(), manifest["label"].tolist()

    def stored(section: PreprocessParams) -> np.ndarray:
        with tempfile.TemporaryDirectory() as temporary:
            preprocess_folder(folder, paths, Path(temporary), section)
            return open_images(Path(temporary), paths)[:]

    y, group = np.array(labels) == "yes", clusters(manifest).to_numpy()
    _compare(stored, params.preprocess, weights, y, group, np.full(len(y), "images"))

    cases = [(plane, patient, tumour) for plane in PLANES for patient in range(patients)
             for tumour in (False, True)]  # fmt: skip
    drawn = [
        make_slice(SEED, patient, patient % 4, tumour, params.phantom, plane).image
        for plane, patient, tumour in cases
    ]

    def phantoms(section: PreprocessParams) -> np.ndarray:
        return np.stack([preprocess_grey(image, section).image for image in drawn])

    planes, numbers, tumours = (np.array(part) for part in zip(*cases, strict=True))
    _compare(phantoms, params.preprocess, weights, tumours, numbers, planes)


def _compare(
    images_of: Callable[[PreprocessParams], np.ndarray],
    section: PreprocessParams,
    weights: str,
    y: np.ndarray,
    group: np.ndarray,
    part: np.ndarray,
) -> None:
    """One probe over all; figures for each part of the images."""
    for way in WAYS:
        images = images_of(section.model_copy(update={"normalisation": way}))
        both = [pooled_features(side, weights) for side in (images, images[:, :, ::-1].copy())]
        x = np.mean(both, axis=0)
        p = np.stack([
            cross_val_predict(
                probe(), x, y, groups=group, method="predict_proba",
                cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=repeat),
            )[:, 1]
            for repeat in range(REPEATS)
        ])  # fmt: skip
        for name in dict.fromkeys(part):
            own = part == name
            figures = [(roc_auc_score(y[own], row[own]), log_loss(y[own], row[own])) for row in p]
            (auroc, loss), (spread, loss_spread) = np.mean(figures, 0), np.std(figures, 0)
            print(
                f"{name}, {own.sum()}, {way}: AUROC {auroc:.3f} (sd {spread:.3f}), "
                f"log loss {loss:.3f} (sd {loss_spread:.3f})",
                flush=True,
            )


if __name__ == "__main__":
    typer.run(main)
