"""What a study searches, and on which images; its name is a digest of both."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.copies import clusters
from brain_tumor.errors import UserError
from brain_tumor.machine import lasting
from brain_tumor.model import recipe
from brain_tumor.model.feature_cache import SIZE_VARIABLE, default_cache
from brain_tumor.model.features import Output, stored_bytes, trunk_outputs
from brain_tumor.model.folds import TrainingData, read_development
from brain_tumor.model.training import Start, exact_outputs, make_repeatable, number_format, outputs
from brain_tumor.outputs import InitialWeights, TuneInputs, read_manifest
from brain_tumor.settings import TUNABLE, AugmentParams, TrainParams, TrainSection, TuneParams, idle
from brain_tumor.shards import chunks, take
from brain_tumor.tracking import lineage
from brain_tumor.tracking.runs import study_title


def study_name(facts: Mapping[str, object]) -> str:
    """`brain-tumor-` and a digest of the facts (JSON values) that comparable trials share."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"brain-tumor-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Plan:
    """A study: what is searched, on which data, from which weights.

    Attributes:
        inputs: where it was read from.
        section: section `train`; what it leaves `tuned` is searched.
        tune: section `tune`.
        initial: where the initial weights came from.
        start: initial weights and feature cache.
        data: one entry for the validation split, or one per fold.
        paths: manifest path of the image that each row of the data is, or is a copy of.
    """

    inputs: TuneInputs
    section: TrainSection
    tune: TuneParams
    initial: InitialWeights
    start: Start
    data: tuple[TrainingData, ...]
    paths: NDArray[np.str_]

    @cached_property
    def name(self) -> str:
        """Name of the study: another for changed data, weights, space, objective or recipe."""
        ignored = {"n_trials", "timeout_s", "space"}
        values = self.section.model_dump()
        without_effect = {*idle(values), "precision"}
        return study_name(
            {
                "data": _digest(self.data),
                "weights": self.initial.sha256,
                "space": {
                    name: str(getattr(self.tune.space, name)) for name in self.section.tuned()
                },
                "tune": self.tune.model_dump(exclude=ignored),
                "train": {key: values[key] for key in values if key not in without_effect},
                "precision": number_format(self.section.precision),
                "recipe": recipe.VERSION,
            }
        )

    @cached_property
    def logged(self) -> Mapping[str, str]:
        """Parameters of its run, as they were when it began; `tuned` is not filled in."""
        return lineage.acted_params(
            self.inputs.params, self.section.model_dump(), ["tune"], phantom=self.is_phantom
        )

    def trial_params(self, train: TrainParams) -> dict[str, str]:
        """Parameters of the run of a trial: those that act in its training."""
        return lineage.acted_params(self.inputs.params, train.model_dump(), phantom=self.is_phantom)

    @cached_property
    def is_phantom(self) -> bool:
        """Whether the data are the phantom."""
        return lineage.is_phantom()

    def title(self, trials: int) -> str:
        """Title of its run; images of the test split count."""
        images = len(read_manifest(self.inputs.manifest))
        return study_title(images, self.tune.objective, len(self.data), trials)

    @cached_property
    def lineage(self) -> Mapping[str, str]:
        """What its runs are made from, as things were when it began."""
        names = ("manifest", "split", "images", "augmented", "records", "weights", "params")
        files = {name: getattr(self.inputs, name) for name in names}
        return lineage.trace(files) | {"initial_weights.sha256": self.initial.sha256}

    @cached_property
    def tags(self) -> Mapping[str, str]:
        """Tags of its runs."""
        study = {"study": self.name, "precision": number_format(self.section.precision)}
        return lineage.tags(self.lineage) | self.initial.tags() | study


