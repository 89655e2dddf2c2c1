"""Which figures stage preprocess draws, of which images."""

from collections.abc import Mapping
from pathlib import Path

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.figures import before_after, ratio_histogram, steps_figure
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.record import Record
from brain_tumor.imaging.sheets import evenly
from brain_tumor.settings import PreprocessParams

_STEPS_PER_CLASS = 2


def draw_figures(
    data: Path,
    images: Path,
    records: Mapping[str, tuple[str, Record]],
    atlas: Atlas | None,
    params: PreprocessParams,
    folder: Path,
) -> None:
    """Draw `ratios.png`, `steps.png` and `before_after_<class>.png` for each class.

    Args:
        data: folder of the raw images.
        images: folder of the stored ones.
        records: class and record of each image by manifest path, sorted.
        atlas: as in `preprocess_image`.
        params: section `preprocess`.
        folder: where the figures go; it is made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    classes = sorted({label for label, _ in records.values()})
    members = {
        label: [path for path, (own, _) in records.items() if own == label] for label in classes
    }
    ratios = {
        label: [records[path][1].width / records[path][1].height for path in paths]
        for label, paths in members.items()
    }
    ratio_histogram(ratios, folder / "ratios.png")
    shown = [path for paths in members.values() for path in _middle(paths)]
    done = {path: preprocess_image((data / path).read_bytes(), atlas, params) for path in shown}
    steps_figure(done, folder / "steps.png")
    for label, paths in members.items():
        before_after(data, images, paths, folder / f"before_after_{label}.png", label)


def _middle(paths: list[str]) -> list[str]:
    return evenly(paths, _STEPS_PER_CLASS + 2)[1:-1] or paths[:_STEPS_PER_CLASS]
