"""Stage localisation of the evidence: do the model's heat maps point at tumours of phantoms?"""

import time

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import write_json, write_text
from brain_tumor.inference.export import exported_digest
from brain_tumor.model import saved
from brain_tumor.report.evidence import differences_svg
from evidence import settings as study
from evidence.localisation import localise
from evidence.pages import localisation_page, save_overlays
from evidence.parts import origin_of_model
from evidence.phantoms import Maker


def main() -> None:
    """Judge the model's heat maps by phantoms' masks, beside maps that know nothing of tumours."""
    began = time.monotonic()
    section = study.read().localisation
    params = settings.read()
    model = saved.load_parts(outputs.MODEL, outputs.MODEL_META)
    result = localise(model, Maker(params.phantom, params.preprocess), section)
    facts = {
        "made": origin_of_model(model.meta, began),
        "model": exported_digest(outputs.EXPORT),
        "seed": section.seed,
        **result.figures,
    }
    outputs.write_table(study.LOCALISATION_TABLE, result.scores.round(6))
    write_json(study.LOCALISATION, facts)
    write_text(study.LOCALISATION_PAGE, localisation_page(facts))
    write_text(study.LOCALISATION_FIGURE, differences_svg(result.figures["differences"]))
    shown = (result.phantoms, result.maps, result.probability, result.stride_px)
    save_overlays(study.OVERLAYS, *shown)


if __name__ == "__main__":
    run(main)
