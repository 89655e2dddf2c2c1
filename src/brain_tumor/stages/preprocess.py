"""Stage preprocess: raw images to network inputs."""

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import replacing, write_json
from brain_tumor.imaging.figures import draw_figures
from brain_tumor.imaging.preprocess import preprocess_folder, summarise


def main() -> None:
    """Normalise, crop and scale every image of the manifest."""
    section = settings.read().preprocess
    manifest = outputs.read_manifest()
    paths, labels = manifest["path"].tolist(), manifest["label"].tolist()
    with replacing(outputs.IMAGES) as aside:
        records = preprocess_folder(outputs.DATA, paths, aside, section)
    rows = [
        {"path": path, "label": label, **record.row()}
        for path, label, record in zip(paths, labels, records, strict=True)
    ]
    outputs.write_table(outputs.RECORDS, pd.DataFrame(rows))
    facts = dict(zip(paths, zip(labels, records, strict=True), strict=True))
    with replacing(outputs.PREPROCESS_FIGURES) as aside:
        draw_figures(outputs.DATA, outputs.IMAGES, facts, section, aside)
    write_json(outputs.PREPROCESS_SUMMARY, summarise(labels, records))


if __name__ == "__main__":
    run(main)
