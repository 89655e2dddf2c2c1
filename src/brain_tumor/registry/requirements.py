"""What a registered model needs installed to predict."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

_PACKAGES = (
    "keras",
    "mlflow",
    "nibabel",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "pydicom",
    "python-gdcm",
    "rich",
    "ruamel.yaml",
    "scipy",
    "simpleitk",
)
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")  # whichever of the two is installed here


def inference_requirements() -> list[str]:
    """Packages pinned to the versions installed here; nothing the pipeline alone needs."""
    flavour = next(name for name in _TENSORFLOW if _installed(name))
    return [f"{name}=={installed(name)}" for name in (*_PACKAGES, flavour)]


def _installed(name: str) -> bool:
    try:
        installed(name)
    except PackageNotFoundError:
        return False
    return True
