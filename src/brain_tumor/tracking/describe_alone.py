"""Run by its path in a fresh process: what image files look like to a registered model.

Usage: python -P describe_alone.py MODEL_URI IMAGES_JSON FOLDER

Writes rows.json (statistics of each image) and features.npy to FOLDER. It imports nothing of this
package, so that the images are seen by the code that made the model's own profile. Of that code,
which may be years old, it uses `classifier.describe` of the class in `served_model.py`: that name
must stay.
"""

import json
import os
import sys
from pathlib import Path


def main(uri: str, request: Path, answer: Path) -> None:
    """Describe the images that `request` lists and write that to the folder `answer`."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import mlflow
    import numpy as np

    paths = [Path(path) for path in json.loads(request.read_text(encoding="utf-8"))]
    model = mlflow.pyfunc.load_model(uri).unwrap_python_model()
    rows, features = model.classifier.describe([path.read_bytes() for path in paths])
    answer.mkdir()
    (answer / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    np.save(answer / "features.npy", features)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
