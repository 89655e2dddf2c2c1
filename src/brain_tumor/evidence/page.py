"""What the pages of docs/evidence share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from brain_tumor.model.saved import ModelMeta

# Of parts that were made before their commit was recorded: their digests of code are this one's.
_UNRECORDED = {
    "commit": "cf45fe7",
    "recipe": "the trunk is frozen, nothing is fine-tuned",
}


def made_from(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When, where and from which weights the parts of a track were made, of their JSON files."""
    places = [one["environment"] for one in facts]
    recipes = [one if "commit" in one["environment"] else {**one, **_UNRECORDED} for one in facts]

    def distinct(values: Iterable[Any]) -> list[Any]:
        return sorted({value for value in values if value})

    packages = ("tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "optuna")
    return {
        "command": "make evidence",
        "commits": distinct(place.get("commit", _UNRECORDED["commit"]) for place in places),
        "recipe": distinct(one.get("recipe") for one in recipes),
        "dates": distinct(one["date"] for one in places),
        "machines": distinct(
            f"{one['processors']} processors, {one['machine']}, Python {one['python']}"
            for one in places
        ),
        "packages": distinct(
            f"{name} {one[name]}" for one in places for name in packages if name in one
        ),
        "weights": distinct(one.get("weights") for one in facts),
        "precision": distinct(one.get("precision") for one in facts),
        "wall_s": round(float(sum(one["wall_s"] for one in facts)), 1),
    }


def recipe_of(meta: ModelMeta) -> str:
    """How a trained model came about, in a phrase."""
    tuned = (
        f"{meta.fine_tuned_blocks} blocks fine-tuned"
        if meta.fine_tuned_blocks
        else ("nothing fine-tuned")
    )
    return f"{meta.head} head on mixed{meta.head_block}, {tuned}"


def recipe_line(made: Mapping[str, Any], params: str = "params.yaml") -> str:
    """The first line of a page: of which recipe it is, since the default may have moved on.

    Args:
        made: see `made_from`.
        params: the file that holds the recipe's parameters.
    """
    commits = made["commits"]
    hashes = [commit.removesuffix("-dirty") for commit in commits]
    shown = " and ".join(f"`{commit}`" for commit in commits)
    recipe = "".join(f"; {text}" for text in made["recipe"])
    return (
        f"> Made with the recipe of commit {shown} (`git show {hashes[-1]}:{params}`{recipe}). "
        f"The default recipe may have changed since: `git diff {hashes[-1]} -- {params}`, "
        "CHANGELOG.md."
    )


def made_line(made: Mapping[str, Any]) -> str:
    """The same as a sentence."""
    precision = f"; tuned blocks in {', '.join(made['precision'])}" if made["precision"] else ""
    return (
        f"`{made['command']}`, {' and '.join(made['dates'])}; {'; '.join(made['machines'])}; "
        f"{', '.join(made['packages'])}{precision}. Initial weights: "
        f"`{'`, `'.join(made['weights'])}`. Wall time {made['wall_s'] / 60:.0f} min."
    )
