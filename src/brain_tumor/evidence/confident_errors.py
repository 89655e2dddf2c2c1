"""The images a track is most confidently wrong about, by file name and as a sheet."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from brain_tumor.imaging.decode import decode
from brain_tumor.imaging.sheets import contact_sheet
from brain_tumor.model.calibration import HALF
from brain_tumor.outputs import load_images

MOST = 20


def confident_errors(
    folds: pd.DataFrame, suspects: Collection[str], most: int = MOST
) -> pd.DataFrame:
    """Images whose mean probability over repeats is on the wrong side of 0.5, the surest first.

    Args:
        folds: see `headline.read_folds`.
        suspects: paths of images whose label is doubted.
        most: at most so many.

    Returns:
        Columns path, label, cluster, probability (mean over repeats), lowest, highest, missed (in
        how many repeats it was called wrong at the operating threshold), repeats, suspect (whether
        the label was doubted before any model).
    """
    called = folds["probability"] >= folds["threshold"]
    table = folds.assign(missed=(called != (folds["y"] == 1)).astype("int64"))
    images = table.groupby(["path", "label", "cluster", "y"], as_index=False).agg(
        probability=("probability", "mean"),
        lowest=("probability", "min"),
        highest=("probability", "max"),
        missed=("missed", "sum"),
        repeats=("repeat", "nunique"),
    )
    images["suspect"] = images["path"].isin(suspects)
    images["away"] = (images["probability"] - images["y"]).abs()
    wrong = images[images["away"] > HALF].sort_values(["away", "path"], ascending=[False, True])
    return wrong.drop(columns=["away", "y"]).head(most).reset_index(drop=True)


def errors_sheet(errors: pd.DataFrame, data: Path, images: Path, path: Path) -> None:
    """Draw each image, raw and as the network sees it, under name and probability.

    Args:
        errors: see `confident_errors`.
        data: folder of the raw files.
        images: folder of the preprocessed ones.
        path: PNG to write; it shows real images, so it never goes under git.
    """
    names = list(errors["path"])
    tiles = [
        (f"{name}: {said:.2f}", (decode((data / name).read_bytes()), stored))
        for name, said, stored in zip(
            names, errors["probability"], load_images(images, names), strict=True
        )
    ]
    title = f"The {len(names)} surest errors: raw and preprocessed, mean probability of a tumour"
    contact_sheet(tiles, path, title, columns=4, side_px=104)
