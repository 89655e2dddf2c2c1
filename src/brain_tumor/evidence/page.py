"""What the pages of docs/evidence share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brain_tumor.model.saved import ModelMeta


def made_from(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When, where and from which weights the parts of a track were made, of their JSON files."""
    places = [part["environment"] for part in facts]

    def distinct(values: Iterable[Any]) -> list[Any]:
        return sorted({value for value in values if value})

    packages = ("tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "optuna")
    return {
        "command": "make evidence",
        "commits": distinct(place["commit"] for place in places),
        "recipe": distinct(part.get("recipe") for part in facts),
        "dates": distinct(place["date"] for place in places),
        "machines": distinct(
            f"{place['processors']} processors, {place['machine']}, Python {place['python']}"
            for place in places
        ),
        "packages": distinct(
            f"{name} {place[name]}" for place in places for name in packages if name in place
        ),
        "weights": distinct(part.get("weights") for part in facts),
        "precision": distinct(part.get("precision") for part in facts),
        "wall_s": round(float(sum(part["wall_s"] for part in facts)), 1),
    }


def recipe_of(meta: ModelMeta) -> str:
    """How a trained model came about, in a phrase."""
    tuned = (
        f"{meta.fine_tuned_blocks} blocks fine-tuned"
        if meta.fine_tuned_blocks
        else ("nothing fine-tuned")
    )
    return f"{meta.head} head on mixed{meta.head_block}, {tuned}"


def recipe_line(origin: Mapping[str, Any], params: str = "params.yaml") -> str:
    """The first line of a page: of which recipe it is, since the default may have moved on.

    Args:
        origin: see `made_from`.
        params: the file that holds the recipe's parameters.
    """
    commits = origin["commits"]
    hashes = [commit.removesuffix("-dirty") for commit in commits]
    shown = " and ".join(f"`{commit}`" for commit in commits)
    recipe = "".join(f"; {text}" for text in origin["recipe"])
    return (
        f"> Made with the recipe of commit {shown} (`git show {hashes[-1]}:{params}`{recipe}). "
        f"The default recipe may have changed since: `git diff {hashes[-1]} -- {params}`, "
        "CHANGELOG.md."
    )


def made_line(origin: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    precision = f"; tuned blocks in {', '.join(origin['precision'])}" if origin["precision"] else ""
    return (
        f"`{origin['command']}`, {' and '.join(origin['dates'])}; {'; '.join(origin['machines'])}; "
        f"{', '.join(origin['packages'])}{precision}. Initial weights: "
        f"`{'`, `'.join(origin['weights'])}`. Wall time {origin['wall_s'] / 60:.0f} min."
    )
