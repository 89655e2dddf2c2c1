"""Finished parts of a track: a small CSV and a JSON each, kept under git, never made twice."""

import json
import sys
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
    """What decides a part.

    Attributes:
        images: digest of the files.
        data: digest of all that is read.
        params: digest of the parameters.
        recipe: `recipe.VERSION`.
    """

    images: str
    data: str
    params: str
    recipe: int


@dataclass(frozen=True)
class Finished:
    """A folder of finished parts, `<name>.csv` and `<name>.json`.

    The JSON is written last: a part without it is not finished.
    """

    folder: Path

    def missing(self, digests: Mapping[str, Digest]) -> list[str]:
        """Names of the parts that are not there, in the order of `digests`.

        A whole track that was made from other parameters or by another recipe is kept, and a note
        says so. Parts of different recipes are never mixed.

        Raises:
            StaleError: a part is of other images, or some parts are stale and others are not.
        """
        changes = {name: self._changed(name, digest) for name, digest in digests.items()}
        stale = {name: changed for name, changed in changes.items() if changed}
        if not stale:
            return [name for name, changed in changes.items() if changed is None]
        name, changed = next(iter(stale.items()))
        if len(stale) < len(digests) or any("images" in fields for fields in stale.values()):
            raise StaleError(
                f"{self.folder / name}.json: made from other {' and '.join(changed)} than there is "
                f"now; delete {self.folder / name}.csv and .json (or all of {self.folder}; git "
                "keeps what was committed) and run again, or go back to what it was made from"
            )
        commit = (self._facts(name) or {}).get("environment", {}).get("commit", "not recorded")
        print(
            f"note: the {len(stale)} parts in {self.folder} were made from other "
            f"{' and '.join(changed)} than there is now (commit: {commit}) and are kept; to make "
            "them anew, delete the folder and run again",
            file=sys.stderr,
        )
        return []

    def _changed(self, name: str, digest: Digest) -> list[str] | None:
        """What decides a part and is not what it was made from; None where there is no part."""
        facts = self._facts(name)
        if facts is None:
            return None
        recorded = facts.get("digest", {})
        return [field for field, value in asdict(digest).items() if recorded.get(field) != value]

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