def read_plan(
    inputs: TuneInputs, section: TrainSection, tune: TuneParams, augment: AugmentParams
) -> Plan:
    """Read what a study needs; test images are not touched.

    Raises:
        UserError: an input does not fit; the message names it.
    """
    initial = InitialWeights.read(inputs.source)
    initial.check_file(inputs.weights)
    _check_blocks(initial, section, tune)
    images = read_development(inputs.split, inputs.images, inputs.augmented, inputs.records)
    images = images.with_copies_of_val(augment)
    if tune.folds > 1:
        groups = clusters(read_manifest(inputs.manifest))
        data = tuple(images.folds(groups, tune.folds, tune.seed))
    else:
        data = (images.holdout(),)
    start, paths = Start(inputs.weights, default_cache()), images.rows["source"].to_numpy(str)
    return Plan(inputs, section, tune, initial, start, data, paths)


def _check_blocks(initial: InitialWeights, section: TrainSection, tune: TuneParams) -> None:
    """Refuse a space with trials for which weights or network have too few blocks."""
    heads, depths = tune.space.head_block, tune.space.fine_tune_blocks
    lowest, highest, at = heads.low, heads.high, "tune.space.head_block.low"
    if isinstance(section.head_block, int):
        lowest, highest, at = section.head_block, section.head_block, "train.head_block"
    deepest, what = depths.high, "tune.space.fine_tune_blocks.high"
    if isinstance(section.fine_tune_blocks, int):
        deepest, what = section.fine_tune_blocks, "train.fine_tune_blocks"
    initial.check_covers(highest)
    if deepest > lowest + 1:
        raise UserError(
            f"{what} is {deepest}, but with {at} {lowest} there are {lowest + 1} blocks to tune; "
            f"lower it, or raise {at}"
        )


def _digest(parts: tuple[TrainingData, ...]) -> str:
    """SHA-256 of images, labels and rows that take part; the folds share one array of images."""
    used = np.unique(np.concatenate([rows for part in parts for rows in (part.train, part.val)]))
    sha = hashlib.sha256()
    with lasting("reading the images of the study"):
        for images in chunks(take(parts[0].images, used)):
            sha.update(np.ascontiguousarray(images).data)
    for part in parts:
        sources = used if part.sources is None else part.sources[used]
        for array in (part.labels[used], part.train, part.val, sources):
            sha.update(f"{array.dtype}{array.shape}".encode() + array.tobytes())
    return sha.hexdigest()


def prepare_features(plan: Plan) -> None:
    """Compute the trunk's outputs for every head and depth of the space.

    Where they do not fit into the cache together, these are the heads' vectors, and each trial
    computes the maps that it needs.
    """
    make_repeatable(plan.section.seed)
    weights, cache = plan.start.weights, plan.start.cache
    wanted, exact = needed_outputs(plan.section, plan.tune)
    held_out = [take(data.images, data.val) for data in plan.data]
    images = plan.data[0].images
    needed = stored_bytes(wanted, images) + sum(stored_bytes(exact, part) for part in held_out)
    if needed > cache.max_bytes:
        print(
            f"note: the study's features take {needed / 1e9:.1f} GB, more than {SIZE_VARIABLE} "
            "allows; trials compute the maps they need",
            file=sys.stderr,
        )
        wanted, exact = [output for output in wanted if output.form != "maps"], []
    trunk_outputs(weights, images, wanted, cache)
    for part in held_out if exact else []:
        trunk_outputs(weights, part, exact, cache)


def needed_outputs(section: TrainSection, tune: TuneParams) -> tuple[list[Output], list[Output]]:
    """Of the trunk, for every head and depth of the space: of all images, and of held-out ones."""
    corners = _corners(section, tune)
    wanted = dict.fromkeys(output for params in corners for output in outputs(params))
    exact = dict.fromkeys(output for params in corners for output in exact_outputs(params))
    return list(wanted), list(exact)


def _corners(section: TrainSection, tune: TuneParams) -> list[TrainParams]:
    """One training for every head block and depth of the space."""

    def choices(name: str) -> Sequence[int]:
        if name not in section.tuned():
            return [int(getattr(section, name))]
        allowed = getattr(tune.space, name)
        return range(allowed.low, allowed.high + 1)

    values = {name: getattr(tune.space, name).low for name in TUNABLE}
    return [
        section.resolve(values | {"head_block": head, "fine_tune_blocks": depth})
        for head in choices("head_block")
        for depth in choices("fine_tune_blocks")
    ]
