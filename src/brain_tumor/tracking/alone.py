"""Run by its path in a fresh process: what a registered model says of image files.

Usage: python -P alone.py (predict | describe) MODEL_FOLDER IMAGES_JSON FOLDER

`predict` writes probabilities.json to FOLDER; `describe` writes rows.json (statistics of each
image) and features.npy. It imports nothing of this package, so that the model gets the code it was
registered with. Of that code, which may be years old, `describe` uses `classifier.describe` of the
class in `served_model.py`: that name must stay.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def main(task: str, folder: str, request: Path, answer: Path) -> None:
    """Ask the model about the images that `request` lists and write to the folder `answer`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.pop("BRAIN_TUMOR_SCHEDULER", None)  # its workers have the code of today
    import mlflow

    paths = json.loads(request.read_text(encoding="utf-8"))
    images = [Path(path).read_bytes() for path in paths]
    model = mlflow.pyfunc.load_model(folder)
    answer.mkdir()
    if task == "predict":
        _predict(model, images, answer)
    else:
        _describe(model, images, answer)


def _predict(model: Any, images: Sequence[bytes], answer: Path) -> None:
    import pandas as pd

    predicted = model.predict(pd.DataFrame({"image": images}))
    if "input" in predicted:  # a row per slice: of a file of several pages the first
        predicted = predicted.drop_duplicates("input")
    probabilities = [float(value) for value in predicted["probability"]]
    (answer / "probabilities.json").write_text(json.dumps(probabilities), encoding="utf-8")


def _describe(model: Any, images: Sequence[bytes], answer: Path) -> None:
    import numpy as np

    rows, features = model.unwrap_python_model().classifier.describe(images)
    (answer / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    np.save(answer / "features.npy", features)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
