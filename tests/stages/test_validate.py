"""The stage as `dvc repro` calls it; great_expectations takes seconds to import."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import Result

from brain_tumor.outputs import read_manifest
from brain_tumor.stages.validate import main
from tests import sections
from tests.data.growing import files
from tests.data.pictures import smooth
from tests.stages.command import invoke

pytestmark = pytest.mark.slow

ONE_EACH = {"no": 1, "yes": 1}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for seed in range(8):
        file = tmp_path / "data" / ("no" if seed < 4 else "yes") / f"{seed}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        smooth(seed).save(file)
    (tmp_path / "data" / "yes" / "left out.png").write_bytes(b"broken")
    sections.write_params(
        tmp_path,
        validate={"exclude": [{"path": "yes/left out.png", "reason": "blurred"}]},
        split={"mode": "counts", "counts": {"val": ONE_EACH, "test": ONE_EACH, "train": None}},
    )
    return tmp_path


def run(project: Path) -> Result:
    return invoke(main, project)


def test_good_data_gives_a_manifest_report_and_data_docs_the_same_each_time(project: Path) -> None:
    result = run(project)
    assert result.exit_code == 0, result.output
    first = files(project / "outputs")
    assert sorted(first) == [
        "manifest.csv",
        "validate/data_docs/index.html",
        "validate/report.json",
    ]
    report = json.loads(first["validate/report.json"])
    assert (report["ok"], report["images"], report["no"], report["yes"]) == (True, 8, 4, 4)
    assert report["excluded"] == [{"path": "yes/left out.png", "reason": "blurred"}]
    assert len(report["expectations"]) == 12
    assert all(outcome["success"] for outcome in report["expectations"])
    assert len(read_manifest(project / "outputs" / "manifest.csv")) == 8
    page = first["validate/data_docs/index.html"].decode()
    assert "http" not in page
    assert "<script" not in page
    assert "sha256 is 64 hexadecimal digits" in page
    shutil.rmtree(project / "outputs")
    assert run(project).exit_code == 0
    assert files(project / "outputs") == first


def test_bad_data_gives_reasons_report_and_data_docs_but_no_manifest(project: Path) -> None:
    assert run(project).exit_code == 0
    assert (project / "outputs" / "manifest.csv").exists()
    (project / "data" / "no" / "0.png").write_bytes(b"")
    shutil.copy(project / "data" / "no" / "1.png", project / "data" / "yes" / "<b>1.png")
    result = run(project)
    assert result.exit_code == 1
    assert "error: no/0.png: empty file (0 bytes)\n" in result.stderr
    assert "error: no/1.png: same bytes as yes/<b>1.png, which is of the other" in result.stderr
    written = files(project / "outputs")
    assert sorted(written) == ["validate/data_docs/index.html", "validate/report.json"]
    report = json.loads(written["validate/report.json"])
    assert not report["ok"]
    assert report["errors"][0] == {"path": "no/0.png", "reason": "empty file (0 bytes)"}
    unmet = [outcome["name"] for outcome in report["expectations"] if not outcome["success"]]
    assert unmet == [
        "every file is one readable image of one class",
        "no duplicates across classes",
    ]
    page = written["validate/data_docs/index.html"].decode()
    assert "no/0.png: empty file (0 bytes)" in page
    assert "&lt;b&gt;1.png" in page
    assert "<b>1.png" not in page


def test_data_docs_say_which_data_and_how_many_copies(project: Path) -> None:
    (project / "data.dvc").write_text(
        "meta: {source: phantom, added: [{name: site-b, label: yes, files: 2}]}\nouts: []\n"
    )
    shutil.copy(project / "data/yes/5.png", project / "data/yes/again.png")
    assert run(project).exit_code == 0
    page = files(project / "outputs")["validate/data_docs/index.html"].decode()
    assert (
        "data/ (source: phantom; added: site-b (2 yes)): 9 images (4 no, 5 yes), 8 of them "
        "distinct. 2 lie in 1 groups of copies or near-copies, of them 2 in 1 groups of identical "
        "bytes."
    ) in page
    (project / "data/yes/again.png").unlink()
    assert run(project).exit_code == 0
    page = files(project / "outputs")["validate/data_docs/index.html"].decode()
    assert "8 images (4 no, 4 yes), 8 of them distinct. No copies were found." in page


def test_no_data_at_all_is_reported_too(project: Path) -> None:
    shutil.rmtree(project / "data")
    result = run(project)
    assert result.exit_code == 1
    assert "error: .: data folder" in result.stderr
    report = json.loads((project / "outputs" / "validate" / "report.json").read_text())
    assert (report["ok"], report["images"], report["distinct"]) == (False, 0, 0)


def test_params_that_do_not_fit_are_named_and_leave_no_old_manifest(project: Path) -> None:
    assert run(project).exit_code == 0
    sections.write_params(project, validate={"min_side": 3})
    result = run(project)
    assert result.exit_code == 1
    assert "validate.min_side: unknown key, did you mean 'min_side_px'?" in result.stderr
    assert not (project / "outputs" / "manifest.csv").exists()
