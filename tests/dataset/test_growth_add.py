"""Batches added to a data folder under real git and DVC."""

import shutil
import subprocess
from pathlib import Path

import pytest
from filelock import FileLock
from tests import sections
from tests.dataset.growing import batch, commit, dvc, files, picture, run

from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.fetch.data_dvc import DvcError
from brain_tumor.dataset.fetch.fetch import FetchError, ensure
from brain_tumor.dataset.growth import add as add_module
from brain_tumor.dataset.growth.add import Added, AddError, add
from brain_tumor.dataset.growth.listing import in_folder, md5, on_record
from brain_tumor.dataset.growth.listing import md5 as listing_md5

PARAMS = sections.validate(min_side_px=16)


class Killed(BaseException):
    """Stands for the end of the process: nothing after it runs but what cleans up."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    source = batch(tmp_path / "site-b", {"1.png": 30, "s/a.png": 31, "masks/s/a.png.png": 40})
    (source / "patients.csv").write_text("path,patient\n1.png,b1\ns/a.png,b2\n")
    return source


def grow(source: Path, repository: Path) -> Added:
    return add(source, "yes", repository / "data", PARAMS)


def test_a_batch_is_added_once_recorded_and_pulled_elsewhere(
    source: Path, repository: Path, tmp_path: Path
) -> None:
    data = repository / "data"
    before, originals = files(data), files(source)
    added = grow(source, repository)
    renamed = added.plan.images["1.png"]
    table = f"path,patient\nno/1.png,\nno/2.png,\nyes/1.png,\nyes/2.png,\n{renamed},b1\n"
    assert files(source) == originals
    assert {path: bytes_ for path, bytes_ in files(data).items() if path not in before} == {
        renamed: originals["1.png"],
        "yes/s/a.png": originals["s/a.png"],
        "masks/yes/s/a.png.png": originals["masks/s/a.png.png"],
        "patients.csv": f"{_sorted(table + 'yes/s/a.png,b2')}".encode(),
    }
    assert {path: files(data)[path] for path in before} == before
    assert added.counts == {"no": 2, "yes": 4}
    assert (on_record(data), added.plan.listing) == (in_folder(data), in_folder(data))
    record = (repository / "data.dvc").read_text()
    assert data_dvc.read_meta(data) == {"added": [{"name": "site-b", "label": "yes", "files": 2}]}
    assert str(tmp_path) not in record

    again = grow(source, repository)
    assert again.plan.is_empty
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
    with pytest.raises(FetchError, match=r"phantom; added: b \(1 yes\).*dvc remote add"):
        ensure(data, sections.phantom(), ("no", "yes"))
    assert not data.exists()


def test_one_bad_file_keeps_out_all(source: Path, repository: Path) -> None:
    (source / "cut.png").write_bytes((source / "1.png").read_bytes()[:200])
    (source / "other.png").write_bytes((repository / "data/no/1.png").read_bytes())
    (source / "patients.csv").unlink()
    before, record = files(repository / "data"), (repository / "data.dvc").read_bytes()
    with pytest.raises(AddError) as raised:
        grow(source, repository)
    head, *lines = str(raised.value).splitlines()
    assert "nothing was added" in head
    assert [line.split(":")[0] for line in lines] == ["  cut.png", "  other.png"]
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_bytes() == record


def test_names_that_dvc_ignores_are_refused(source: Path, repository: Path) -> None:
    (repository / ".dvcignore").write_text("*a.png\n")
    with pytest.raises(AddError, match=r"yes/s/a\.png: would be ignored by DVC"):
        grow(source, repository)


def test_folders_without_images_are_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans/IM0001").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(AddError, match=r"no image in it \(1 other files\); DICOM"):
        grow(tmp_path / "scans", repository)


def test_the_data_folder_is_no_batch(repository: Path) -> None:
    with pytest.raises(AddError, match="lies in"):
        grow(repository / "data/yes", repository)
    with pytest.raises(AddError, match="holds"):
        grow(repository, repository)


def test_data_that_are_not_as_recorded_are_not_added_to(source: Path, repository: Path) -> None:
    data = repository / "data"
    record = (repository / "data.dvc").read_bytes()
    (data / "no/1.png").rename(data / "yes/moved.png")
    with pytest.raises(AddError, match=r"\(1 relabelled\): `dvc add .*`dvc checkout"):
        grow(source, repository)
    shutil.rmtree(data)
    with pytest.raises(AddError, match="brain-tumor data ensure"):
        grow(source, repository)
    assert (repository / "data.dvc").read_bytes() == record
    (repository / "data.dvc").unlink()
    with pytest.raises(AddError, match="brain-tumor data fetch SOURCE"):
        grow(source, repository)


def test_only_one_adds_at_a_time(source: Path, repository: Path) -> None:
    lock = FileLock(repository / ".dvc/tmp/brain-tumor-add-data.lock")
    with lock, pytest.raises(AddError, match="right now"):
        grow(source, repository)
    assert in_folder(repository / "data") == on_record(repository / "data")


def test_killed_while_copying_leaves_the_data_as_they_were(
    source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, record = files(repository / "data"), (repository / "data.dvc").read_bytes()

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", killed)
        with pytest.raises(Killed):
            grow(source, repository)
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_bytes() == record


@pytest.mark.parametrize("placed", [1, 2, 3])
def test_killed_while_files_take_their_places_the_same_command_completes_it(
    placed: int, source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, replace, left = repository / "data", Path.replace, placed

    def place(path: Path, target: Path) -> Path:
        nonlocal left
        if not left:
            raise Killed
        left -= target.suffix == ".png"
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", place)
        with pytest.raises(Killed):
            grow(source, repository)
    assert len(in_folder(data)) == 4 + placed
    with pytest.raises(AddError, match="added"):
        grow(batch(source.parent / "other", {"o.png": 50}), repository)
    assert len(grow(source, repository).plan.images) == 2
    assert on_record(data) == in_folder(data)
    assert data_dvc.read_meta(data) == {"added": [{"name": "site-b", "label": "yes", "files": 2}]}
    assert "b2" in (data / "patients.csv").read_text()


def test_a_file_that_changes_while_it_is_copied_stops_the_batch(
    source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(repository / "data")

    def md5(file: Path) -> str:
        """Wrong for copies, right for the files they are of."""
        return "0" * 32 if repository in file.parents else listing_md5(file)

    monkeypatch.setattr(add_module, "md5", md5)
    with pytest.raises(AddError, match="changed while it was copied"):
        grow(source, repository)
    assert files(repository / "data") == before


@pytest.mark.parametrize("moment", ["write_meta", "add"])
def test_killed_before_dvc_add_the_same_command_completes_it(
    moment: str, source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(data_dvc, moment, killed)
        with pytest.raises(Killed):
            grow(source, repository)
    other = batch(source.parent / "other", {"o.png": 50})
    with pytest.raises(AddError, match="2 added"):
        grow(other, repository)
    assert len(grow(source, repository).plan.images) == 2
    data = repository / "data"
    assert on_record(data) == in_folder(data)
    assert data_dvc.read_meta(data) == {"added": [{"name": "site-b", "label": "yes", "files": 2}]}


def test_where_dvc_add_fails_the_record_stays_and_the_same_command_completes_it(
    source: Path, repository: Path
) -> None:
    record = (repository / "data.dvc").read_text()
    cache = repository / ".dvc/cache/files/md5"
    kept = cache.rename(cache.with_name("kept"))
    cache.write_text("in the way")
    with pytest.raises(DvcError, match="the same command again completes it"):
        grow(source, repository)
    assert (repository / "data.dvc").read_text() == record
    cache.unlink()
    kept.rename(cache)
    assert len(grow(source, repository).plan.images) == 2
    assert on_record(repository / "data") == in_folder(repository / "data")


def test_a_full_disk_leaves_the_data_as_they_were(
    source: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = files(repository / "data")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        grow(source, repository)
    assert files(repository / "data") == before
    assert not list(repository.glob(".data*"))


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
