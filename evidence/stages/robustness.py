"""Stage robustness of the evidence: the model on its test images, degraded step by step."""

import tempfile
import time
from pathlib import Path

import pandas as pd

from brain_tumor import settings
from brain_tumor.command import In, Out, reporting_errors, run
from brain_tumor.data.copies import clusters
from brain_tumor.files import write_json, write_text
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier
from brain_tumor.outputs import TEST, read_manifest, read_split
from brain_tumor.report.drawings import curves_svg
from brain_tumor.settings import POSITIVE, EvaluateParams
from evidence.pages import robustness_page
from evidence.parts import environment
from evidence.robustness import RobustnessParams, curves, curves_table, predict_degraded
from evidence.summary import made_from, recipe_of


def main(
    data: In,
    manifest: In,
    split: In,
    model: In,
    model_json: In,
    atlas: In,
    export: In,
    predictions: Out,
    table: Out,
    summary: Out,
    page: Out,
    figure: Out,
    params: In = Path("params.yaml"),
    evidence: In = Path("evidence/params.yaml"),
) -> None:
    """Classify degraded test images as a user's are; the figures of every level."""
    with reporting_errors():
        start = time.monotonic()
        preprocess = settings.read(params).preprocess
        levels = settings.load(evidence, "robustness", RobustnessParams)
        bootstrap = settings.load(evidence, "summary", EvaluateParams)
        images = _test_images(manifest, split)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            bundle.write(folder, bundle.sources(model, model_json, atlas, export), preprocess)
            classifier, digest = Classifier.load(folder, "fast"), bundle.digest(folder)
            said = predict_degraded(classifier, data, images, levels)
        write_text(predictions, said.to_csv(index=False, lineterminator="\n"))
        found = curves(said, classifier.meta.threshold, bootstrap)
        facts = {
            "images": len(images),
            "clusters": int(images["cluster"].nunique()),
            "threshold": classifier.meta.threshold,
            "model": digest,
        }
        where = {"environment": environment(), "weights": classifier.meta.initial_weights}
        where["recipe"] = recipe_of(classifier.meta)
        made = made_from([where | {"wall_s": time.monotonic() - start}])
        write_text(table, curves_table(found).to_csv(index=False, lineterminator="\n"))
        write_json(summary, {"made": made, **facts, "conditions": found})
        write_text(page, robustness_page(found, facts, made))
        write_text(figure, curves_svg(found))


def _test_images(manifest: Path, split: Path) -> pd.DataFrame:
    """Path, truth and cluster of the test images."""
    rows = read_split(split)
    rows = rows[rows["split"] == TEST].reset_index(drop=True)
    cluster = clusters(read_manifest(manifest)).loc[rows["path"]].to_numpy()
    return rows.assign(y=(rows["label"] == POSITIVE).astype("int64"), cluster=cluster)


if __name__ == "__main__":
    run(main)
