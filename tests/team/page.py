"""The commands of docs/team.md, as they stand there."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "team.md"
_BLOCK = re.compile(r"^```(sh|python) ([a-z-]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PLACEHOLDER = re.compile(r"\b(?:[A-Z0-9]*HOST|BUCKET|USER|PASSWORD|KEY|SECRET)\b(?!=)")


@dataclass(frozen=True)
class Page:
    """The named blocks of the page, with its placeholders filled in.

    Attributes:
        values: placeholder, as it stands on the page, to what it means here.
        used: names of the blocks that were asked for.
    """

    values: Mapping[str, str]
    used: set[str] = field(default_factory=set)

    def block(self, name: str) -> str:
        """The text of a block.

        Raises:
            KeyError: the page has no such block.
            AssertionError: it has a placeholder that nobody has filled in.
        """
        self.used.add(name)
        text = blocks()[name]
        for placeholder in sorted(self.values, key=len, reverse=True):
            text = text.replace(placeholder, self.values[placeholder])
        placeholder_left = _PLACEHOLDER.search(text)
        assert placeholder_left is None, f"{PAGE.name}, block {name}: what is {placeholder_left}?"
        return text

    def exported(self, name: str, environment: Mapping[str, str]) -> dict[str, str]:
        """The environment after a block of exports (and whatever else it does)."""
        output = run_block(f"{self.block(name)}\nenv -0", environment, Path())
        pairs = (entry.partition("=") for entry in output.split("\0") if entry)
        return {key: text for key, _, text in pairs if key not in ("_", "SHLVL")}


def blocks() -> dict[str, str]:
    """Name to text of the page's fenced blocks; every block has a name, and each its own."""
    page = PAGE.read_text(encoding="utf-8")
    texts = {name: text for _, name, text in _BLOCK.findall(page)}
    assert len(texts) * 2 == len(re.findall(r"^```", page, re.MULTILINE))
    return texts


def run_block(text: str, environment: Mapping[str, str], folder: Path) -> str:
    """Run a block with bash, which stops at its first error; what it printed."""
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        env=dict(environment),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{text}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def own_environment() -> dict[str, str]:
    """The environment of this process without any store of the user's."""
    foreign = ("MLFLOW", "OPTUNA", "BRAIN_TUMOR", "DVC_", "AWS_", "PG")
    return {key: text for key, text in os.environ.items() if not key.startswith(foreign)}
