"""What a batch becomes, before anything is touched: no git, no DVC."""

import os
from pathlib import Path

import pytest
from tests import sections
from tests.dataset.growing import batch, picture

from brain_tumor.dataset.growth.incoming import Incoming, collect
from brain_tumor.dataset.growth.listing import md5
from brain_tumor.dataset.growth.patients import PatientsError
from brain_tumor.dataset.growth.plan import Plan, make_plan
from brain_tumor.settings import Exclusion, ValidateParams

PARAMS = sections.validate(min_side_px=16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return batch(tmp_path / "data", {"no/1.png": 1, "yes/1.png": 11, "yes/twin.png": 11})


def planned(
    source: Path, data: Path, params: ValidateParams = PARAMS, folder: str = "yes"
) -> tuple[Incoming, Plan]:
    incoming = collect(source, folder, params)
    listing = {p.relative_to(data).as_posix(): md5(p) for p in data.rglob("*.*") if p.is_file()}
    return incoming, make_plan(incoming, listing, data / "patients.csv", folder, params)


def reasons(source: Path, data: Path) -> dict[str, str]:
    incoming, plan = planned(source, data)
    return dict([*incoming.problems, *plan.problems])


def test_every_bad_file_is_named_with_its_reason(tmp_path: Path, data: Path) -> None:
    source = batch(tmp_path / "new", {"good.png": 20, "sub/cut.png": 21})
    cut = (source / "sub/cut.png").read_bytes()
    (source / "sub/cut.png").write_bytes(cut[: len(cut) // 2])
    (source / "text.jpg").write_text("no picture")
    (source / "empty.png").touch()
    picture(source / "small.png", 22, side_px=8)
    (source / "gone.png").symlink_to("nowhere.png")
    (source / "linked").symlink_to(data)
    assert reasons(source, data).keys() == {
        *("sub/cut.png", "text.jpg", "empty.png", "small.png", "gone.png", "linked/"),
    }
    assert "min_side_px = 16" in reasons(source, data)["small.png"]


def test_names_that_are_no_text_are_refused(tmp_path: Path, data: Path) -> None:
    source = batch(tmp_path / "new", {"good.png": 20})
    (source / "good.png").rename(os.fsdecode(bytes(source) + b"/\xff.png"))
    assert reasons(source, data) == {"\\udcff.png": "file name is not valid UTF-8"}


def test_what_is_not_meant_as_an_image_is_left_out_and_junk_is_not_even_told(
    tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {"a.png": 20, ".hidden/b.png": 21, "__MACOSX/c.png": 22})
    (source / "README.txt").write_text("From site B.")
    (source / "_SUCCESS").touch()
    (source / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (source / ".DS_Store").touch()
    (source / "Thumbs.db").touch()
    incoming, plan = planned(source, data)
    assert incoming.left_out == ["README.txt", "_SUCCESS", "scan.dcm"]
    assert plan.images == {"a.png": "yes/a.png"}
    assert not incoming.problems


def test_paths_below_the_folder_are_kept_and_a_class_folder_is_not_doubled(
    tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {"s1/a.png": 20, "s2/a.png": 21, "yes/b.png": 22})
    _, plan = planned(source, data)
    assert plan.images == {
        "s1/a.png": "yes/s1/a.png",
        "s2/a.png": "yes/s2/a.png",
        "yes/b.png": "yes/b.png",
    }


def test_a_single_image_is_a_batch(tmp_path: Path, data: Path) -> None:
    _, plan = planned(picture(tmp_path / "new.png", 20), data)
    assert plan.images == {"new.png": "yes/new.png"}


def test_same_bytes_in_the_class_are_skipped_wherever_they_are(tmp_path: Path, data: Path) -> None:
    source = batch(tmp_path / "new", {"again.png": 11, "a.png": 20, "b.png": 20})
    _, plan = planned(source, data)
    assert plan.skipped == {"again.png": "yes/1.png", "b.png": "yes/a.png"}
    assert plan.images == {"a.png": "yes/a.png"}


def test_same_bytes_in_the_other_class_are_an_error_that_names_both(
    tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {"mine.png": 1})
    assert "same bytes as no/1.png" in reasons(source, data)["mine.png"]


def test_an_image_left_out_for_its_label_may_come_back_with_the_other(
    tmp_path: Path, data: Path
) -> None:
    excluded = (Exclusion(path="no/1.png", reason="shows a mass"),)
    source = batch(tmp_path / "new", {"mine.png": 1})
    _, plan = planned(source, data, sections.validate(min_side_px=16, exclude=excluded))
    assert not plan.problems
    assert plan.images == {"mine.png": "yes/mine.png"}


@pytest.mark.parametrize("name", ["1.png", "1.PNG"])
def test_a_taken_name_gets_digits_of_the_content_whatever_the_case(
    name: str, tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {name: 20})
    digest, path = md5(source / name), Path(name)
    _, plan = planned(source, data)
    assert plan.images == {name: f"yes/1-{digest[:8]}{path.suffix}"}


def test_nothing_that_is_there_is_overwritten_and_a_second_plan_is_empty(
    tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {"1.png": 20, "yes/1.png": 21, "s/1.png": 22})
    incoming, plan = planned(source, data)
    before = {p.relative_to(data).as_posix() for p in data.rglob("*.png")}
    assert len(set(plan.images.values()) - before) == 3
    again = make_plan(incoming, plan.listing, data / "patients.csv", "yes", PARAMS)
    assert again.is_empty
    assert again.skipped == plan.images


def test_folders_named_like_the_other_class_are_refused(tmp_path: Path, data: Path) -> None:
    both = batch(tmp_path / "both", {"yes/a.png": 20, "no/b.png": 21, "x/no/c.png": 22})
    assert reasons(both, data).keys() == {"no/", "x/no/"}
    assert "is the label right?" in reasons(batch(tmp_path / "no", {"a.png": 23}), data)["."]


class TestPatients:
    @pytest.fixture
    def source(self, tmp_path: Path) -> Path:
        source = batch(tmp_path / "new", {"a.png": 20, "yes/b.png": 21, "again.png": 11})
        text = "path,patient\na.png,p7\nyes/b.png,\nagain.png,p8\n"
        (source / "patients.csv").write_text(text)
        return source

    def test_a_first_table_names_all_images(self, source: Path, data: Path) -> None:
        _, plan = planned(source, data)
        assert plan.table is not None
        assert sorted(plan.table.splitlines()) == [
            "no/1.png,",
            "path,patient",
            "yes/1.png,p8",
            "yes/a.png,p7",
            "yes/b.png,",
            "yes/twin.png,",
        ]

    def test_a_table_is_extended_and_keeps_its_columns(self, source: Path, data: Path) -> None:
        table = 'patient,path,age\np1,no/1.png,"1,5"\n,yes/1.png,60\np8,yes/twin.png,60\n'
        (data / "patients.csv").write_text(table)
        _, plan = planned(source, data)
        assert plan.table == (
            'patient,path,age\np1,no/1.png,"1,5"\np8,yes/1.png,60\np8,yes/twin.png,60\n'
            "p7,yes/a.png,\n,yes/b.png,\n"
        )
        (data / "patients.csv").write_text(plan.table)
        _, again = planned(source, data)
        assert again.table is None

    def test_without_a_table_the_patients_are_unknown(self, tmp_path: Path, data: Path) -> None:
        table = "path,patient\nno/1.png,p1\nyes/1.png,\nyes/twin.png,\n"
        source = batch(tmp_path / "other", {"a.png": 20})
        assert planned(source, data)[1].table is None
        (data / "patients.csv").write_text(table)
        assert planned(source, data)[1].table == f"{table}yes/a.png,\n"

    def test_contradictions_are_named(self, source: Path, data: Path) -> None:
        table = "path,patient\nno/1.png,\nyes/1.png,p9\nyes/twin.png,\n"
        (data / "patients.csv").write_text(table)
        assert reasons(source, data) == {
            "yes/1.png": "patient 'p8' here, but 'p9' in the data folder"
        }
        batch(source, {"copy.png": 20})
        with (source / "patients.csv").open("a") as lines:
            lines.write("copy.png,p10\n")
        assert "'p10' instead of 'p7'" in reasons(source, data)["copy.png"]

    def test_a_table_that_does_not_fit_the_folder_is_refused(
        self, source: Path, data: Path
    ) -> None:
        (source / "patients.csv").write_text("path,patient\na.png,p7\nmissing.png,p8\n")
        assert reasons(source, data).keys() == {"missing.png", "yes/b.png", "again.png"}

    @pytest.mark.parametrize("table", ["file,who\nno/1.png,p\n", "path,patient\na,b,c\n", "\xff"])
    def test_a_broken_table_of_the_data_folder_is_named(
        self, table: str, source: Path, data: Path
    ) -> None:
        (data / "patients.csv").write_text(table, encoding="latin-1")
        with pytest.raises(PatientsError, match=r"patients\.csv"):
            planned(source, data)


class TestMasks:
    def test_masks_come_along_under_the_name_of_their_image(
        self, tmp_path: Path, data: Path
    ) -> None:
        images = {"1.png": 20, "s/b.jpg": 21, "again.png": 11}
        masks = {f"masks/{path}.png": 30 for path in ("1.png", "yes/s/b.jpg", "again.png")}
        source = batch(tmp_path / "new", images | masks)
        incoming, plan = planned(source, data)
        renamed = plan.images["1.png"]
        assert renamed != "yes/1.png"
        assert plan.masks == {
            "masks/1.png.png": f"masks/{renamed}.png",
            "masks/yes/s/b.jpg.png": "masks/yes/s/b.jpg.png",
            "masks/again.png.png": "masks/yes/1.png.png",
        }
        assert make_plan(incoming, plan.listing, data / "patients.csv", "yes", PARAMS).is_empty

    def test_masks_that_fit_no_image_are_refused(self, tmp_path: Path, data: Path) -> None:
        source = batch(tmp_path / "new", {"a.png": 20, "b.png": 21, "again.png": 11})
        picture(source / "masks/a.png.png", 30, side_px=20)
        (source / "masks/b.png.png").write_bytes(b"broken")
        batch(source / "masks", {"c.png.png": 31, "again.png.png": 32})
        picture(data / "masks/yes/1.png.png", 33)
        assert reasons(source, data) == {
            "masks/a.png.png": "mask of 20x20 px for 24x24 px",
            "masks/b.png.png": "not an image that can be read (BMP, GIF, JPEG, PNG, TIFF, WEBP)",
            "masks/c.png.png": "mask of no image here: masks/IMAGE.png is that of IMAGE",
            "masks/again.png.png": "other bytes than masks/yes/1.png.png of the data folder",
        }
