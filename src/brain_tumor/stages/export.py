"""Stage export: the network for the fast engine, and what tells images it was not trained for."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import write_json
from brain_tumor.inference import bundle
from brain_tumor.inference.export import compared, export_network
from brain_tumor.inference.familiarity import Familiarity
from brain_tumor.machine import track, working
from brain_tumor.model import saved
from brain_tumor.model.explain import Explainer
from brain_tumor.model.folds import read_phantoms
from brain_tumor.shards import open_images


def main() -> None:
    """Export the network, compare it with the trained one, and learn what is familiar to it.

    Both by what trained only: training images, and for the latter the phantoms beside them.
    """
    params = settings.read()
    profile = bundle.Profile.load(outputs.PROFILE)
    is_training = (profile.table["split"] == outputs.TRAIN).to_numpy()
    table = profile.table[is_training].reset_index(drop=True)
    clusters = table["cluster"].to_numpy(str)
    trained = saved.load_parts(outputs.MODEL, outputs.MODEL_META)
    _, phantoms = read_phantoms(outputs.AUGMENTED_IMAGES, outputs.AUGMENTED_RECORDS)
    seen = None
    if len(phantoms):
        explainer = Explainer(trained.network)
        seen = explainer.see(
            phantoms, lambda starts: track(starts, "phantoms, in batches", len(starts))
        ).features
    with working(f"learning what {len(table)} training images look like"):
        familiarity = Familiarity.fit(
            profile.features[is_training], table, clusters, params.export, seen
        )
    familiarity.save(outputs.EXPORT / bundle.FAMILIARITY_FILE)
    paths = list(table["path"].iloc[compared(len(table))])
    images = open_images(outputs.IMAGES, paths)[:]
    with working(f"writing the network for ONNX Runtime, comparing both on {len(images)} images"):
        agreement = export_network(trained, outputs.EXPORT / bundle.FAST_FILE, images)
    files = bundle.sources(outputs.MODEL, outputs.MODEL_META, outputs.EXPORT)
    with TemporaryDirectory() as folder:
        digest = bundle.write(Path(folder), files, params.preprocess)
    report = {
        "digest": digest,
        "engine": f"onnxruntime {version('onnxruntime')}",
        "agreement": asdict(agreement),
        "familiar": {
            "images": len(table),
            "clusters": len(set(clusters)),
            "phantoms": len(phantoms),
        },
    }
    write_json(outputs.EXPORT / outputs.EXPORT_REPORT, report)


if __name__ == "__main__":
    run(main)
