"""Stage augment: random variants of the training images, and of no other, and phantoms."""

from functools import partial
from pathlib import Path

import pandas as pd

from brain_tumor import settings
from brain_tumor.atomic import replacing, write_text
from brain_tumor.dataset.phantom.pairs import draw, phantom_images
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.augment_folder import augment_folder, augment_sheet, copy_names
from brain_tumor.imaging.folder import preprocess_drawn
from brain_tumor.stages.paths import In, Out, reporting_errors, run


def main(
    split: In,
    images: In,
    atlas: In,
    augmented: Out,
    records: Out,
    sheet: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Write the variants of the training images; validation and test images are not read."""
    with reporting_errors():
        section = settings.read(params).augment
        preprocess, looks = settings.read(params).preprocess, settings.read(params).phantom
        table = pd.read_csv(split, dtype=str, keep_default_na=False)
        train = table[table["split"] == "train"]
        paths = train["path"].tolist()
        phantoms = phantom_images(section.phantoms)
        drawn = [(one.path, partial(draw, one, looks, section)) for one in phantoms]
        with replacing(augmented) as aside:
            augment_folder(images, paths, aside, section)
            preprocess_drawn(drawn, aside, Atlas.load(atlas), preprocess, "phantoms")
        rows = [
            {"path": name, "source": path, "label": label}
            for path, label in zip(paths, train["label"], strict=True)
            for name in copy_names(path, section)
        ]
        rows += [{"path": one.path, "source": one.path, "label": one.label} for one in phantoms]
        frame = pd.DataFrame(rows, columns=["path", "source", "label"])
        write_text(records, frame.to_csv(index=False, lineterminator="\n"))
        augment_sheet(images, paths, augmented, section, sheet)


if __name__ == "__main__":
    run(main)
