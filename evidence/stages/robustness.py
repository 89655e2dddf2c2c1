"""Stage robustness of the evidence: the model on its test images, degraded step by step."""

import tempfile
import time
from pathlib import Path

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.copies import clusters
from brain_tumor.files import write_json, write_text
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier
from brain_tumor.report.drawings import curves_svg
from brain_tumor.settings import POSITIVE
from evidence import settings as study
from evidence.pages import robustness_page
from evidence.parts import origin_of_model
from evidence.robustness import curves, curves_table, kept, predict_degraded


def main() -> None:
    """Classify degraded test images as a user's are; the figures of every level."""
    began = time.monotonic()
    params = study.read()
    images = outputs.read_split()
    images = images[images["split"] == outputs.TEST].reset_index(drop=True)
    images["y"] = (images["label"] == POSITIVE).astype("int64")
    images["cluster"] = clusters(outputs.read_manifest()).loc[images["path"]].to_numpy()
    sources = bundle.sources(outputs.MODEL, outputs.MODEL_META, outputs.EXPORT)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        digest = bundle.write(folder, sources, settings.read().preprocess)
        classifier = Classifier.load(folder, "fast")
        predictions = predict_degraded(classifier, outputs.DATA, images, params.robustness)
    threshold = classifier.meta.threshold
    conditions = curves(predictions, threshold, params.summary)
    facts = {
        "made": origin_of_model(classifier.meta, began),
        "images": len(images),
        "clusters": int(images["cluster"].nunique()),
        "threshold": threshold,
        "model": digest,
        "conditions": conditions,
        "kept": kept(predictions, threshold),
    }
    outputs.write_table(study.DEGRADED_PREDICTIONS, predictions)
    outputs.write_table(study.ROBUSTNESS_TABLE, curves_table(conditions))
    write_json(study.ROBUSTNESS, facts)
    write_text(study.ROBUSTNESS_PAGE, robustness_page(facts))
    write_text(study.ROBUSTNESS_FIGURE, curves_svg(conditions))


if __name__ == "__main__":
    run(main)
