"""Whether new images look like those a model was made from."""

import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.check import describe as describe_files
from brain_tumor.data.copies import clusters, grouped, sharing
from brain_tumor.data.folder import find_images
from brain_tumor.errors import UserError
from brain_tumor.files import replacing
from brain_tumor.inference import bundle
from brain_tumor.monitoring.drift_test import Difference, Direction, Floats, compare, design
from brain_tumor.settings import DriftParams, ValidateParams
from brain_tumor.tracking import connection, lineage, models
from brain_tumor.tracking.models import Version, describe, named_version

_BLOCK = 512  # images at a time


def training_distance(
    features: NDArray[np.float32],
    is_training: NDArray[np.bool_],
    cluster: NDArray[np.str_],
    neighbours: int,
) -> NDArray[np.float64]:
    """Mean distance to the nearest training images of other clusters.

    Features are standardised by the training images (one that hardly varies keeps a floor of a
    hundredth of the median variance, as in the head), and the distance is per feature: 1 is one
    standard deviation in each.

    Args:
        features: of all images, (images, channels).
        is_training: whether the network was trained on it.
        cluster: of each image; copies and slices of one patient are no neighbours.
        neighbours: how many, where there are as many.

    Returns:
        For each image; infinite where there is no training image of another cluster.
    """
    near = features[is_training].astype(np.float64)
    variance, mean = near.var(axis=0), near.mean(axis=0)
    scale = np.sqrt(np.maximum(variance, max(float(np.median(variance)) / 100, 1e-24)))
    near -= mean  # in place: of 60,000 images a copy takes 400 MB to 1 GB
    near /= scale
    lengths = (near**2).sum(axis=1)
    member = np.unique(cluster, return_inverse=True)[1]
    distances = np.full(len(features), np.inf)
    for start in range(0, len(features), _BLOCK):
        block = slice(start, start + _BLOCK)
        points = (features[block] - mean) / scale
        squared = (points**2).sum(axis=1)[:, None] + lengths - 2 * (points @ near.T)
        np.maximum(squared, 0, out=squared)
        squared[member[block, None] == member[is_training]] = np.inf
        few = min(neighbours, squared.shape[1])
        nearest = np.sort(np.partition(squared, few - 1, axis=1)[:, :few], axis=1)
        exists = np.isfinite(nearest)
        total = np.sqrt(np.where(exists, nearest, 0) / features.shape[1]).sum(axis=1)
        counts = exists.sum(axis=1)
        distances[block] = np.where(counts > 0, total / np.maximum(counts, 1), np.inf)
    return distances


@dataclass(frozen=True)
class Measure:
    """A number of each image.

    Attributes:
        name: its column.
        what: the quantity, with its unit, as an axis label.
        higher: what is said where new images have more of it.
        lower: where they have less.
        unit: printed after a value.
        digits: of a value, after the point; what they do not show is no difference.
        share: a yes (1) or no (0), so that its mean is a share; else its median is told.
        held_out: depends on what the network was trained on, so only the reference images it was
            not trained on are compared with.
        of_class: images are compared with reference images of the same class.
    """

    name: str
    what: str
    higher: str
    lower: str
    unit: str = ""
    digits: int = 2
    share: bool = False
    held_out: bool = False
    of_class: bool = True

    def sentence(self, direction: Direction) -> str:
        """How new images differ."""
        varies = f"the {self.what.partition(',')[0]} varies differently"
        return {"higher": self.higher, "lower": self.lower, "spread": varies}[direction]

    def text(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:.0%}" if self.share else f"{value:.{self.digits}f}{self.unit}"


