"""Finished parts of a track: a small CSV and a JSON each, kept under git, never made twice."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from brain_tumor.atomic import write_json, write_text


class StaleError(ValueError):
    """A finished part was made from something else than what is there now."""


@dataclass(frozen=True)
class Digest:
    """What decides a part, in three digests."""

    data: str
    params: str
    code: str


@dataclass(frozen=True)
class Finished:
    """A folder of finished parts, `<name>.csv` and `<name>.json`.

    The JSON is written last: a part without it is not finished.
    """

    folder: Path

    def has(self, name: str, digest: Digest) -> bool:
        """Whether a part is there and made from what is there now.

        Raises:
            StaleError: it is there, but made from something else.
        """
        facts = self._facts(name)
        if facts is None:
            return False
        now, then = asdict(digest), facts.get("digest", {})
        changed = [what for what in now if then.get(what) != now[what]]
        if changed:
            raise StaleError(
                f"{self.folder / name}.json: made from other {' and '.join(changed)} than there is "
                f"now; delete {self.folder / name}.csv and .json (or all of {self.folder}; git "
                "keeps what was committed) and run again, or go back to what it was made from"
            )
        return True

    def write(
        self, name: str, table: pd.DataFrame, digest: Digest, facts: Mapping[str, Any]
    ) -> None:
        """Keep a part; first the table, then the facts, each whole or not at all."""
        csv, about = self._paths(name)
        write_text(csv, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
        write_json(about, {"digest": asdict(digest), **facts})

    def read(self, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Table and facts of a part.

        Raises:
            ValueError: it is not there or not readable.
        """
        csv, about = self._paths(name)
        facts = self._facts(name)
        if facts is None:
            raise ValueError(f"{about}: missing; run `make evidence`")
        try:
            return pd.read_csv(csv), facts
        except (OSError, ValueError) as error:
            raise ValueError(f"{csv}: not readable; delete it and {about}: {error}") from error

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.csv", self.folder / f"{name}.json"

    def _facts(self, name: str) -> dict[str, Any] | None:
        csv, about = self._paths(name)
        if not (csv.is_file() and about.is_file()):
            return None
        try:
            return dict(json.loads(about.read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise ValueError(f"{about}: not readable; delete it and {csv}: {error}") from error
