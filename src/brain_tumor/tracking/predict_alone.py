"""Run by its path in a fresh process: a registered model's probabilities for image files.

Usage: python -P predict_alone.py MODEL_URI IMAGES_JSON PROBABILITIES_JSON

It imports nothing of this package, so that the model gets the code it was registered with.
"""

import json
import os
import sys
from pathlib import Path


def main(uri: str, request: Path, answer: Path) -> None:
    """Predict the images that `request` lists and write the probabilities to `answer`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import mlflow
    import pandas as pd

    paths = [Path(path) for path in json.loads(request.read_text(encoding="utf-8"))]
    frame = pd.DataFrame({"image": [path.read_bytes() for path in paths]})
    predicted = mlflow.pyfunc.load_model(uri).predict(frame)
    if "input" in predicted:  # a row per slice: of a file of several pages the first
        predicted = predicted.drop_duplicates("input")
    probabilities = [float(value) for value in predicted["probability"]]
    answer.write_text(json.dumps(probabilities), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
