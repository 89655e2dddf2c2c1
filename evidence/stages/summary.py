"""Stage summary of the evidence: the figures of both tracks, as JSON, pages and drawings."""

from pathlib import Path

import pandas as pd

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.data.copies import suspect_paths
from brain_tumor.files import write_json, write_text
from brain_tumor.outputs import read_manifest
from brain_tumor.report.drawings import reliability_svg
from brain_tumor.settings import EvaluateParams
from evidence import pages
from evidence.headline import read_folds
from evidence.pages import headline_page, paper_page
from evidence.paper import read_seeds
from evidence.parts import Finished
from evidence.settings import HeadlineParams, PaperParams
from evidence.summary import (
    confident_errors,
    errors_sheet,
    made_from,
    summarise_headline,
    summarise_paper,
    traits,
)


def main(
    data: In,
    manifest: In,
    images: In,
    records: In,
    folds: In,
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
        section = settings.load(evidence, "summary", EvaluateParams)
        outer = settings.load(evidence, "headline", HeadlineParams)
        protocol = settings.load(evidence, "paper", PaperParams)
        target = settings.read(params).calibrate.sensitivity
        found, about = read_folds(Finished(folds), outer)
        files = read_manifest(manifest)
        suspects = suspect_paths(files)
        known = traits(files, pd.read_csv(records, keep_default_na=False))
        ours = summarise_headline(found, about, known, suspects, section)
        write_text(headline, headline_page(ours, made_from(about), target))
        wrong = confident_errors(found, suspects)
        write_text(errors, wrong.round(4).to_csv(index=False, lineterminator="\n"))
        errors_sheet(wrong, data, images, sheet)
        write_text(figures / "reliability.svg", reliability_svg(pd.DataFrame(ours["reliability"])))
        write_text(figures / "baselines.svg", pages.baselines_forest(ours))
        told, by = read_seeds(Finished(seeds), protocol)
        published = summarise_paper(told, by, section)
        write_text(paper, paper_page(published, made_from(by)))
        write_text(figures / "paper.svg", pages.accuracy_by_seed(published))
        made = {"headline": made_from(about), "paper": made_from(by)}
        evaluated = files["path"].isin({*found["path"], *told["path"]})
        facts = {"sha256": sorted(files["sha256"][evaluated]), "headline": ours, "paper": published}
        write_json(summary, {"made": made, **facts})


if __name__ == "__main__":
    run(main)
