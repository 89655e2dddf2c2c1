"""Stage export: the network for the fast engine, and what tells images it was not trained for."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from brain_tumor import settings
from brain_tumor.atomic import write_json
from brain_tumor.inference import bundle
from brain_tumor.inference.export import REPORT_FILE, export_network
from brain_tumor.inference.familiarity import Familiarity
from brain_tumor.inference.profile import Profile
from brain_tumor.model import saved
from brain_tumor.outputs import load_images
from brain_tumor.progress import working
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(
    model: In,
    model_json: In,
    atlas: In,
    profile: In,
    images: In,
    export: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Export the network, compare it with the trained one, and learn what is familiar to it.

    Both by training images only.
    """
    with reporting_errors():
        section = settings.read(params).export
        looks = Profile.load(profile)
        trains = (looks.table["split"] == "train").to_numpy()
        table = looks.table[trains].reset_index(drop=True)
        clusters = table["cluster"].to_numpy(str)
        with working(f"learning what {len(table)} training images look like"):
            familiarity = Familiarity.fit(looks.features[trains], table, clusters, section)
        familiarity.save(export / bundle.FAMILIARITY_FILE)
        pixels = load_images(images, list(table["path"]))
        with working(
            f"writing the network for ONNX Runtime, comparing both on {len(table)} images"
        ):
            trained = saved.load_parts(model, model_json)
            agreement = export_network(trained, export / bundle.FAST_FILE, pixels)
        preprocess = settings.read(params).preprocess
        files = bundle.sources(model, model_json, atlas, export)
        report = {
            "digest": bundle.digest_of(files, preprocess),
            "engine": f"onnxruntime {version('onnxruntime')}",
            "agreement": asdict(agreement),
            "familiar": {"images": len(table), "clusters": len(set(clusters))},
        }
        write_json(export / REPORT_FILE, report)


if __name__ == "__main__":
    run(main)
