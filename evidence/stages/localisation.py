"""Stage localisation of the evidence: do the model's heat maps point at tumours of phantoms?"""

import os
import time
from pathlib import Path

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.files import write_json, write_text
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.inference.export import exported_digest
from brain_tumor.model import saved
from brain_tumor.report.evidence import differences_svg
from evidence.localisation import tested
from evidence.pages import localisation_page, save_overlays
from evidence.parts import environment
from evidence.phantoms import Maker
from evidence.settings import LocalisationParams
from evidence.summary import made_from, recipe_of


def main(
    model: In,
    model_json: In,
    atlas: In,
    export: In,
    table: Out,
    summary: Out,
    page: Out,
    figure: Out,
    overlays: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Judge the model's heat maps by phantoms' masks, beside maps that know nothing of tumours."""
    with reporting_errors():
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        start = time.monotonic()
        section = settings.load(evidence, "localisation", LocalisationParams)
        preprocess = settings.read(params).preprocess
        trained = saved.load_parts(model, model_json)
        maker = Maker(settings.read(params).phantom, Atlas.load(atlas), preprocess)
        found = tested(trained, maker, section)
        where = {"environment": environment(), "weights": trained.meta.initial_weights}
        where["recipe"] = recipe_of(trained.meta)
        made = made_from([where | {"wall_s": time.monotonic() - start}])
        write_text(table, found.scored.round(6).to_csv(index=False, lineterminator="\n"))
        facts = {"model": exported_digest(export), "seed": section.seed, **found.figures}
        write_json(summary, {"made": made, **facts})
        write_text(page, localisation_page(facts, made))
        write_text(figure, differences_svg(found.figures["differences"]))
        save_overlays(overlays, found)


if __name__ == "__main__":
    run(main)
