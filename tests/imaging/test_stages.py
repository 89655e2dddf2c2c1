import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from brain_tumor.outputs import load_images
from brain_tumor.stages import augment, preprocess

PARAMS = """
preprocess: {size_px: 80, axial_mm: [0, 30], coronal_mm: [], sagittal_mm: [], refined_slices: 1}
augment: {copies: 2}
"""
PATHS = ["no/a.png", "no/b.png", "yes/c.png", "yes/d.png"]


@pytest.fixture
def project(tmp_path: Path, simulate: Callable[[int, str], Any]) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMS)
    for number, path in enumerate(PATHS):
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(simulate(number, "axial").image).save(file)
    labels = [path.split("/")[0] for path in PATHS]
    table = pd.DataFrame(
        {"path": PATHS, "label": labels, "split": ["train", "test", "val", "train"]}
    )
    table.to_csv(tmp_path / "manifest.csv", index=False)
    table.to_csv(tmp_path / "split.csv", index=False)
    return tmp_path


def run_preprocess(project: Path) -> None:
    preprocess.main(
        data=project / "data",
        manifest=project / "manifest.csv",
        atlas=project / "atlas.npz",
        images=project / "images",
        records=project / "records.csv",
        figures=project / "figures",
        summary=project / "summary.json",
        params=project / "params.yaml",
    )


def run_augment(project: Path) -> None:
    augment.main(
        split=project / "split.csv",
        images=project / "images",
        atlas=project / "atlas.npz",
        augmented=project / "augmented",
        records=project / "augmented.csv",
        sheet=project / "sheet.png",
        params=project / "params.yaml",
    )


def test_the_stages_write_what_they_say_and_augment_reads_training_images_only(
    project: Path,
) -> None:
    run_preprocess(project)
    assert load_images(project / "images", PATHS).shape == (4, 80, 80)
    assert pd.read_csv(project / "records.csv")["path"].tolist() == PATHS
    summary = json.loads((project / "summary.json").read_text())
    assert summary["all"]["images"] == 4
    assert len(list((project / "figures").iterdir())) == 4

    for path in ("no/b.png", "yes/c.png"):
        (project / "images" / f"{path}.png").unlink()
    run_augment(project)
    table = pd.read_csv(project / "augmented.csv")
    assert table["source"].tolist() == ["no/a.png", "no/a.png", "yes/d.png", "yes/d.png"]
    assert table["label"].tolist() == ["no", "no", "yes", "yes"]
    assert load_images(project / "augmented", table["path"].tolist()).shape == (4, 80, 80)
    assert (project / "sheet.png").is_file()


def test_a_broken_image_stops_the_stage_and_leaves_no_images(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "data" / "yes" / "c.png").write_bytes(b"broken")
    with pytest.raises(SystemExit) as stopped:
        run_preprocess(project)
    assert stopped.value.code == 1
    assert "error: yes/c.png: cannot decode" in capsys.readouterr().err
    assert not (project / "images").exists()


def test_without_copies_the_records_are_empty_but_there(project: Path) -> None:
    run_preprocess(project)
    (project / "params.yaml").write_text(PARAMS.replace("copies: 2", "copies: 0"))
    run_augment(project)
    assert (project / "augmented.csv").read_text() == "path,source,label\n"
