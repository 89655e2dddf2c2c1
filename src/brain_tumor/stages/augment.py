"""Stage augment: random variants of the training images, and of no other, and phantoms."""

from functools import partial
from itertools import chain

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.phantom.slices import draw, phantom_images
from brain_tumor.files import replacing
from brain_tumor.imaging.augment import augment_sheet, augmented, copy_names
from brain_tumor.imaging.preprocess import preprocess_drawn
from brain_tumor.shards import open_images, write_images


def main() -> None:
    """Write the variants of the training images; validation and test images are not read."""
    params = settings.read()
    augment = params.augment
    split = outputs.read_split()
    train = split[split["split"] == "train"]
    paths = train["path"].tolist()
    phantoms = phantom_images(augment.phantoms)
    drawn = [
        (phantom.path, partial(draw, phantom, params.phantom, augment)) for phantom in phantoms
    ]
    images = open_images(outputs.IMAGES, paths)
    with replacing(outputs.AUGMENTED_IMAGES) as aside:
        named = (
            augmented(images, paths, augment),
            preprocess_drawn(drawn, params.preprocess, "phantoms"),
        )
        write_images(aside, chain(*named))
    rows = [
        {"path": name, "source": path, "label": label}
        for path, label in zip(paths, train["label"], strict=True)
        for name in copy_names(path, augment)
    ]
    rows += [
        {"path": phantom.path, "source": phantom.path, "label": phantom.label}
        for phantom in phantoms
    ]
    table = pd.DataFrame(rows, columns=["path", "source", "label"])
    outputs.write_table(outputs.AUGMENTED_RECORDS, table)
    augment_sheet(outputs.IMAGES, paths, outputs.AUGMENTED_IMAGES, augment, outputs.AUGMENTED_SHEET)


if __name__ == "__main__":
    run(main)
