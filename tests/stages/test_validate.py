"""The stage as `dvc repro` calls it; great_expectations takes seconds to import."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
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
    assert len(report["expectations"]) == 18
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
    unmet = {item["name"]: item for item in report["expectations"] if not item["success"]}
    (copies,) = [name for name in unmet if name.startswith("no copies across classes")]
    assert unmet[copies]["files"] == ["no/1.png (2)", "yes/<b>1.png (2)"]
    assert f"not met: {copies} (observed: no/1.png (2), yes/<b>1.png (2))" in result.stderr
    assert "validate.near_duplicate_max_hamming = 6 bits" in copies
    del unmet[copies]
    assert {name: ", ".join(item["files"]) for name, item in unmet.items()} == {
        "every file is an image whose header can be read": "no/0.png",
        "the grey levels of every image are known": "no/0.png",
    }
    page = written["validate/data_docs/index.html"].decode()
    assert "no/0.png: empty file (0 bytes)" in page
    assert "&lt;b&gt;1.png" in page
    assert "<b>1.png" not in page


def test_great_expectations_name_each_limit_and_the_files_that_break_it(project: Path) -> None:
    """The verdict is on the facts alone: without our own errors it would be the same."""
    no, yes = project / "data/no", project / "data/yes"
    smooth(20, side_px=200).save(no / "large.png")
    smooth(21, side_px=40).save(no / "small.png")
    smooth(22).save(no / "pages.tif", save_all=True, append_images=[smooth(23)])
    smooth(24).convert("1").save(yes / "one bit.png")
    Image.new("L", (96, 96), 9).save(yes / "even.png")
    (yes / "text.png").write_text("no picture")
    (yes / "cut.png").write_bytes(files(project)["data/yes/4.png"][:3000])
    written = files(project / "data")
    names = sorted(path for path in written if path != "yes/left out.png")
    rows = [f"{name},{'both' if name.endswith(('/1.png', '/5.png')) else ''}" for name in names]
    table = "\n".join(["path,patient", *rows, rows[0]])
    (project / "data/patients.csv").write_text(table)
    sections.write_params(
        project,
        validate={
            "max_megapixels": 0.03,
            "exclude": [{"path": "yes/left out.png", "reason": "blurred"}],
        },
        split={"mode": "fractions"},
    )
    assert run(project).exit_code == 1
    written = files(project / "outputs")
    unmet = {
        item["name"]: ", ".join(item["files"])
        for item in json.loads(written["validate/report.json"])["expectations"]
        if not item["success"]
    }
    assert unmet == {
        "every file is an image whose header can be read": "yes/text.png",
        "every file holds one picture": "no/pages.tif (2)",
        "width is at least validate.min_side_px = 64 px": "no/small.png (40)",
        "height is at least validate.min_side_px = 64 px": "no/small.png (40)",
        "width x height is at most validate.max_megapixels = 0.03 megapixels": (
            "no/large.png (0.04)"
        ),
        "depth is at least 8 bits a sample": "yes/one bit.png (1)",
        "the grey levels of every image are known": (
            "no/large.png, no/pages.tif, no/small.png, yes/cut.png, yes/text.png"
        ),
        "no image is blank: its brightest pixel is above its darkest": "yes/even.png (0)",
        "no patient has images of both classes": "no/1.png (2), yes/5.png (2)",
        "patients.csv, where there is one, names every image once": "no/0.png (2)",
    }
    page = written["validate/data_docs/index.html"].decode()
    assert "df.filter" not in page  # which no reader of the page could run
    for names_of_files in unmet.values():
        assert names_of_files.split(" (")[0].split(",")[0] in page


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
