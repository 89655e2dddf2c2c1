"""What has to be the same on two machines that work together, and what is not."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

# What decides which bytes come out, by the names of pip.
PACKAGES: Final = (
    "brain-tumor",
    "numpy",
    "scipy",
    "pillow",
    "onnxruntime",
    "pydicom",
    "python-gdcm",
    "nibabel",
    "nilearn",
    "distributed",
)


def asked(needs: Sequence[str]) -> list[str]:
    """Names under which `PACKAGES` and `needs` may be installed: there are builds for the CPU."""
    return [*PACKAGES, *needs, *(f"{name}-cpu" for name in needs)]


def differences(answer: Mapping[str, Any], needs: Sequence[str]) -> list[str]:
    """What differs from here, in words; an answer is as `distributed.versions.get_versions`."""
    from distributed.versions import get_versions

    own = _versions(get_versions(packages=asked(needs)), needs)
    theirs = _versions(answer, needs)
    return [
        f"{name} {theirs[name]} (here {version})"
        for name, version in own.items()
        if version != theirs[name]
    ]


def _versions(answer: Mapping[str, Any], needs: Sequence[str]) -> dict[str, str]:
    packages = answer["packages"]
    python = ".".join(answer["host"]["python"].split(".")[:2])
    return {"Python": python, "processor": answer["host"]["machine"]} | {
        name: packages.get(name) or packages.get(f"{name}-cpu") or "none"
        for name in (*PACKAGES, *needs)
    }


def code_differences(theirs: Any, packages: frozenset[str]) -> list[str]:
    """What differs in the files of packages; `theirs` is what `digest` gave, or an error."""
    own = _own_digest(packages)
    if theirs == own:
        return []
    return [f"code of {' and '.join(sorted(packages))} {theirs} (here {own})"]


@cache
def _own_digest(packages: frozenset[str]) -> str:
    return digest(packages)


def digest(packages: frozenset[str]) -> str:
    """Digest of the files of packages, where this runs; it goes there whole, so it imports all."""
    import hashlib
    from importlib.util import find_spec
    from pathlib import Path

    whole = hashlib.sha256()
    for package in sorted(packages):
        spec = find_spec(package)
        folders = [] if spec is None else list(spec.submodule_search_locations or ())
        if spec is not None and not folders and spec.origin:
            whole.update(Path(spec.origin).read_bytes())
        elif not folders:
            return f"without {package}"
        for folder in sorted({Path(folder).resolve() for folder in folders}):
            for file in sorted(folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    whole.update(f"{file.relative_to(folder).as_posix()}\0".encode())
                    whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:12]
