"""params.yaml as typed, frozen sections; each section's class lives beside what it configures."""

import json
import subprocess
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar, get_args

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
        raise ParamsError(f"{path}: section '{name}' is missing{_misspelt(name, document)}")
    try:
        return section.model_validate_json(json.dumps(document[name]))
    except ValidationError as error:
        problems = "; ".join(_describe(name, section, error.errors()))
        raise ParamsError(f"{path}: {problems}") from error


def changed_since_commit(path: Path, name: str) -> dict[str, object]:
    """Values of a section that the commit checked out does not have: what was given for this run.

    `dvc exp run -S` writes what it is given into the params file.

    Returns:
        Key, with dots where sections are nested, to its new value; nothing where the file is not
        under git.
    """
    show = ["git", "-C", str(path.absolute().parent), "show", f"HEAD:./{path.name}"]
    try:
        committed = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    yaml = YAML(typ="safe", pure=True)
    before = _flat(yaml.load(committed).get(name, {}))
    now = _flat(yaml.load(path.read_text(encoding="utf-8")).get(name, {}))
    return {key: value for key, value in now.items() if key not in before or before[key] != value}


def _flat(section: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(section, dict):
        return {prefix: section}
    parts = (_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in section.items())
    return {key: value for part in parts for key, value in part.items()}


def _misspelt(name: str, document: object) -> str:
    names = [str(key) for key in document] if isinstance(document, dict) else []
    closest = get_close_matches(name, names, n=1)
    return f"; it has '{closest[0]}', is that a misspelling?" if closest else ""


def _describe(name: str, section: type[Section], problems: list[ErrorDetails]) -> Iterable[str]:
    """What is wrong, a phrase a key; a misspelt key is not reported as missing besides."""
    unknown = [one for one in problems if one["type"] == "extra_forbidden"]
    meant = {(*one["loc"][:-1], _closest_field(section, one["loc"])) for one in unknown}
    for problem in problems:
        location = problem["loc"]
        key = ".".join([name, *map(str, location)])
        match problem["type"]:
            case "extra_forbidden":
                closest = _closest_field(section, location)
                yield f"{key}: unknown key" + (f", did you mean '{closest}'?" if closest else "")
            case "missing":
                if location not in meant:
                    yield f"{key}: missing"
            case "value_error":  # by a rule of ours, whose text names what was received
                yield f"{key}: {problem['ctx']['error']}"
            case _:
                yield f"{key}: {problem['msg']} (received {problem['input']!r})"


def _closest_field(section: type[Section], location: tuple[int | str, ...]) -> str | None:
    """The field whose name is most like the last part of a location, if one is like it."""
    *parents, wrong = location
    for parent in parents:
        if isinstance(parent, str):  # else the place in a list, whose class was found by its name
            inner = _section_in(section.model_fields[parent].annotation)
            if inner is None:
                return None
            section = inner
    return next(iter(get_close_matches(str(wrong), section.model_fields, n=1)), None)


def _section_in(annotation: object) -> type[Section] | None:
    """The class of a nested section, also as `X | None` or `tuple[X, ...]`."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, Section):
            return one
    return None
