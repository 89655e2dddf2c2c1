"""Parts of the images by what is known of them, and the figures of each part."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.dataset.groups import clusters

LEAST_PER_CLASS = 10  # images of either class; below, a part's figures would say nothing
SHOWN = ("sensitivity", "specificity", "auroc", "log_loss")
UNKNOWN = "not known"


def traits(manifest: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What is known of each image, indexed by manifest path.

    Args:
        manifest: see `outputs.MANIFEST_COLUMNS`.
        records: of stage preprocess: path, plane, fallback.

    Returns:
        Text columns plane, registration, format, colour, copies. (The sequence, T1, T2 or other, is
        not recorded in pictures without a header.)
    """
    table = manifest.set_index("path")
    found = records.set_index("path").reindex(table.index).fillna("")
    sizes = clusters(manifest).value_counts()
    members = clusters(manifest).map(sizes)
    plane = found["plane"].astype(str)
    failed = found["fallback"].astype(str) != ""
    return pd.DataFrame(
        {
            "plane": plane.where((plane != "") & ~failed, UNKNOWN),
            "registration": np.where(failed, "not trusted", "trusted"),
            "format": table["format"],
            "colour": np.where(table["mode"] == "L", "grey", "colour"),
            "copies": np.where(members > 1, "has copies", "single"),
        },
        index=table.index,
    )


def subgroup_rows(
    folds: pd.DataFrame,
    known: pd.DataFrame,
    evaluate: Callable[[pd.DataFrame], Mapping[str, Mapping[str, float]]],
) -> list[dict[str, Any]]:
    """Each part with its counts and, where it is large enough, `SHOWN` of its figures.

    Args:
        folds: predictions of all repeats; columns path, y and what `evaluate` takes.
        known: see `traits`.
        evaluate: figures of rows.
    """
    rows = []
    for trait in known.columns:
        values = folds["path"].map(known[trait])
        if values.nunique() < 2:
            continue
        for value, part in folds.groupby(values):
            counts = part.drop_duplicates("path")["y"]
            yes, no = int(counts.sum()), int((1 - counts).sum())
            enough = min(yes, no) >= LEAST_PER_CLASS
            found = evaluate(part) if enough else {}
            figures = {name: found[name] for name in SHOWN if name in found}
            rows.append(
                {"by": trait, "value": str(value), "no": no, "yes": yes, "figures": figures}
            )
    return rows
