"""Stage preprocess, and stage augment on what it writes."""

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from brain_tumor import outputs
from brain_tumor.shards import open_images
from brain_tumor.stages import augment, preprocess
from tests import sections
from tests.imaging.drawn_heads import head
from tests.stages.command import invoke
from tests.stored import spoil

PREPROCESS = {"size_px": 80}
PATHS = ["no/a.png", "no/b.png", "yes/c.png", "yes/d.png"]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "1")
    write_params(tmp_path, copies=2)
    for number, path in enumerate(PATHS):
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(head(150, 120, seed=number)).save(file)
    labels = [path.split("/")[0] for path in PATHS]
    table = pd.DataFrame(
        {"path": PATHS, "label": labels, "split": ["train", "test", "val", "train"]}
    )
    absent = set(outputs.MANIFEST_COLUMNS) - {*table, "group"}
    manifest = table.assign(**dict.fromkeys(sorted(absent), 0), group=PATHS)
    monkeypatch.chdir(tmp_path)
    outputs.write_manifest(manifest)
    outputs.write_split(manifest)
    return tmp_path


def write_params(folder: Path, copies: int) -> None:
    augment = {"copies": copies, "phantoms": 0}
    sections.write_params(folder, preprocess=PREPROCESS, augment=augment)


def test_the_stages_write_what_they_say_and_augment_reads_training_images_only(
    project: Path,
) -> None:
    preprocess.main()
    assert open_images(outputs.IMAGES, PATHS).shape == (4, 80, 80)
    assert pd.read_csv(outputs.RECORDS)["path"].tolist() == PATHS
    summary = json.loads(outputs.PREPROCESS_SUMMARY.read_text())
    assert summary["all"]["images"] == 4
    assert len(list(outputs.PREPROCESS_FIGURES.iterdir())) == 4

    spoil(outputs.IMAGES, ["no/b.png", "yes/c.png"])
    augment.main()
    table = pd.read_csv(outputs.AUGMENTED_RECORDS)
    assert table["source"].tolist() == ["no/a.png", "no/a.png", "yes/d.png", "yes/d.png"]
    assert table["label"].tolist() == ["no", "no", "yes", "yes"]
    assert open_images(outputs.AUGMENTED_IMAGES, table["path"].tolist()).shape == (4, 80, 80)
    assert outputs.AUGMENTED_SHEET.is_file()


def test_a_broken_image_stops_the_stage_and_leaves_no_images(project: Path) -> None:
    (project / "data" / "yes" / "c.png").write_bytes(b"broken")
    result = invoke(preprocess.main, project)
    assert result.exit_code == 1
    assert "error: yes/c.png: cannot decode" in result.stderr
    assert not outputs.IMAGES.exists()


def test_without_copies_the_records_are_empty_but_there(project: Path) -> None:
    preprocess.main()
    write_params(project, copies=0)
    augment.main()
    assert outputs.AUGMENTED_RECORDS.read_text() == "path,source,label\n"