MEASURES = (
    Measure("side_px", "size, px", "images are larger", "images are smaller", " px", 0),
    Measure("aspect", "width / height", "images are wider", "images are narrower"),
    Measure("bytes_per_px", "bytes per pixel", "files are less compressed",
            "files are more compressed", " bytes per pixel", 1),
    Measure("black_level", "darkest grey of the brain, 0 to 255",
            "the darkest grey of the brain is brighter", "the darkest grey of the brain is darker",
            digits=0),
    Measure("white_level", "brightest grey of the brain, 0 to 255", "brains are brighter",
            "brains are darker", digits=0),
    Measure("head_mean", "mean grey of the brain, 0 to 1",
            "brains are brighter after preprocessing", "brains are darker after preprocessing"),
    Measure("head_deviation", "contrast of the brain, 0 to 1", "brains have more contrast",
            "brains have less contrast"),
    Measure("detail", "fine detail, differences of neighbours", "images are sharper or noisier",
            "images are more blurred or less noisy", digits=3),
    Measure("head_fraction", "brain area, fraction of the image", "brains fill more of the image",
            "brains fill less of the image"),
    Measure("confidence", "confidence of the alignment, 0 to 1", "brains are aligned more surely",
            "brains are aligned less surely (cut off, other shapes, no brains)"),
    Measure("axial", "share of axial slices", "more slices are axial", "fewer slices are axial",
            share=True),
    Measure("is_yes", "share of tumour images", "more images show a tumour",
            "fewer images show a tumour", share=True, of_class=False),
    Measure("distance", "distance to training images, standard deviations",
            "images lie farther from the training images, as the network sees them",
            "images lie nearer to the training images, as the network sees them", held_out=True),
    Measure("right", "probability of the true class", "the model is surer of the true class",
            "the model is less sure of the true class", held_out=True),
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Values of images and the weight of each in the comparison (they sum to 1)."""

    values: Floats
    weights: Floats

    def quantile(self, fraction: float) -> float:
        """The value below which that fraction of the weight lies."""
        order = np.argsort(self.values)
        reached = np.cumsum(self.weights[order])
        index = int(np.searchsorted(reached, fraction * reached[-1] - 1e-9))
        return float(self.values[order][min(index, len(order) - 1)])

    def typical(self, *, share: bool) -> float:
        """The mean of a share, else the median."""
        if share:
            return float(np.average(self.values, weights=self.weights))
        return self.quantile(0.5)


@dataclass(frozen=True)
class Comparison:
    """A measure of the reference and of the new images.

    Attributes:
        reference: the champion's images, weighted to the classes of the new ones.
        adjusted_p: p, adjusted for all the measures (Benjamini and Hochberg).
        warns: whether the difference is sure and large enough.
    """

    measure: Measure
    reference: Sample
    new: Sample
    difference: Difference
    adjusted_p: float
    warns: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        share = self.measure.share
        return {
            "name": self.measure.name,
            "what": self.measure.what,
            "compared_with": "val and test images" if self.measure.held_out else "all images",
            "typical": "share" if share else "median",
            "reference": self.reference.typical(share=share),
            "new": self.new.typical(share=share),
            "effect": self.difference.effect,
            "direction": self.difference.direction,
            "p": self.difference.p,
            "adjusted_p": self.adjusted_p,
            "warns": self.warns,
        }

    def sentence(self) -> str:
        """The difference in plain words."""
        difference = self.measure.sentence(self.difference.direction)
        sure = f"KS {self.difference.effect:.2f}, adjusted p {self.adjusted_p:.2g}"
        return f"{difference}: {self._figures()} ({sure})"

    def _figures(self) -> str:
        text, share = self.measure.text, self.measure.share
        if self.difference.direction == "spread":
            low, high = (text(self.new.quantile(q)) for q in (0.1, 0.9))
            before = " to ".join(text(self.reference.quantile(q)) for q in (0.1, 0.9))
            return f"80% lie in {low} to {high} against {before}"
        new, before = (text(part.typical(share=share)) for part in (self.new, self.reference))
        return f"{'' if share else 'median '}{new} against {before}"


@dataclass(frozen=True)
class Counts:
    """How many images, or clusters, were compared."""

    reference: int = 0
    new: int = 0


@dataclass(frozen=True)
class Drift:
    """How the images that are new to the champion differ from those it was made from.

    Attributes:
        champion: URI of the version compared with; None if there is none.
        images: counts; those of the reference are all of train, val and test.
        clusters: counts of what copies or a patient join.
        measures: empty where nothing could be compared; `note` says why.
    """

    champion: str | None
    images: Counts = Counts()
    clusters: Counts = Counts()
    measures: tuple[Comparison, ...] = ()
    note: str = ""

    @cached_property
    def warned(self) -> tuple[Comparison, ...]:
        """Measures that warn, the largest difference first."""
        warned = [compared for compared in self.measures if compared.warns]
        return tuple(sorted(warned, key=lambda compared: -compared.difference.effect))

    def warnings(self) -> list[str]:
        """A line for each."""
        return [compared.sentence() for compared in self.warned]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "champion": self.champion,
            "images": asdict(self.images),
            "clusters": asdict(self.clusters),
            "note": self.note,
            "warnings": self.warnings(),
            "measures": [compared.as_dict() for compared in self.measures],
        }


def with_model_measures(
    images: pd.DataFrame, features: NDArray[np.float32], neighbours: int
) -> pd.DataFrame:
    """Add the columns is_new, is_yes, right and distance.

    Args:
        images: columns label, split ("" for new images), cluster, probability.
        features: of the same images, (images, channels).
        neighbours: see `training_distance`.
    """
    is_yes = (images["label"] == "yes").to_numpy()
    probability = images["probability"].to_numpy(np.float64)
    is_training = (images["split"] == "train").to_numpy()
    cluster = images["cluster"].to_numpy(str)
    return images.assign(
        is_new=images["split"] == "",
        is_yes=is_yes.astype(np.float64),
        right=np.where(is_yes, probability, 1 - probability),
        distance=training_distance(features, is_training, cluster, neighbours),
    )


def measure_all(images: pd.DataFrame, params: DriftParams) -> tuple[Comparison, ...]:
    """Compare new images with the reference in every measure there are columns of.

    A measure is left out where the reference has fewer than `params.min_clusters` clusters for it.
    `images` are as `with_model_measures` gives them.
    """
    from scipy.stats import false_discovery_control

    rows = [
        (measure, *compared)
        for measure in MEASURES
        if measure.name in images and (compared := _compare(measure, images, params))
    ]
    adjusted = false_discovery_control([row[-1].p for row in rows]) if rows else []
    return tuple(
        Comparison(
            *row,
            adjusted_p=float(p),
            warns=bool(p < params.alpha and row[-1].effect >= params.min_effect),
        )
        for row, p in zip(rows, adjusted, strict=True)
    )


def _compare(
    measure: Measure, images: pd.DataFrame, params: DriftParams
) -> tuple[Sample, Sample, Difference] | None:
    """Reference, new images and how they differ; None where there are too few."""
    if measure.held_out:
        images = images[images["split"] != "train"]
    layout = design(
        images["cluster"].to_numpy(str),
        images["is_new"].to_numpy(bool),
        images["is_yes"].to_numpy() > 0,
        of_class=measure.of_class,
    )
    if np.count_nonzero(~layout.is_new) < params.min_clusters:
        return None
    values = np.round(images[measure.name].to_numpy(np.float64), measure.digits)
    is_new, weights = layout.is_new[layout.unit], np.abs(layout.image_weights())
    reference, new = (Sample(values[side], weights[side]) for side in (~is_new, is_new))
    return reference, new, compare(values, layout, params.permutations, params.seed)


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
        UserError: `uri` names no model of MLflow's, the profile is unreadable, or (as
            `ModelUnusableError`) the model cannot be run.
    """
    client = connection.connect()
    version = named_version(client, uri)
    if version is None:
        return Drift(None, note=f"There is no {uri} to compare with.")
    reference = _profile(client, version)
    if reference is None:
        note = "It has no profile of its images (registered before there were any), or lost it."
        return Drift(version.uri, note=f"{note} The next model that is registered has one.")
    images = _with_new_images(reference.table, _present(data, validate))
    return _compared(version, reference, images, data, params)


def _compared(
    version: Version,
    reference: bundle.Profile,
    images: pd.DataFrame,
    data: Path,
    params: DriftParams,
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
    looks = pd.concat([reference.table.drop(columns=list(bundle.KEYS)), pd.DataFrame(rows)])
    described = pd.concat([images, looks.set_axis(images.index)], axis=1)
    both = np.concatenate([reference.features, features])
    measures = measure_all(with_model_measures(described, both, params.neighbours), params)
    return Drift(version.uri, counts, groups, measures)


def _profile(client: Any, version: Version) -> bundle.Profile | None:
    """The profile in a registered model; None if it has none."""
    if models.missing_files(client, version, bundle.PROFILE_PATHS):
        return None
    with tempfile.TemporaryDirectory() as temporary:
        folder = models.fetch(version, bundle.PROFILE_FOLDER, Path(temporary))
        wanted = version.tags.get("md5.profile")
        if wanted is not None and lineage.md5(folder) != wanted:
            raise UserError(
                f"{version.uri}: its {bundle.PROFILE_FOLDER}/ is not the one that was registered; "
                "`dvc repro -f register` registers the model anew"
            )
        return bundle.Profile.load(folder)


def _present(data: Path, validate: ValidateParams) -> pd.DataFrame:
    """The manifest of the data folder as it is now, with clusters."""
    listing = find_images(data, validate)
    if not listing.images:
        raise UserError(f"{data}: no images of the classes {' and '.join(validate.folders)}")
    manifest = describe_files(data, listing, validate)
    return manifest.assign(cluster=clusters(manifest).to_numpy())


def _with_new_images(reference: pd.DataFrame, present: pd.DataFrame) -> pd.DataFrame:
    """The profile's images, then the new ones, in clusters that take in both.

    What joined images then and what joins them now counts: a new slice of a reference patient is of
    that patient's cluster.
    """
    new = present[~present["sha256"].isin(reference["sha256"])].assign(split="")
    images = pd.concat([reference[list(bundle.KEYS)], new[list(bundle.KEYS)]], ignore_index=True)
    now = present.drop_duplicates("sha256").set_index("sha256")["cluster"]
    then = [f"then {name}" for name in reference["cluster"]] + [""] * len(new)
    since = [f"now {name}" for name in images["sha256"].map(now).fillna("")]
    pairs = [*sharing(then), *sharing([name if name != "now " else "" for name in since])]
    names = [f"{index:08d}" for index in range(len(images))]
    return images.assign(cluster=grouped(names, pairs))


_REFERENCE, _NEW, _WARNED = "#9aa5b1", "#0072b2", "#d55e00"
_COLUMNS, _BINS = 4, 24
_PANEL_IN = (3.3, 2.5)


def save_figure(path: Path, drift: Drift) -> None:
    """Draw the distributions of both samples as a PNG, a panel per measure; no image is shown.

    Measures that warn come first and are orange.
    """
    from matplotlib.figure import Figure

    ordered = [*drift.warned, *(compared for compared in drift.measures if not compared.warns)]
    rows = -(-len(ordered) // _COLUMNS)
    size = (_PANEL_IN[0] * _COLUMNS, _PANEL_IN[1] * rows + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, compared in zip(panels, ordered, strict=False):
        _draw(axes, compared)
    for axes in panels[len(ordered) :]:
        axes.axis("off")
    figure.legend(handles=_legend(), loc="outside lower center", ncols=3, frameon=False)
    images, groups = drift.images, drift.clusters
    title = (
        f"{images.new} new images ({groups.new} groups) against {images.reference} of "
        f"{drift.champion} ({groups.reference} groups): {len(drift.warned)} of "
        f"{len(drift.measures)} measures warn"
    )
    figure.suptitle(title, fontsize=12)
    with replacing(path) as aside:
        figure.savefig(aside, dpi=110, metadata={"Software": None})


def _legend() -> list[Any]:
    from matplotlib.patches import Patch

    return [
        Patch(color=_REFERENCE, label="the champion's images, weighted to the new ones' classes"),
        Patch(fill=False, edgecolor=_NEW, label="new images"),
        Patch(fill=False, edgecolor=_WARNED, label="new images that differ"),
    ]


def _draw(axes: Any, compared: Comparison) -> None:
    colour = _WARNED if compared.warns else _NEW
    samples = (compared.reference, compared.new)
    if compared.measure.share:
        shares = [sample.typical(share=True) for sample in samples]
        for place, (share, shade) in enumerate(zip(shares, (_REFERENCE, colour), strict=True)):
            axes.bar(place, share, color=shade, width=0.6)
            axes.text(place, share + 0.02, f"{share:.0%}", ha="center", fontsize=8)
        axes.set_xticks([0, 1], ["reference", "new"])
        axes.set_ylim(0, 1.15)
    else:
        edges = np.linspace(*_range(compared), _BINS + 1)
        for sample, filled in zip(samples, (True, False), strict=True):
            values = np.clip(sample.values, edges[0], edges[-1])
            look: dict[str, Any] = {"histtype": "stepfilled", "color": _REFERENCE}
            if not filled:
                look = {"histtype": "step", "color": colour, "linewidth": 1.8}
            axes.hist(values, edges, weights=sample.weights, **look)
    _label(axes, compared, colour)


def _label(axes: Any, compared: Comparison, colour: str) -> None:
    sure = f"KS {compared.difference.effect:.2f}, adj. p {compared.adjusted_p:.2g}"
    title = f"WARNING  {sure}" if compared.warns else sure
    weight = "bold" if compared.warns else "normal"
    axes.set_title(
        title, fontsize=9, fontweight=weight, color=colour if compared.warns else "black"
    )
    held_out = "\n(reference: val and test images)" if compared.measure.held_out else ""
    axes.set_xlabel(f"{compared.measure.what}{held_out}", fontsize=8)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _range(compared: Comparison) -> tuple[float, float]:
    """From the lower to the upper end of both samples, without the outermost hundredth."""
    ends = [[s.quantile(q) for q in (0.01, 0.99)] for s in (compared.reference, compared.new)]
    low, high = min(end[0] for end in ends), max(end[1] for end in ends)
    margin = 0.05 * (high - low) or max(abs(low) * 0.05, 0.5)
    return low - margin, high + margin
