"""Write the report of a run into a folder, with its figures beside it."""

import shutil
from pathlib import Path

from brain_tumor.atomic import write_text
from brain_tumor.ci.facts import Facts
from brain_tumor.ci.report import render
from brain_tumor.ci.tables import code

SHOWN = ("outputs/evaluate", "outputs/train/figures", "outputs/tuning/figures")
"""Where the figures come from; none of them shows an image of a patient."""


def write_report(facts: Facts, folder: Path) -> None:
    """Write report.md, which shows the figures in figures/, and summary.md, which shows none.

    Figures of stages that did not run to their end are left out.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    if facts.complete:
        for source in SHOWN:
            for file in sorted(Path(source).glob("*.png")):
                shutil.copyfile(file, figures / f"{Path(source).parts[1]}_{file.name}")
    shown = [f"figures/{file.name}" for file in sorted(figures.glob("*.png"))]
    write_text(folder / "report.md", render(facts, shown))
    write_text(folder / "summary.md", render(facts))


def write_failure(reason: str, folder: Path) -> None:
    """Write report.md and summary.md of a run of which nothing else can be told."""
    page = f"# Stopped: nothing else can be told of this run\n\n{code(' '.join(reason.split()))}\n"
    for name in ("report.md", "summary.md"):
        write_text(folder / name, page)
