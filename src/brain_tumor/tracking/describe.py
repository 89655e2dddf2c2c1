"""What images look like to a registered model, by its own code."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.atomic import read_json
from brain_tumor.tracking.artifacts import ModelUnusableError, run_alone

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from brain_tumor.tracking.models import Version


def describe(
    version: "Version", images: Sequence[Path]
) -> tuple[list[dict[str, float]], NDArray[np.float32]]:
    """Statistics and features of image files, as the model's own profile has them.

    A process of its own loads the model with the code it was registered with, which is the code
    that made its profile.

    Args:
        version: a model with a profile.
        images: files.

    Returns:
        A row per image, and its features (images, channels).

    Raises:
        ModelUnusableError: the model does not load or an image cannot be read.
    """
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary) / "answer"
        try:
            run_alone("describe", version, images, answer)
        except ModelUnusableError as error:
            raise ModelUnusableError(f"{version.uri}: cannot describe images:\n{error}") from error
        rows: list[dict[str, Any]] = read_json(answer / "rows.json")
        return rows, np.load(answer / "features.npy", allow_pickle=False)


def find_version(client: "MlflowClient", uri: str) -> "Version | None":
    """The version a URI names; None if the store has none.

    Args:
        client: of the store.
        uri: `models:/NAME@ALIAS` or `models:/NAME/NUMBER`.

    Raises:
        ValueError: it is neither.
    """
    from brain_tumor.tracking.models import versions

    name, at, alias = uri.removeprefix("models:/").partition("@")
    name, _, number = (name, "", "") if at else name.partition("/")
    if not uri.startswith("models:/") or not name or not (alias or number) or "/" in alias + number:
        raise ValueError(f"model is {uri!r}: give models:/NAME@ALIAS or models:/NAME/NUMBER")
    listed = versions(client, name)
    return next((one for one in listed if alias in one.aliases or number == one.number), None)
