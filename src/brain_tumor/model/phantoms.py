"""Phantoms beside the training images: planes, contrasts and tumours that the data may lack.

The 253 images are axial almost without exception, and a network that saw no other plane calls
healthy sagittal pictures tumours. Each phantom comes as a pair, the same slice with and without
tumour, so that nothing but the tumour tells the two classes apart.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brain_tumor.dataset.phantom.geometry import PLANES
from brain_tumor.dataset.phantom.slices import make_slice
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_grey
from brain_tumor.imaging.records import save_image, stored
from brain_tumor.imaging.workers import spread
from brain_tumor.settings import PhantomParams, PreprocessParams

SOURCE = "phantom"  # where a manifest path has its class
_SEED = 1_000_000  # added to the seed: patients apart from those of a phantom data set
_PARAMS = PhantomParams(tumour_radius_mm=(10.0, 33.0))  # small ones too


@dataclass(frozen=True)
class PhantomImage:
    """One phantom among the training images.

    Attributes:
        path: its name, as a manifest path is one: `phantom/<pair>-<plane>-<label>`.
        label: `no` or `yes`.
        pair: number of the pair; it fixes patient, plane and contrast.
    """

    path: str
    label: str
    pair: int

    @property
    def plane(self) -> str:
        """Axial, coronal or sagittal."""
        return PLANES[self.pair % len(PLANES)]


def phantom_images(count: int) -> list[PhantomImage]:
    """Which phantoms `count` (even) of them are: the first are the same however many."""
    pairs = [(pair, PLANES[pair % len(PLANES)]) for pair in range(count // 2)]
    return [
        PhantomImage(f"{SOURCE}/{pair:04d}-{plane}-{label}", label, pair)
        for pair, plane in pairs
        for label in ("no", "yes")
    ]


def write_phantoms(
    phantoms: list[PhantomImage], folder: Path, atlas: Atlas, params: PreprocessParams, seed: int
) -> None:
    """Make phantoms and store them preprocessed as every image is, over processes.

    Args:
        phantoms: which.
        folder: written to: `<path>.png`, uint8 (size_px, size_px).
        atlas: of stage preprocess.
        params: section `preprocess`.
        seed: of anatomy, tumours and scanner.
    """
    for _ in spread(partial(_write, _Job(folder, atlas, params, seed)), phantoms, "phantoms"):
        pass


@dataclass(frozen=True)
class _Job:
    folder: Path
    atlas: Atlas
    params: PreprocessParams
    seed: int


def _write(job: _Job, phantom: PhantomImage) -> None:
    contrast = phantom.pair // len(PLANES)
    made = make_slice(
        _SEED + job.seed, phantom.pair, contrast, phantom.label == "yes", _PARAMS, phantom.plane
    )
    image = preprocess_grey(made.image, job.atlas, job.params).image
    save_image(stored(job.folder, phantom.path), image)
