"""The section on the published protocol: what another seed would have found, and copies' worth."""

from collections.abc import Iterator, Mapping
from typing import Any

from brain_tumor.figure_text import decimals
from brain_tumor.report.committed import made_by
from brain_tumor.report.evidence import figures
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Heading, Part, Section, Table
from brain_tumor.report.wording import NOTHING, SPLITS, figure_name, shown

_TITLE = "The published protocol"
_FIGURES = ("accuracy", "sensitivity", "specificity", "log_loss")
_COMPARED = {"all pictures": "All images", "same pictures": "Images that have copies"}


def published(found: Findings) -> Section | None:
    """Kim & Ye 2019 over many seeds, with their leak; None where these are not their images."""
    paper = found.track("paper")
    if not paper:
        return None
    intro = (
        f"The protocol of Kim and Ye (2019) with {paper['seeds']} seeds: files are divided at "
        "random into 163, 50 and 40, so copies of a picture fall on both sides, and validation "
        f"ends the training. {paper['as_good_as_published']} of {paper['seeds']} seeds reach the "
        "published test accuracy of 0.90 or more. This judges the protocol, not the model of this "
        f"report. {made_by(found, 'paper')}"
    )
    return Section(_TITLE, [intro.strip(), _spread(paper), _means(paper), *_twins(paper)])


def _spread(paper: Mapping[str, Any]) -> Table:
    rows: list[list[str]] = []
    for split, name in SPLITS.items():
        rows.append([name.capitalize(), "", "", "", ""])
        rows += [_of_seeds(paper, split, key) for key in _FIGURES if key in paper["spread"][split]]
    head = ("Figure", "Published", "Median", "Middle half of the seeds", "All seeds")
    return Table(head, rows, f"Figures of {paper['seeds']} seeds; no intervals but their spread.")


def _of_seeds(paper: Mapping[str, Any], split: str, key: str) -> list[str]:
    found = paper["spread"][split][key]
    told = paper["published"].get(split, {}).get(key)
    cells = {end: decimals(value) for end, value in found.items()}
    return [
        figure_name(key),
        NOTHING if told is None else decimals(told),
        cells["median"],
        f"{cells['quarter']} to {cells['three_quarters']}",
        f"{cells['lowest']} to {cells['highest']}",
    ]


def _means(paper: Mapping[str, Any]) -> Table:
    val, test = (figures(paper["figures"][split]) for split in ("val", "test"))
    rows = [[figure_name(key), shown(val.get(key)), shown(test.get(key))] for key in test]
    caption = "Means over seeds; 95 % intervals from clusters resampled jointly over seeds."
    return Table(("Figure", "Validation", "Test"), rows, caption)


def _twins(paper: Mapping[str, Any]) -> Iterator[Part]:
    twins = paper["twins"]
    rows = []
    for key, name in _COMPARED.items():
        found = figures({k: v for k, v in twins[key].items() if k != "predictions"})
        cells = (shown(found.get(k)) for k in ("with_twin", "without_twin", "difference"))
        counts = twins[key]["predictions"]
        rows.append([name, *cells, f"{counts['with_twin']} / {counts['without_twin']}"])
    yield Heading("What a copy in training is worth")
    yield Table(
        ("Test images", "Copy in training", "None", "Difference", "Predictions"),
        rows,
        f"Test accuracy with and without a copy in training, pooled over seeds; on average "
        f"{twins['images_with_twin']:.1f} test images have one. The second row compares images "
        "that have copies at all, by whether one trains. 95 % intervals over clusters.",
    )
