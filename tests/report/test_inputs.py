"""What a report is made from is read whole, or the damaged file is named with what to do."""

from pathlib import Path

import pytest

from brain_tumor.errors import UserError
from brain_tumor.outputs import EXPORT_REPORT, ReportInputs
from brain_tumor.report.inputs import read
from tests.damage import DAMAGES
from tests.report import stage_files

FILES = [field for field in vars(ReportInputs()) if field not in ("images", "evidence")]


def file_of(sources: ReportInputs, field: str) -> Path:
    path: Path = getattr(sources, field)
    return path / EXPORT_REPORT if field == "export" else path


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    return stage_files.write(tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize("field", FILES)
def test_a_damaged_file_is_named_in_a_line_with_what_to_do(
    field: str, sources: ReportInputs
) -> None:
    path = file_of(sources, field)
    content = path.read_bytes()
    sections = stage_files.sections(stage_files.params_file(sources.manifest.parents[1]))
    for name, damage in DAMAGES.items():
        damage(path)
        with pytest.raises(UserError, match=f"{path.name}: .*`dvc (pull|repro)") as caught:
            read(sources, sections, "phantom", {})
        assert "\n" not in str(caught.value), name
        if path.is_dir():
            path.rmdir()
        path.write_bytes(content)
    assert read(sources, sections, "phantom", {}).point.threshold == stage_files.THRESHOLD


def test_predictions_of_images_that_the_manifest_lacks_are_named(tmp_path: Path) -> None:
    sources = stage_files.write(tmp_path)
    text = sources.predictions.read_text(encoding="utf-8")
    sources.predictions.write_text(text.replace("yes/yes_03.jpg", "yes/yes_0s.jpg"))
    with pytest.raises(UserError, match=r"predictions\.csv: 1 images are not in the manifest"):
        read(sources, stage_files.sections(stage_files.params_file(tmp_path)), "phantom", {})
