from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests import sections

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.decode import decode
from brain_tumor.imaging.folder import PreprocessError, preprocess_folder
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.preprocess_figures import draw_figures
from brain_tumor.imaging.summary import summarise
from brain_tumor.outputs import load_images

PARAMS = sections.preprocess(
    size_px=96, axial_mm=(0, 30), coronal_mm=(), sagittal_mm=(), refined_slices=1
)
PATHS = [f"{label}/a {number}.jpg" for label in ("no", "yes") for number in range(4)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, simulate: Callable[[int, str], Any]) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for number, path in enumerate(PATHS):
        (folder / path).parent.mkdir(exist_ok=True)
        Image.fromarray(simulate(number, "axial").image).save(folder / path, quality=95)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_any_number_of_workers_writes_what_one_image_alone_gives(
    data: Path, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, records = [], []
    for workers in ("1", "2"):
        monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
        images = tmp_path / workers
        records.append(preprocess_folder(data, PATHS, images, atlas, PARAMS))
        written.append(contents(images))
    assert written[0] == written[1]
    assert records[0] == records[1]
    assert list(written[0]) == [f"{path}.png" for path in PATHS]
    alone = preprocess_image((data / PATHS[3]).read_bytes(), atlas, PARAMS)
    np.testing.assert_array_equal(load_images(tmp_path / "2", [PATHS[3]])[0], alone.image)
    assert alone.record == records[1][3]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_broken_image_is_named(
    workers: str, data: Path, atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    (data / "no" / "broken.png").write_bytes(b"no image")
    with pytest.raises(PreprocessError, match=r"no/broken\.png: cannot decode"):
        preprocess_folder(data, ["no/broken.png", *PATHS], tmp_path, atlas, PARAMS)


@pytest.mark.parametrize("workers", ["0", "two", "-1"])
def test_a_senseless_number_of_workers_is_refused(
    workers: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
    with pytest.raises(ValueError, match=f"BRAIN_TUMOR_WORKERS={workers}"):
        preprocess_folder(data, PATHS, tmp_path, None, PARAMS)


def test_figures_repeat_and_stay_small(data: Path, tmp_path: Path) -> None:
    params = sections.preprocess(size_px=96, normalisation="none")
    done = preprocess_folder(data, PATHS, tmp_path / "images", None, params)
    facts = {
        path: (path[: path.index("/")], record) for path, record in zip(PATHS, done, strict=True)
    }
    for name in ("first", "second"):
        draw_figures(data, tmp_path / "images", facts, None, params, tmp_path / name)
    drawn = contents(tmp_path / "first")
    assert drawn == contents(tmp_path / "second")
    assert set(drawn) == {"ratios.png", "steps.png", "before_after_no.png", "before_after_yes.png"}
    for content in drawn.values():
        assert len(content) < 300_000
        assert np.ptp(decode(content)) > 200


def test_the_summary_counts_fallbacks_by_class(data: Path, atlas: Atlas, tmp_path: Path) -> None:
    strict = PARAMS.model_copy(update={"min_information": 1.0})
    fell = preprocess_folder(data, PATHS[4:], tmp_path, atlas, strict)
    kept = preprocess_folder(data, PATHS[:4], tmp_path, atlas, PARAMS)
    summary = summarise(["yes"] * 4 + ["no"] * 4, fell + kept)
    assert summary["yes"]["fallback"] == {
        "count": 4,
        "fraction": 1.0,
        "reasons": {"information": 4},
    }
    assert summary["no"]["fallback"]["count"] == 0
    assert summary["no"]["planes"] == {"axial": 4}
    assert summary["all"]["fallback"]["fraction"] == 0.5
