"""Stage summary of the evidence: the figures of both tracks, as JSON, pages and drawings."""

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.copies import suspect_paths
from brain_tumor.files import write_json, write_text
from brain_tumor.report.drawings import reliability_svg
from evidence import pages
from evidence import settings as study
from evidence.headline import read_folds, read_former
from evidence.paper import read_seeds
from evidence.parts import Finished, origin_of
from evidence.summary import (
    confident_errors,
    errors_sheet,
    image_traits,
    summarise_headline,
    summarise_paper,
)


def main() -> None:
    """Summarise what the tracks left; nothing is trained."""
    params = study.read()
    target = settings.read().calibrate.sensitivity
    manifest = outputs.read_manifest()
    suspects = suspect_paths(manifest)
    traits = image_traits(manifest, outputs.read_table(outputs.RECORDS, keep_default_na=False))
    folds, fold_facts = read_folds(Finished(study.FOLDS), params.headline)
    former, former_facts = read_former(Finished(study.FORMER_FOLDS), folds)
    seeds, seed_facts = read_seeds(Finished(study.SEEDS), params.paper)
    tuned, tuned_facts = read_seeds(Finished(study.SEEDS_OF_BLOCKS), params.paper)
    headline = summarise_headline(
        folds, fold_facts, traits, suspects, target, params.summary, former
    )
    paper = summarise_paper(seeds, seed_facts, params.summary)
    evaluated = manifest["path"].isin({*folds["path"], *seeds["path"]})
    facts = {
        "made": {
            "headline": origin_of(fold_facts),
            "former": origin_of(former_facts) if former_facts else None,
            "paper": origin_of(seed_facts),
            "paper_blocks": origin_of(tuned_facts),
        },
        "sha256": sorted(manifest["sha256"][evaluated]),
        "headline": headline,
        "paper": paper,
        "paper_blocks": {
            "blocks": params.paper.top_blocks,
            **summarise_paper(tuned, tuned_facts, params.summary),
        },
    }
    write_json(study.SUMMARY, facts)
    write_text(study.HEADLINE_PAGE, pages.headline_page(facts))
    write_text(study.PAPER_PAGE, pages.paper_page(facts))
    errors = confident_errors(folds, suspects)
    outputs.write_table(study.ERRORS, errors.round(4))
    errors_sheet(errors, outputs.DATA, outputs.IMAGES, study.ERRORS_SHEET)
    write_text(study.RELIABILITY, reliability_svg(pd.DataFrame(headline["reliability"])))
    write_text(study.BASELINES, pages.baselines_forest(headline))
    write_text(study.ACCURACY_BY_SEED, pages.accuracy_by_seed(paper))


if __name__ == "__main__":
    run(main)
