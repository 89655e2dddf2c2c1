"""Phantom slices, and what people do to pictures before they share them again."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from PIL import Image, ImageEnhance, ImageOps

from brain_tumor.data.phantom.folder import generate
from brain_tumor.settings import PhantomParams, load

Edit = Callable[[Image.Image], Image.Image]

PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"


def write_phantoms(folder: Path, seed: int, each: int) -> None:
    """Write `each` phantom images of either class, no two of them copies."""
    params = load(PARAMS, "phantom", PhantomParams).model_copy(
        update={
            "seed": seed,
            "no": each,
            "yes": each,
            "exact_duplicates": 0,
            "near_duplicates": 0,
        }
    )
    generate(folder, params)


@cache
def pictures(root: Path, seed: int, each: int = 6) -> list[Path]:
    """Files of phantoms in a folder of their own below `root`."""
    folder = root / f"phantoms-{seed}"
    write_phantoms(folder, seed, each)
    return sorted([*(folder / "no").glob("*.png"), *(folder / "yes").glob("*.png")])


def larger(image: Image.Image) -> Image.Image:
    return image.resize((image.width * 3 // 2, image.height * 3 // 2))


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.2)


def save_edited(source: Path, target: Path, edit: Edit, *, mirrored: bool = False) -> Path:
    """Write an edited picture; as JPEG of low quality where the name says so."""
    with Image.open(source) as image:
        changed = edit(ImageOps.mirror(image) if mirrored else image.copy())
    changed.save(target, quality=60)
    return target
