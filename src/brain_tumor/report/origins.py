"""The last sections: lineage, parameters and checklists."""

import json
from collections.abc import Collection, Mapping, Sequence

from brain_tumor.report import checklist
from brain_tumor.report.card import ModelCard
from brain_tumor.report.checklist import Item
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Section, Table


def lineage(found: Findings, card: ModelCard) -> Section:
    """What leads to the commit, the data and the run."""
    rows = [[f"`{key}`", f"`{value}`"] for key, value in card.lineage.items()]
    rows.append(["`initial_weights.sha256`", f"`{card.initial_weights.sha256}`"])
    rows.append(["fast engine", str(found.export.get("engine", "-"))])
    return Section(
        "Lineage",
        [
            "`git checkout` of the commit, `dvc pull` and `dvc repro` lead from the data to this "
            "report. Training repeats bit by bit on one machine, not across processors. All "
            "versions of packages stand in requirements.txt, every file of the data in data.dvc.",
            Table(("What", "Value"), rows, "What this report was made from (MD5 as in dvc.lock)."),
        ],
    )


def parameters(found: Findings) -> Section:
    """Every parameter of the stages told of."""
    rows = [
        [f"`{section}.{key}`", f"`{json.dumps(value)}`"]
        for section, values in vars(found.settings).items()
        for key, value in values.model_dump(mode="json").items()
    ]
    return Section(
        "Parameters",
        [Table(("Parameter", "Value"), rows, "As in params.yaml, tuned values put in.")],
    )


def listed(
    title: str, items: Sequence[Item], present: Collection[str], sections: Mapping[str, str]
) -> Section:
    """A checklist."""
    caption = (
        f"{checklist.tally(items, present)} The numbers are the checklist's, the words are ours; "
        "the published text decides."
    )
    head = ("Item", "What it asks for", "Where it is answered")
    rows = checklist.rows(items, present, sections)
    return Section(title, [Table(head, rows, caption)], new_page=True)
