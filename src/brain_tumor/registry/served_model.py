"""The registered model as MLflow runs it (models from code): image files to probabilities.

MLflow executes this file when the model is loaded, after putting the package that travels with
the model on the import path. It is the one file outside `tracking` that imports mlflow.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from brain_tumor.errors import UserError
from brain_tumor.inference.classifier import SLICES, Classifier
from brain_tumor.tracking.models import ModelFolder


class BrainTumorClassifier(PythonModel):
    """A data frame with a column `image` (bytes) in; a row for each slice out."""

    def load_context(self, context: Any) -> None:
        """Load the bundle that lies in the model; the fast engine when it is first asked for."""
        self.bundle = Path(context.artifacts["bundle"])
        self.model = ModelFolder(self.bundle.parents[1]).name
        self.classifier = Classifier.load(self.bundle, "keras", self.model)
        self.fast: Classifier | None = None

    def predict(
        self,
        context: Any,  # noqa: ARG002
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Predict encoded images: JPEG, PNG, BMP, TIFF, DICOM, NIfTI.

        Args:
            context: unused; MLflow passes it.
            model_input: one file a row, as bytes in the column `image`; behind a server as base64,
                which MLflow decodes.
            params: `engine`: `keras` (the reference) or `fast`; `slices`: how many middle slices
                of a volume, at most.

        Returns:
            A row per slice, a picture being one: `input` (the row it came from, int64) and the
            fields of `inference.classifier.Prediction`.
        """
        options = params or {}
        engine, classifier = str(options.get("engine", "keras")), self.classifier
        if engine == "fast":
            self.fast = self.fast or Classifier.load(self.bundle, "fast", self.model)
            classifier = self.fast
        elif engine != "keras":
            raise UserError(f"engine is {engine!r}: give keras or fast")
        images = [bytes(data) for data in model_input["image"]]
        files = classifier.predict(images, int(options.get("slices", SLICES)))
        return pd.DataFrame(
            [{"input": row} | part.row() for row, file in enumerate(files) for part in file]
        )


set_model(BrainTumorClassifier())
