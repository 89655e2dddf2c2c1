"""The stage as evidence/dvc.yaml calls it, on a small model and pictures of discs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML
from tests import sections
from tests.inference.toy import disc, write_model
from tests.stage_here import run_here

from brain_tumor.inference import bundle
from brain_tumor.outputs import write_manifest, write_split

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
SECTIONS = """\
robustness: {seed: 0, noise: [0.05], blur: [0.02], contrast: [0.5], rotation: [10.0], jpeg: [20]}
summary: {seed: 0, bootstrap_resamples: 30}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stage reads, where it reads it; two of the six test images are one group."""
    outputs = tmp_path / "outputs"
    rows = []
    for number in range(8):
        label = ("no", "yes")[number >= 4]
        path = tmp_path / "data" / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(disc(80.0 + 20 * number))
        texts = {"sha256": f"{number}", "dhash": f"{number:016x}", "format": "PNG", "mode": "L"}
        sizes = {"width": 120, "height": 90, "bytes": path.stat().st_size, "patient": ""}
        where = {"path": f"{label}/{path.name}", "label": label, "group": str(max(number, 1))}
        rows.append(where | texts | sizes | {"split": "train" if number in (3, 4) else "test"})
    table = pd.DataFrame(rows)
    outputs.mkdir()
    write_manifest(table.drop(columns="split"), outputs / "manifest.csv")
    write_split(table, outputs / "split.csv")
    made = write_model(tmp_path / "model")
    homes: dict[str, tuple[str, ...]] = {
        "train": bundle.FILES[:1],
        "calibrate": bundle.FILES[1:2],
        "preprocess": bundle.FILES[2:3],
        "export": bundle.FILES[4:],
    }
    for stage, names in homes.items():
        (outputs / stage).mkdir()
        for name in names:
            shutil.copyfile(made / name, outputs / stage / name)
    preprocess = bundle.load_preprocess(made)
    sections.write_params(tmp_path, preprocess=preprocess.model_dump(mode="json"))
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "params.yaml").write_text(SECTIONS)
    return tmp_path


def command() -> str:
    described = YAML(typ="safe", pure=True).load((ROOT / "evidence" / "dvc.yaml").read_text())
    return str(described["stages"]["robustness"]["cmd"])


def run(project: Path) -> subprocess.CompletedProcess[str]:
    words = command().split()
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=project, capture_output=True, text=True, check=False
    )


def test_the_stage_judges_test_images_alone_at_every_level(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stderr
    folder = project / "docs" / "evidence"
    said = pd.read_csv(folder / "robustness_predictions.csv")
    assert len(said) == 6 * 6
    assert not set(said["path"]) & {"no/3.png", "yes/4.png"}
    found = json.loads((folder / "robustness.json").read_text())
    assert (found["images"], found["clusters"]) == (6, 5)
    kinds = [one["kind"] for one in found["conditions"]]
    assert kinds == ["none", "noise", "blur", "contrast", "rotation", "jpeg"]
    assert all({"accuracy", "brier", "ece"} <= set(one["figures"]) for one in found["conditions"])
    assert "JPEG" in (folder / "robustness.md").read_text()
    assert (folder / "figures" / "robustness.svg").read_text().startswith("<svg")


def test_an_image_that_is_gone_is_one_line(project: Path) -> None:
    (project / "data" / "yes" / "6.png").unlink()
    done = run_here(command(), project)
    assert done.returncode == 1
    assert "yes/6.png" in done.stderr
    assert "Traceback" not in done.stderr
