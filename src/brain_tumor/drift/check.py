"""Compare the images that are new since a registered model with those it was made from."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.dataset.groups import clusters, grouped, sharing
from brain_tumor.dataset.validation.describe import describe as describe_files
from brain_tumor.dataset.validation.layout import find_images
from brain_tumor.drift.measured import measure_all, with_model_measures
from brain_tumor.drift.result import Counts, Drift
from brain_tumor.inference import profile
from brain_tumor.settings import DriftParams, ValidateParams
from brain_tumor.tracking import artifacts, store
from brain_tumor.tracking.describe import describe, find_version
from brain_tumor.tracking.models import Version


def check_drift(uri: str, data: Path, validate: ValidateParams, params: DriftParams) -> Drift:
    """Compare new images with a model's.

    New are those of the data folder whose bytes are not among the model's train, val and test
    images. The model's own code describes them; where there are too few, nothing is tested.

    Args:
        uri: of the model, as `models:/NAME@champion`.
        data: the data folder; images that cannot be read are left out.
        validate: section `validate`: class folders, exclusions and what counts as a copy.
        params: section `drift`.

    Raises:
        ValueError: `uri` names no model of MLflow's, the profile is unreadable, or (as
            `ModelUnusableError`) the model cannot be run.
    """
    client = store.connect()
    version = find_version(client, uri)
    if version is None:
        return Drift(None, note=f"There is no {uri} to compare with.")
    known = _profile(client, version)
    if known is None:
        note = "It has no profile of its images (registered before there were any), or lost it."
        return Drift(version.uri, note=f"{note} The next model that is registered has one.")
    images = _with_new_images(known.table, _present(data, validate))
    return _compared(version, known, images, data, params)


def _compared(
    version: Version, known: profile.Profile, images: pd.DataFrame, data: Path, params: DriftParams
) -> Drift:
    is_new = images["split"] == ""
    counts = Counts(int((~is_new).sum()), int(is_new.sum()))
    units = images.groupby(is_new)["cluster"].nunique()
    groups = Counts(int(units.get(False, 0)), int(units.get(True, 0)))
    if groups.new < params.min_clusters:
        few = f"Too few to tell: {groups.new} independent groups of new images (copies and slices "
        few += f"of a patient are one), drift.min_clusters is {params.min_clusters}."
        note = few if counts.new else "No image is new to it."
        return Drift(version.uri, counts, groups, note=note)
    rows, features = describe(version, [data / path for path in images.loc[is_new, "path"]])
    looks = pd.concat([known.table.drop(columns=list(profile.KEYS)), pd.DataFrame(rows)])
    seen = pd.concat([images, looks.set_axis(images.index)], axis=1)
    both = np.concatenate([known.features, features])
    measures = measure_all(with_model_measures(seen, both, params.neighbours), params)
    return Drift(version.uri, counts, groups, measures)


def _profile(client: Any, version: Version) -> profile.Profile | None:
    """The profile in a registered model; None if it has none."""
    if artifacts.missing_files(client, version, profile.IN_MODEL):
        return None
    with tempfile.TemporaryDirectory() as folder:
        return profile.Profile.load(artifacts.fetch(version, profile.FOLDER, Path(folder)))


def _present(data: Path, validate: ValidateParams) -> pd.DataFrame:
    """The manifest of the data folder as it is now, with clusters."""
    found = find_images(data, validate)
    if not found.images:
        raise ValueError(f"{data}: no images of the classes {' and '.join(validate.folders)}")
    manifest = describe_files(data, found, validate).manifest
    return manifest.assign(cluster=clusters(manifest).to_numpy())


def _with_new_images(known: pd.DataFrame, present: pd.DataFrame) -> pd.DataFrame:
    """The profile's images, then the new ones, in clusters that take in both.

    What joined images then and what joins them now counts: a new slice of a known patient is of
    that patient's cluster.
    """
    new = present[~present["sha256"].isin(known["sha256"])].assign(split="")
    images = pd.concat([known[list(profile.KEYS)], new[list(profile.KEYS)]], ignore_index=True)
    now = present.drop_duplicates("sha256").set_index("sha256")["cluster"]
    then = [f"then {name}" for name in known["cluster"]] + [""] * len(new)
    since = [f"now {name}" for name in images["sha256"].map(now).fillna("")]
    pairs = [*sharing(then), *sharing([name if name != "now " else "" for name in since])]
    names = [f"{index:08d}" for index in range(len(images))]
    return images.assign(cluster=grouped(names, pairs))
