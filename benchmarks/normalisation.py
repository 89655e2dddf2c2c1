"""What spatial normalisation is worth to a classifier: a linear probe with it and without.

    python -m benchmarks.normalisation PATH/TO/images PATH/TO/inception_v3.weights.h5

The folder has `no` and `yes` in it. Features are those of `mixed6`, averaged over places, of each
picture and its mirror image. Three times five folds that no duplicate crosses; AUROC and log loss
are means over the repeats. `normalisation: none` crops to the head and turns nothing.
"""

import tempfile
from pathlib import Path

import numpy as np
import typer
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from benchmarks.difficulty import FOLDS, REPEATS, pooled_features, probe
from brain_tumor import settings
from brain_tumor.data.check import validate
from brain_tumor.data.copies import clusters
from brain_tumor.imaging.preprocess import preprocess_folder, summarise
from brain_tumor.outputs import load_images


def main(folder: Path, weights: str) -> None:
    """Print a row for each way."""
    params = settings.read()
    manifest = validate(folder, params.validate, params.split).manifest
    paths, labels = manifest["path"].tolist(), manifest["label"].tolist()
    y, group = np.array(labels) == "yes", clusters(manifest).to_numpy()
    for way in ("similarity", "none"):
        section = params.preprocess.model_copy(update={"normalisation": way})
        with tempfile.TemporaryDirectory() as temporary:
            records = preprocess_folder(folder, paths, Path(temporary), section)
            images = load_images(Path(temporary), paths)
        x = np.concatenate([pooled_features(images, weights),
                            pooled_features(images[:, :, ::-1].copy(), weights)])  # fmt: skip
        x = x.reshape(2, len(y), -1).mean(axis=0)
        figures = []
        for repeat in range(REPEATS):
            folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=repeat)
            p = cross_val_predict(probe(), x, y, groups=group, cv=folds, method="predict_proba")
            figures.append((roc_auc_score(y, p[:, 1]), log_loss(y, p[:, 1])))
        auroc, loss = np.mean(figures, axis=0)
        done = summarise(labels, records)["all"]
        print(
            f"{way}: AUROC {auroc:.3f}, log loss {loss:.3f}; {len(y)} images, planes "
            f"{done['planes']}, fallbacks {done['fallback']['count']}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
