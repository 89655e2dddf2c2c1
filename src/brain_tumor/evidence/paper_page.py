"""docs/evidence/paper.md from the summary."""

from collections.abc import Mapping
from typing import Any

from brain_tumor.evidence.page import figure_label, made_line, recipe_line, table
from brain_tumor.evidence.paper_summary import SPREAD
from brain_tumor.figure_text import cell

_SPLITS = ("train", "val", "test")


def paper_page(summary: Mapping[str, Any], made: Mapping[str, Any]) -> str:
    """The page as Markdown.

    Args:
        summary: see `paper_summary.summarise_paper`.
        made: where and when (see `page.made_from`).
    """
    seeds, good = summary["seeds"], summary["as_good_as_published"]
    parts = [
        recipe_line(made, "evidence/params.yaml"),
        "# The published protocol, over many seeds",
        "Kim & Ye 2019 divide 253 files at random into 163, 50 and 40. So does this, with "
        f"{seeds} seeds, training the `paper` head (21,933,857 parameters with the trunk) on the "
        "frozen trunk by AdamW, stopped by validation loss. The division is the published one: "
        "copies of a picture may fall on both sides. Their optimiser, epochs and initial weights "
        "are not stated.",
        made_line(made),
        _spread(summary),
        f"{good} of {seeds} seeds reach the published test accuracy of 0.90 or more.",
        "![Accuracy by seed](figures/paper.svg)",
        _means(summary),
        _twins(summary),
        _by_seed(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _spread(summary: Mapping[str, Any]) -> str:
    rows = []
    for split in _SPLITS:
        for figure in SPREAD:
            found = summary["spread"][split][figure]
            published = summary["published"].get(split, {}).get(figure)
            rows.append(
                [
                    f"{split} {figure_label(figure)}",
                    "not stated" if published is None else f"{published:.2f}",
                    f"{found['median']:.2f}",
                    f"{found['quarter']:.2f} to {found['three_quarters']:.2f}",
                    f"{found['lowest']:.2f} to {found['highest']:.2f}",
                ]
            )
    head = ["figure", "paper", "median", "middle half", "all seeds"]
    note = "Validation figures are optimistic: training stopped by them."
    return f"## Beside the paper\n\n{table(head, rows)}\n\n{note}"


def _means(summary: Mapping[str, Any]) -> str:
    found = summary["figures"]
    rows = [
        [figure_label(name), cell(found["val"].get(name)), cell(found["test"].get(name))]
        for name in found["test"]
    ]
    return (
        f"## Means over seeds\n\n{table(['figure', 'val', 'test'], rows)}\n\n"
        "95 % intervals from clusters resampled jointly over seeds."
    )


def _twins(summary: Mapping[str, Any]) -> str:
    found = summary["twins"]
    rows = [
        [
            name,
            *(
                f"{cell(found[name].get(key))} ({found[name]['predictions'][key]})"
                for key in ("with_twin", "without_twin")
            ),
            cell(found[name].get("difference")),
        ]
        for name in ("all pictures", "same pictures")
    ]
    head = ["test accuracy on", "with a twin in train", "without", "difference"]
    return (
        "## What a twin in train is worth\n\n"
        f"{found['images_with_twin']:.1f} test images a seed have a copy in train.\n\n"
        f"{table(head, rows)}\n\nPooled over seeds; in brackets 95 % intervals over clusters, in "
        "parentheses predictions. `same pictures`: those that have copies at all, in the seeds "
        "where one is in train against those where none is."
    )


def _by_seed(summary: Mapping[str, Any]) -> str:
    by_seed: dict[int, dict[str, Any]] = {}
    for row in summary["by_seed"]:
        by_seed.setdefault(row["seed"], {})[row["split"]] = row
    rows = [
        [
            str(seed),
            *(
                f"{splits[name][figure]:.2f}"
                for name in ("val", "test")
                for figure in ("accuracy", "log_loss")
            ),
            str(splits["test"]["twins"]),
        ]
        for seed, splits in by_seed.items()
    ]
    head = ["seed", "val accuracy", "val loss", "test accuracy", "test loss", "twins in test"]
    return f"## Seed by seed\n\n{table(head, rows)}"
