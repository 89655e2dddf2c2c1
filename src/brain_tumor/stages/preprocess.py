"""Stage preprocess: raw images to network inputs, with the atlas they were normalised to."""

from pathlib import Path

import pandas as pd

from brain_tumor import settings
from brain_tumor.atomic import replacing, write_json, write_text
from brain_tumor.imaging.atlas_build import build_atlas
from brain_tumor.imaging.folder import preprocess_folder
from brain_tumor.imaging.preprocess_figures import draw_figures
from brain_tumor.imaging.summary import summarise
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(
    data: In,
    manifest: In,
    atlas: Out,
    images: Out,
    records: Out,
    figures: Out,
    summary: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Normalise, crop and scale every image of the manifest."""
    with reporting_errors():
        section = settings.read(params).preprocess
        table = pd.read_csv(manifest, dtype=str, keep_default_na=False)
        paths, labels = table["path"].tolist(), table["label"].tolist()
        slices = build_atlas(section)
        slices.save(atlas)
        with replacing(images) as aside:
            done = preprocess_folder(data, paths, aside, slices, section)
        rows = [
            {"path": path, "label": label, **record.row()}
            for path, label, record in zip(paths, labels, done, strict=True)
        ]
        write_text(records, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
        with replacing(figures) as aside:
            facts = dict(zip(paths, zip(labels, done, strict=True), strict=True))
            draw_figures(data, images, facts, slices, section, aside)
        write_json(summary, summarise(labels, done))


if __name__ == "__main__":
    run(main)
