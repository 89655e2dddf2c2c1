"""On what something was computed: recorded beside it, decides nothing."""

import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from brain_tumor.processes import processors
from brain_tumor.tracking.lineage import trace

_PACKAGES = ("keras", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "simpleitk")
_TENSORFLOW = ("tensorflow", "tensorflow-cpu")


def environment() -> dict[str, str | int]:
    """Date (UTC), commit (`-dirty`: with changes to code or parameters), machine and versions."""
    tags = trace({})
    dirty = "-dirty" if tags["git.dirty"] == "true" else ""
    facts: dict[str, str | int] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": f"{tags['git.commit'][:7]}{dirty}",
        "machine": f"{platform.system()} {platform.machine()}",
        "processors": processors(),
        "python": platform.python_version(),
    }
    found = {name: _version(name) for name in (*_TENSORFLOW, *_PACKAGES)}
    return facts | {name: text for name, text in found.items() if text}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
