"""What duplicates mean for a data set: an error across classes, a warning within one."""

import pandas as pd

from brain_tumor.dataset.validation.finding import Finding


def across_classes(manifest: pd.DataFrame) -> list[Finding]:
    """Report every image whose duplicate group holds images of both classes."""
    return [
        Finding(path, f"{_likeness(group, path, twin)}, which is of the other class: one is wrong")
        for _, group in manifest.groupby("group")
        for path, label in zip(group["path"], group["label"], strict=True)
        if (twin := _closest(group[group["label"] != label], group, path))
    ]


def within_class(manifest: pd.DataFrame) -> list[Finding]:
    """Report every image that repeats an earlier one, by path, of its class."""
    return [
        Finding(path, _likeness(group, path, twin))
        for _, group in manifest.groupby(["group", "label"])
        for path in group["path"].iloc[1:]
        if (twin := _closest(group[group["path"] < path], group, path))
    ]


def _closest(others: pd.DataFrame, group: pd.DataFrame, path: str) -> str:
    """The first of `others` with the same bytes as `path`, else the first; "" if there is none."""
    digest = group.loc[group["path"] == path, "sha256"].iloc[0]
    identical = others.loc[others["sha256"] == digest, "path"]
    return next(iter([*identical, *others["path"]]), "")


def _likeness(group: pd.DataFrame, path: str, twin: str) -> str:
    digests = group.set_index("path")["sha256"]
    return f"{'same bytes as' if digests[path] == digests[twin] else 'near-duplicate of'} {twin}"
