"""The registered model as MLflow runs it (models from code): raw image bytes to probability.

MLflow executes this file when the model is loaded, after putting the package that travels with
the model on the import path. It is the one file outside `tracking` that imports mlflow.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from brain_tumor.inference.classifier import Classifier


class BrainTumorClassifier(PythonModel):
    """A data frame with a binary column `image` in; probability, label and threshold out."""

    def load_context(self, context: Any) -> None:
        """Load the bundle that lies in the model."""
        self.classifier = Classifier.load(Path(context.artifacts["bundle"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Predict encoded images.

        Args:
            context: unused; MLflow passes it.
            model_input: data frame with the column `image` of bytes, one image a row.
            params: unused; MLflow passes it.

        Returns:
            A row per image: `probability` of a tumour (float64), `label` (`yes` or `no`) and
            the `threshold` (float64) between them.
        """
        images = [bytes(data) for data in model_input["image"]]
        predictions = self.classifier.predict(images)
        return pd.DataFrame(
            {
                "probability": [one.probability for one in predictions],
                "label": [one.label for one in predictions],
                "threshold": [one.threshold for one in predictions],
            }
        )


set_model(BrainTumorClassifier())
