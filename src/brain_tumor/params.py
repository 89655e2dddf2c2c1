"""params.yaml as typed, frozen sections; each section's class lives beside what it configures."""

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


class Section(BaseModel):
    """Base of every section of params.yaml: immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


SectionT = TypeVar("SectionT", bound=Section)


class ParamsError(ValueError):
    """params.yaml is missing, unreadable or holds a value that does not fit."""


def load(path: Path, name: str, section: type[SectionT]) -> SectionT:
    """Load one section of a params file.

    YAML is read as DVC reads it (YAML 1.2: `1e-4` is a number, `no` is a string).

    Args:
        path: the params file, usually `params.yaml`.
        name: the section's key at the top level.
        section: its class.

    Raises:
        ParamsError: the file or section is missing or a value does not fit; the message names
            the file, the key and the value received.
    """
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except (OSError, YAMLError) as error:
        raise ParamsError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(document, dict) or name not in document:
        raise ParamsError(f"{path}: section '{name}' is missing")
    try:
        return section.model_validate_json(json.dumps(document[name]))
    except ValidationError as error:
        problems = "; ".join(_describe(name, problem) for problem in error.errors())
        raise ParamsError(f"{path}: {problems}") from error


def _describe(name: str, problem: ErrorDetails) -> str:
    key = ".".join([name, *(str(part) for part in problem["loc"])])
    return f"{key}: {problem['msg']} (received {problem['input']!r})"
