"""Stage summary of the evidence: the figures of both tracks, as JSON, pages and drawings."""

from pathlib import Path
from typing import Any

import pandas as pd
import typer

from brain_tumor import params as params_file
from brain_tumor.atomic import write_json, write_text
from brain_tumor.dataset.manifest import read_manifest
from brain_tumor.evidence import drawings
from brain_tumor.evidence.before import compare_before
from brain_tumor.evidence.confident_errors import confident_errors, errors_sheet
from brain_tumor.evidence.finished import Finished
from brain_tumor.evidence.headline import TRACK, read_folds
from brain_tumor.evidence.headline_page import headline_page
from brain_tumor.evidence.headline_summary import summarise_headline
from brain_tumor.evidence.page import made_from
from brain_tumor.evidence.paper_page import paper_page
from brain_tumor.evidence.paper_summary import summarise_paper
from brain_tumor.evidence.paper_track import read_seeds
from brain_tumor.evidence.subgroups import traits
from brain_tumor.model.calibration_params import CalibrateParams
from brain_tumor.model.estimate import EvaluateParams
from brain_tumor.stages.paths import In, Out, reporting_errors


def main(
    data: In,
    manifest: In,
    images: In,
    records: In,
    folds: In,
    before: In,
    seeds: In,
    summary: Out,
    headline: Out,
    paper: Out,
    errors: Out,
    figures: Out,
    sheet: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Summarise what the tracks left; nothing is trained."""
    with reporting_errors():
        section = params_file.load(evidence, "summary", EvaluateParams)
        target = params_file.load(params, "calibrate", CalibrateParams).sensitivity
        found, about = read_folds(Finished(folds)), _facts(folds, f"{TRACK}-")
        known = traits(read_manifest(manifest), pd.read_csv(records, keep_default_na=False))
        ours = summarise_headline(found, about, known, section)
        ours["before"] = compare_before(found, read_folds(Finished(before)), section)
        write_text(headline, headline_page(ours, made_from(about), target))
        wrong = confident_errors(found)
        write_text(errors, wrong.round(4).to_csv(index=False, lineterminator="\n"))
        errors_sheet(wrong, data, images, sheet)
        write_text(figures / "reliability.svg", drawings.first_reliability(found))
        write_text(figures / "baselines.svg", drawings.baselines_forest(ours))
        published = _paper(seeds, paper, figures, section)
        made = {"headline": made_from(about), "paper": made_from(_facts(seeds, "seed-"))}
        write_json(summary, {"made": made, "headline": ours, "paper": published})


def _paper(seeds: Path, page: Path, figures: Path, section: EvaluateParams) -> dict[str, Any]:
    about = _facts(seeds, "seed-")
    found = summarise_paper(read_seeds(Finished(seeds)), about, section)
    write_text(page, paper_page(found, made_from(about)))
    write_text(figures / "paper.svg", drawings.accuracy_by_seed(found))
    return found


def _facts(folder: Path, prefix: str) -> list[dict[str, Any]]:
    return [facts for _, facts in Finished(folder).parts(prefix)]


if __name__ == "__main__":
    typer.run(main)
