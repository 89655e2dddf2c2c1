"""Batches added to a data folder under real git and DVC."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from filelock import FileLock
from pydicom.data import get_testdata_file

from brain_tumor.data import dvc as data_dvc
from brain_tumor.data import grow as data_grow
from brain_tumor.data.compare import count
from brain_tumor.data.dvc import DvcError, in_folder, md5, on_record
from brain_tumor.data.fetch import ensure
from brain_tumor.data.grow import Addition, Incoming, add, collect, plan_addition
from brain_tumor.errors import UserError
from brain_tumor.imaging.grey import KINDS
from brain_tumor.settings import Exclusion, ValidateParams
from tests import sections
from tests.data.growing import batch, commit, dvc, files, picture, run
from tests.imaging.files import dicom

PARAMS = sections.validate(min_side_px=16)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = batch(tmp_path / "site-b", {"1.png": 30, "s/a.png": 31, "masks/s/a.png.png": 40})
    (source / "patients.csv").write_text("path,patient\n1.png,b1\ns/a.png,b2\n")
    return source


def grow(source: Path, repository: Path) -> Addition:
    return add(source, "yes", repository / "data", PARAMS)


def test_a_batch_is_added_once_recorded_and_pulled_elsewhere(
    source: Path, repository: Path, tmp_path: Path
) -> None:
    data = repository / "data"
    before, originals = files(data), files(source)
    added = grow(source, repository)
    renamed = added.images["1.png"]
    table = f"path,patient\nno/1.png,\nno/2.png,\nyes/1.png,\nyes/2.png,\n{renamed},b1\n"
    assert files(source) == originals
    assert {path: bytes_ for path, bytes_ in files(data).items() if path not in before} == {
        renamed: originals["1.png"],
        "yes/s/a.png": originals["s/a.png"],
        "masks/yes/s/a.png.png": originals["masks/s/a.png.png"],
        "patients.csv": f"{_sorted(table + 'yes/s/a.png,b2')}".encode(),
    }
    assert {path: files(data)[path] for path in before} == before
    assert count(added.listing, ("no", "yes")) == {"no": 2, "yes": 4}
    assert (on_record(data), added.listing) == (in_folder(data), in_folder(data))
    record = (repository / "data.dvc").read_text()
    assert data_dvc.read_meta(data) == {"added": [{"name": "site-b", "label": "yes", "files": 2}]}
    assert str(tmp_path) not in record

    again = grow(source, repository)
    assert again.is_empty
    assert (repository / "data.dvc").read_text() == record

    commit(repository, "Six images")
    dvc(repository, "push", "--quiet")
    run(tmp_path / "growing", "git", "clone", "--quiet", "repository", "clone")
    clone = tmp_path / "growing/clone/data"
    assert ensure(clone, sections.phantom(), ("no", "yes")).endswith("pulled")
    assert files(clone) == files(data)


def _sorted(table: str) -> str:
    head, *rows = table.splitlines()
    return "\n".join([head, *sorted(rows)]) + "\n"


def test_batches_follow_each_other_in_the_record(repository: Path, tmp_path: Path) -> None:
    data = repository / "data"
    data_dvc.write_meta(data, {"source": "phantom"})
    first, second = picture(tmp_path / "first.png", 30), batch(tmp_path / "second", {"b.png": 31})
    add(first, "no", data, PARAMS)
    add(second, "yes", data, PARAMS)
    meta = data_dvc.read_meta(data)
    assert data_dvc.origin(meta) == "phantom; added: first.png (1 no), second (1 yes)"


def test_a_phantom_that_was_added_to_is_pulled_not_made(repository: Path) -> None:
    data = repository / "data"
    data_dvc.write_meta(
        data,
        {"source": "phantom", "added": [{"name": "b", "label": "yes", "files": 1}], "phantom": {}},
    )
    kept = files(data)
    shutil.rmtree(data)
    assert ensure(data, sections.phantom(), ("no", "yes")).endswith("pulled")
    assert files(data) == kept
    shutil.rmtree(data)
    shutil.rmtree(repository / ".dvc/cache")
    shutil.rmtree(repository.parent / "store")
    with pytest.raises(UserError, match=r"phantom; added: b \(1 yes\).*dvc remote add"):
        ensure(data, sections.phantom(), ("no", "yes"))
    assert not data.exists()


def test_one_bad_file_keeps_out_all(source: Path, repository: Path) -> None:
    (source / "cut.png").write_bytes((source / "1.png").read_bytes()[:200])
    (source / "other.png").write_bytes((repository / "data/no/1.png").read_bytes())
    (source / "patients.csv").unlink()
    before, record = files(repository / "data"), (repository / "data.dvc").read_bytes()
    with pytest.raises(UserError) as raised:
        grow(source, repository)
    head, *lines = str(raised.value).splitlines()
    assert "nothing was added" in head
    assert [line.split(":")[0] for line in lines] == ["  cut.png", "  other.png"]
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_bytes() == record


def test_names_that_dvc_ignores_are_refused(source: Path, repository: Path) -> None:
    (repository / ".dvcignore").write_text("*a.png\n")
    with pytest.raises(UserError, match=r"yes/s/a\.png: would be ignored by DVC"):
        grow(source, repository)


def test_folders_without_images_are_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    shutil.copy(str(get_testdata_file("test-SR.dcm")), tmp_path / "scans/IM0001.dcm")
    with pytest.raises(UserError, match=r"no image in it \(1 other files\)$"):
        grow(tmp_path / "scans", repository)


def test_the_data_folder_is_no_batch(repository: Path) -> None:
    with pytest.raises(UserError, match="lies in"):
        grow(repository / "data/yes", repository)
    with pytest.raises(UserError, match="holds"):
        grow(repository, repository)


def test_data_that_are_not_as_recorded_are_not_added_to(source: Path, repository: Path) -> None:
    data = repository / "data"
    record = (repository / "data.dvc").read_bytes()
    (data / "no/1.png").rename(data / "yes/moved.png")
    with pytest.raises(UserError, match=r"\(1 relabelled\): `dvc add .*`dvc checkout"):
        grow(source, repository)
    shutil.rmtree(data)
    with pytest.raises(UserError, match="brain-tumor data ensure"):
        grow(source, repository)
    assert (repository / "data.dvc").read_bytes() == record
    (repository / "data.dvc").unlink()
    with pytest.raises(UserError, match="brain-tumor data fetch SOURCE"):
        grow(source, repository)


def test_only_one_adds_at_a_time(source: Path, repository: Path) -> None:
    lock = FileLock(repository / ".dvc/tmp/brain-tumor-add-data.lock")
    with lock, pytest.raises(UserError, match="right now"):
        grow(source, repository)
    assert in_folder(repository / "data") == on_record(repository / "data")


@pytest.mark.parametrize(
    ("module", "name", "calls", "error"),
    [
        (shutil, "copyfile", 0, OSError(28, "No space left on device")),
        (shutil, "copyfile", 2, KeyboardInterrupt()),
        (data_dvc, "run", 0, KeyboardInterrupt()),
        (data_dvc, "write_meta", 0, OSError(28, "No space left on device")),
    ],
)
def test_what_fails_leaves_the_data_as_they_were_and_the_same_command_adds_them(
    module: Any,
    name: str,
    calls: int,
    error: BaseException,
    source: Path,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, working, left = repository / "data", getattr(module, name), calls
    before, record = files(data), (repository / "data.dvc").read_bytes()

    def failing(*arguments: object, **named: object) -> object:
        nonlocal left
        left -= 1
        if left < 0:
            raise error
        return working(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, failing)
        with pytest.raises(type(error)):
            grow(source, repository)
    assert files(data) == before
    assert (repository / "data.dvc").read_bytes() == record
    assert len(grow(source, repository).images) == 2
    assert on_record(data) == in_folder(data)
    assert data_dvc.read_meta(data) == {"added": [{"name": "site-b", "label": "yes", "files": 2}]}


def test_what_a_killed_run_left_is_named_and_dvc_checkout_makes_it_right(
    source: Path, repository: Path
) -> None:
    shutil.copy(source / "1.png", repository / "data/yes/new.png")
    with pytest.raises(UserError, match=r"\(1 added\).*`dvc checkout"):
        grow(source, repository)
    dvc(repository, "checkout", "--quiet", "--force", "data.dvc")
    assert len(grow(source, repository).images) == 2


def test_a_file_that_changes_while_it_is_copied_stops_the_batch(
    source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(repository / "data")

    def md5_of_copy(file: Path) -> str:
        """Wrong for copies, right for the files they are of."""
        return "0" * 32 if repository in file.parents else md5(file)

    monkeypatch.setattr(data_grow, "md5", md5_of_copy)
    with pytest.raises(UserError, match="changed while it was copied"):
        grow(source, repository)
    assert files(repository / "data") == before


def test_where_dvc_add_fails_all_stays_as_it_was(source: Path, repository: Path) -> None:
    before, record = files(repository / "data"), (repository / "data.dvc").read_text()
    cache = repository / ".dvc/cache/files/md5"
    kept = cache.rename(cache.with_name("kept"))
    cache.write_text("in the way")
    with pytest.raises(DvcError, match="`dvc add data` failed"):
        grow(source, repository)
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_text() == record
    cache.unlink()
    kept.rename(cache)
    assert len(grow(source, repository).images) == 2
    assert on_record(repository / "data") == in_folder(repository / "data")


def test_a_cache_that_the_folder_links_to_is_not_written_to(source: Path, repository: Path) -> None:
    data = repository / "data"
    (data / "patients.csv").write_text(
        "path,patient\nno/1.png,\nno/2.png,\nyes/1.png,\nyes/2.png,\n"
    )
    dvc(repository, "config", "cache.type", "symlink")
    dvc(repository, "add", "--quiet", "data")
    dvc(repository, "checkout", "--quiet", "--relink", "data.dvc")
    assert (data / "patients.csv").is_symlink()
    grow(source, repository)
    assert on_record(data) == in_folder(data)
    checked = subprocess.run(
        ["git", "status", "--porcelain"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert " M data.dvc" in checked.stdout
    for cached in (repository / ".dvc/cache/files/md5").glob("??/*"):
        if not cached.name.endswith(".dir"):
            digest = cached.parent.name + cached.name
            assert digest == md5(cached)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return batch(tmp_path / "data", {"no/1.png": 1, "yes/1.png": 11, "yes/twin.png": 11})


def planned(
    source: Path, data: Path, params: ValidateParams = PARAMS, folder: str = "yes"
) -> tuple[Incoming, Addition]:
    incoming = collect(source, folder, params)
    listing = {p.relative_to(data).as_posix(): md5(p) for p in data.rglob("*.*") if p.is_file()}
    return incoming, plan_addition(incoming, listing, data / "patients.csv", folder, params)


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
    assert reasons(source, data) == {"\\xff.png": "file name is not valid UTF-8"}


def test_what_is_not_meant_as_an_image_is_left_out_and_junk_is_not_even_told(
    tmp_path: Path, data: Path
) -> None:
    source = batch(tmp_path / "new", {"a.png": 20, ".hidden/b.png": 21, "__MACOSX/c.png": 22})
    (source / "README.txt").write_text("From site B.")
    (source / "_SUCCESS").touch()
    shutil.copy(str(get_testdata_file("test-SR.dcm")), source / "scan.dcm")  # no picture in it
    (source / ".DS_Store").touch()
    (source / "Thumbs.db").touch()
    incoming, plan = planned(source, data)
    assert incoming.left_out == ["README.txt", "_SUCCESS", "scan.dcm"]
    assert plan.images == {"a.png": "yes/a.png"}
    assert not incoming.problems


def test_scans_of_one_slice_are_added_and_those_of_many_refused(tmp_path: Path, data: Path) -> None:
    source = tmp_path / "new"
    source.mkdir()
    noise = np.random.default_rng(0).integers(0, 4096, (2, 24, 24), np.uint16)
    (source / "1.2.840.1").write_bytes(dicom(noise[0], PatientID="4711"))
    flat = nibabel.Nifti1Image(noise[1][:, :, None].astype(np.int16), np.eye(4))
    nibabel.save(flat, source / "b.nii.gz")
    incoming, plan = planned(source, data)
    assert plan.images == {"1.2.840.1": "yes/1.2.840.1", "b.nii.gz": "yes/b.nii.gz"}
    assert incoming.tagged == {"1.2.840.1"}
    assert not plan.has_patients
    (source / "b.nii.gz").unlink()
    assert planned(source, data)[1].has_patients
    (source / "cine").write_bytes(dicom(noise))
    (source / "cut.nii.gz").write_bytes(b"\x1f\x8b")
    named = reasons(source, data)
    assert named.keys() == {"cine", "cut.nii.gz"}
    assert "DICOM of 2 frames: a label of a volume" in named["cine"]


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
    again = plan_addition(incoming, plan.listing, data / "patients.csv", "yes", PARAMS)
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
        with pytest.raises(UserError, match=r"patients\.csv"):
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
        assert plan_addition(incoming, plan.listing, data / "patients.csv", "yes", PARAMS).is_empty

    def test_masks_that_fit_no_image_are_refused(self, tmp_path: Path, data: Path) -> None:
        source = batch(tmp_path / "new", {"a.png": 20, "b.png": 21, "again.png": 11})
        picture(source / "masks/a.png.png", 30, side_px=20)
        (source / "masks/b.png.png").write_bytes(b"broken")
        batch(source / "masks", {"c.png.png": 31, "again.png.png": 32})
        picture(data / "masks/yes/1.png.png", 33)
        assert reasons(source, data) == {
            "masks/a.png.png": "mask of 20x20 px for 24x24 px",
            "masks/b.png.png": f"not an image that can be read ({', '.join(KINDS)})",
            "masks/c.png.png": "mask of no image here: masks/IMAGE.png is that of IMAGE",
            "masks/again.png.png": "other bytes than masks/yes/1.png.png of the data folder",
        }
