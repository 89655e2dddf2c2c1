"""Registered models: versions, their files and aliases."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "digest"


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        number: of the version.
        run_id: the run that made it; empty if unknown.
        model_id: MLflow's id of the logged model; empty if unknown.
        tags: among them `digest`; a version without it was never finished or is another's.
        aliases: names that point at it.
    """

    name: str
    number: str
    run_id: str
    model_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """For `mlflow.pyfunc.load_model`."""
        return f"models:/{self.name}/{self.number}"

    @property
    def digest(self) -> str | None:
        """What was registered, by content."""
        return self.tags.get(DIGEST_TAG)


def versions(client: "MlflowClient", name: str) -> list[Version]:
    """All versions of a registered model, newest first; none if there is no such model."""
    found = client.search_model_versions(f"name = '{name}'", max_results=10_000)
    aliases = _aliases(client, name) if found else {}
    listed = [_version(item, aliases) for item in found]
    return sorted(listed, key=lambda version: int(version.number), reverse=True)


def champion_or_challenger(client: "MlflowClient", name: str) -> str:
    """URI of a registered model's @champion; while it has none that of its @challenger.

    Says on standard error when it is the challenger.
    """
    aliases = {alias for version in versions(client, name) for alias in version.aliases}
    if "champion" in aliases or "challenger" not in aliases:
        return f"models:/{name}@champion"
    print(
        f"note: {name} has no @champion yet, its @challenger is used; why, and how it becomes the "
        "champion: `brain-tumor registry promote`",
        file=sys.stderr,
    )
    return f"models:/{name}@challenger"


def create_version(
    client: "MlflowClient",
    name: str,
    model_id: str,
    run_id: str,
    description: str,
    tags: Mapping[str, str],
) -> Version:
    """Make a logged model the next version of a registered model.

    The tags are written together with the version: one without them cannot come to be.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        description=description,
        tags=dict(tags),
    )
    # What MLflow's own register_model leaves, and its page of a logged model reads.
    place = {"name": name, "version": str(made.version)}
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([place])})
    return _version(made, {})


def delete_version(client: "MlflowClient", version: Version) -> None:
    """Delete a version and its logged model; `mlflow gc` frees their files."""
    client.delete_model_version(version.name, version.number)
    client.delete_logged_model(version.model_id)


def set_alias(client: "MlflowClient", version: Version, alias: str) -> None:
    """Point an alias at a version; the version it pointed at before loses it."""
    client.set_registered_model_alias(version.name, alias, version.number)


def drop_alias(client: "MlflowClient", version: Version, alias: str) -> None:
    """Take an alias away, from whichever version has it."""
    client.delete_registered_model_alias(version.name, alias)


def set_tags(client: "MlflowClient", version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.number, key, value)


def describe_version(client: "MlflowClient", version: Version, text: str) -> None:
    """Set the description of a version, Markdown."""
    client.update_model_version(version.name, version.number, text)


def describe_model(client: "MlflowClient", name: str, text: str) -> None:
    """Set the description of a registered model, Markdown."""
    client.update_registered_model(name, text)


def _version(item: "ModelVersion", aliases: Mapping[str, tuple[str, ...]]) -> Version:
    number = str(item.version)
    model_id = item.model_id or (item.source or "").removeprefix("models:/")
    return Version(
        name=item.name,
        number=number,
        run_id=item.run_id or "",
        model_id=model_id,
        tags=dict(item.tags),
        aliases=aliases.get(number, ()),
    )


def _aliases(client: "MlflowClient", name: str) -> dict[str, tuple[str, ...]]:
    by_number: dict[str, tuple[str, ...]] = {}
    for alias, number in client.get_registered_model(name).aliases.items():
        by_number[str(number)] = (*by_number.get(str(number), ()), alias)
    return by_number
