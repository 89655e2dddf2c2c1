"""What is wrong with a data folder is found, and said of each file."""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from brain_tumor.data.check import (
    Validation,
    across_classes,
    across_patients,
    describe,
    shown,
    to_report,
    validate,
    within_class,
)
from brain_tumor.data.folder import Remark, find_images
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.outputs import MANIFEST_COLUMNS, read_manifest, write_manifest
from brain_tumor.settings import ClassCounts, Exclusion, SplitCounts
from tests import sections
from tests.data.pictures import smooth
from tests.imaging.files import dicom

PARAMS = sections.validate()
ONE_EACH = ClassCounts(no=1, yes=1)
SPLIT = sections.split(mode="counts", counts=SplitCounts(val=ONE_EACH, test=ONE_EACH, train=None))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four distinct images of each class and nothing wrong."""
    for seed in range(8):
        file = tmp_path / "data" / ("no" if seed < 4 else "yes") / f"{seed}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        smooth(seed).save(file)
    return tmp_path / "data"


def check(data: Path, exclude: tuple[Exclusion, ...] = ()) -> Validation:
    return validate(data, sections.validate(exclude=exclude), SPLIT)


def test_good_data_has_nothing_to_report(data: Path) -> None:
    validation = check(data)
    assert len(validation.manifest) == 8
    assert validation.errors == validation.warnings == validation.excluded == []


def test_broken_file_is_named_and_the_good_ones_stay_in_the_manifest(data: Path) -> None:
    (data / "no" / "0.png").write_bytes(b"")
    validation = check(data)
    assert validation.errors == [Remark("no/0.png", "empty file (0 bytes)")]
    assert len(validation.manifest) == 7


def loose_image(data: Path) -> None:
    smooth(9).save(data / "loose.png")


def unknown_label(data: Path) -> None:
    (data / "maybe").mkdir()
    smooth(9).save(data / "maybe" / "a.png")
    (data / "maybe" / "b.jpg").write_bytes(b"broken, but meant as an image")


def same_bytes_in_both(data: Path) -> None:
    shutil.copy(data / "no" / "0.png", data / "yes" / "copy.png")


def near_duplicate_in_both(data: Path) -> None:
    smooth(0).resize((80, 80)).save(data / "yes" / "copy.jpg")


def patients_name_absent(data: Path) -> None:
    names = [file.relative_to(data).as_posix() for file in sorted(data.rglob("*.png"))]
    rows = ["path,patient", *(f"{name},p" for name in names), "no/gone.png,p"]
    (data / "patients.csv").write_text("\n".join(rows))


def patients_lack_some(data: Path) -> None:
    (data / "patients.csv").write_text("path,patient\nno/0.png,p\nno/0.png,q\n")


def patients_without_columns(data: Path) -> None:
    (data / "patients.csv").write_text("file,who\nno/0.png,p\n")


def patients_not_text(data: Path) -> None:
    (data / "patients.csv").write_bytes(b"path,patient\n\xff\xfe\n")


def too_few_left(data: Path) -> None:
    for name in ("0.png", "1.png"):
        (data / "no" / name).unlink()


def dangling_link(data: Path) -> None:
    (data / "no" / "link.png").symlink_to("nowhere.png")


def linked_folder(data: Path) -> None:
    (data / "no" / "more").symlink_to(data / "yes")


def pipe(data: Path) -> None:
    os.mkfifo(data / "no" / "pipe.png")


def pipe_outside(data: Path) -> None:
    os.mkfifo(data / "pipe.png")


def device(data: Path) -> None:
    (data / "no" / "zero.png").symlink_to("/dev/zero")


def link_to_file(data: Path) -> None:
    (data.parent / "secret.png").write_bytes((data / "no" / "0.png").read_bytes())
    (data / "no" / "link.png").symlink_to(data.parent / "secret.png")


def linked_mask(data: Path) -> None:
    (data / "masks").mkdir()
    (data / "masks" / "a.png").symlink_to("/dev/zero")


def archive(data: Path) -> None:
    (data / "no" / "more.zip").write_bytes(b"PK")


@pytest.mark.parametrize(
    ("spoil", "path", "reason"),
    [
        (loose_image, "loose.png", "image outside the class folders no/ and yes/"),
        (unknown_label, "maybe/", "label outside the set: 2 images"),
        (same_bytes_in_both, "yes/copy.png", "same bytes as no/0.png, which is of the other"),
        (same_bytes_in_both, "no/0.png", "same bytes as yes/copy.png"),
        (near_duplicate_in_both, "no/0.png", "near-duplicate of yes/copy.jpg"),
        (patients_name_absent, "no/gone.png", "named in patients.csv, but there is no such image"),
        (patients_lack_some, "yes/7.png", "not named in patients.csv"),
        (patients_lack_some, "no/0.png", "named more than once"),
        (patients_without_columns, "patients.csv", "columns path,patient expected"),
        (patients_not_text, "patients.csv", "cannot be read as CSV in UTF-8"),
        (too_few_left, "no/", "2 usable images, the split needs at least 3"),
        (dangling_link, "no/link.png", "link to a file that does not exist"),
        (pipe, "no/pipe.png", "a named pipe (FIFO), no file: not opened"),
        (pipe_outside, "pipe.png", "image outside the class folders"),
        (device, "no/zero.png", "link to /dev/zero: not followed"),
        (link_to_file, "no/link.png", "secret.png: not followed, put a copy in its place"),
        (linked_mask, "masks/a.png", "link to /dev/zero: not followed"),
        (archive, "no/more.zip", "an archive: put what is in it here instead"),
        (linked_folder, "no/more/", "link to a folder: not followed"),
        (lambda data: shutil.rmtree(data / "yes"), "yes/", "missing or empty"),
        (lambda data: [f.unlink() for f in (data / "no").iterdir()], "no/", "missing or empty"),
        (shutil.rmtree, ".", "is missing or not a folder"),
    ],
)
def test_what_is_wrong_is_an_error_with_its_path(
    data: Path, spoil: Callable[[Path], object], path: str, reason: str
) -> None:
    spoil(data)
    errors = check(data).errors
    assert [error for error in errors if error.path == path and reason in error.reason], errors


def scanned(file: Path, seed: int, **tags: object) -> None:
    """A DICOM file of one slice, of 12 bits."""
    file.write_bytes(dicom(np.asarray(smooth(seed), dtype=np.uint16) * 16, **tags))


def test_dicom_and_nifti_of_a_slice_are_images_like_any(data: Path) -> None:
    scanned(data / "no" / "1.2.840.113619", 20, PatientID="4711")
    scanned(data / "yes" / "again.dcm", 4)  # the picture of yes/4.png
    flat = np.asarray(smooth(22), dtype=np.int16)[::-1, ::-1].T[:, :, None]
    nibabel.save(nibabel.Nifti1Image(flat, np.eye(4)), data / "yes" / "slice.nii.gz")
    validation = check(data)
    assert validation.errors == []
    assert validation.warnings == [Remark("yes/again.dcm", "near-duplicate of yes/4.png")]
    rows = validation.manifest.set_index("path")
    assert rows["format"].value_counts().to_dict() == {"PNG": 8, "DICOM": 2, "NIfTI": 1}
    assert set(rows["width"]) == set(rows["height"]) == {96}
    assert rows["group"]["yes/again.dcm"] == rows["group"]["yes/4.png"]


def test_tags_tell_the_patient_where_the_table_says_nothing(data: Path) -> None:
    for name, seed in (("no/a.dcm", 20), ("no/b.dcm", 21), ("no/c.dcm", 22)):
        scanned(data / name, seed, PatientID="4711")
    scanned(data / "yes/d.dcm", 23, PatientID="ANONYMOUS")
    own = check(data).manifest.set_index("path")["patient"]
    assert own["no/a.dcm"] == own["no/b.dcm"] != ""
    assert "4711" not in own["no/a.dcm"]
    assert own["yes/d.dcm"] == own["no/0.png"] == ""
    names = [f"{n}/{s}.png" for n, of in (("no", range(4)), ("yes", range(4, 8))) for s in of]
    table = ["path,patient", "no/a.dcm,p7", "no/b.dcm,", "no/c.dcm,", "yes/d.dcm,p9"]
    (data / "patients.csv").write_text("\n".join([*table, *(f"{name}," for name in names)]))
    named = check(data).manifest.set_index("path")["patient"]
    assert (named["no/a.dcm"], named["yes/d.dcm"]) == ("p7", "p9")
    assert named["no/b.dcm"] == named["no/c.dcm"] == own["no/a.dcm"]


def test_a_patient_of_both_classes_is_a_warning(data: Path) -> None:
    for name, seed in (("no/a.dcm", 20), ("no/b.dcm", 21), ("yes/c.dcm", 22)):
        scanned(data / name, seed, PatientID="4711")
    validation = check(data)
    assert validation.errors == []
    assert validation.warnings == [
        Remark("yes/c.dcm", "its patient has images of both classes (2 no and 1 yes)")
    ]


def test_every_file_that_cannot_be_used_is_named_at_once_with_its_reason(data: Path) -> None:
    """None of them is found only by the stage that comes next."""
    volume = nibabel.Nifti1Image(np.ones((80, 80, 30), np.int16), np.eye(4))
    nibabel.save(volume, data / "no" / "volume.nii")
    (data / "no" / "cine.dcm").write_bytes(dicom(np.zeros((9, 80, 80), np.uint8)))
    shutil.copy(str(get_testdata_file("test-SR.dcm")), data / "no" / "report.dcm")
    Image.fromarray(np.full((80, 80), np.nan, np.float32)).save(data / "yes" / "nan.tif")
    colours = np.zeros((80, 80, 3), np.uint8)
    palette = dicom(colours[..., 0], PhotometricInterpretation="HSV")
    (data / "yes" / "hsv.dcm").write_bytes(palette)
    reasons = {path: reason.split(":")[0] for path, reason in check(data).errors}
    assert reasons == {
        "no/cine.dcm": "DICOM of 9 frames",
        "no/report.dcm": "DICOM without a picture (its kind",
        "no/volume.nii": "NIfTI of 30 slices",
        "yes/hsv.dcm": "DICOM of photometric interpretation HSV with 1 samples per pixel",
        "yes/nan.tif": "a picture without a single number",
    }


def test_what_passes_is_what_preprocessing_takes(data: Path) -> None:
    """Values of every kind: none passes here and stops the next stage."""
    levels = np.asarray(smooth(30), dtype=np.float32)
    kinds: list[np.ndarray] = [
        levels / 255,
        levels - 128,
        levels * 1e6,
        np.where(levels < 50, np.nan, levels),
    ]
    for number, values in enumerate(kinds):
        Image.fromarray(values).save(data / "no" / f"float{number}.tif")
    Image.fromarray((levels * 16).astype(np.uint16)).save(data / "yes" / "deep.png")
    mirrored = np.asarray(smooth(31), dtype=np.uint16)
    (data / "yes" / "signed.dcm").write_bytes(dicom(mirrored.astype(np.int16) - 100))
    contents = find_images(data, PARAMS)
    manifest = describe(data, contents, PARAMS)
    assert contents.errors == []
    assert contents.warnings == [
        Remark("no/float3.tif", "values that are no numbers are shown black")
    ]
    params = sections.preprocess(normalisation="none")
    for path in manifest["path"]:
        assert np.ptp(preprocess_image((data / path).read_bytes(), params).image) > 200


def test_everything_wrong_is_reported_at_once(data: Path) -> None:
    (data / "no" / "0.png").write_text("text")
    (data / "yes" / "7.png").write_bytes(b"")
    loose_image(data)
    assert [error.path for error in check(data).errors] == ["loose.png", "no/0.png", "yes/7.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text elsewhere")
def test_a_name_that_is_not_text_is_an_error(data: Path) -> None:
    (data / "no" / "0.png").rename(data / "no" / os.fsdecode(b"\xff.png"))
    assert check(data).errors == [Remark("no/\\xff.png", "file name is not valid UTF-8: rename it")]


def test_oddities_are_warnings_and_do_not_stop(data: Path) -> None:
    (data / "no" / "0.png").rename(data / "no" / "0.jpg")
    shutil.copy(data / "yes" / "4.png", data / "yes" / "5 copy.png")
    smooth(5).resize((80, 80)).save(data / "yes" / "near.jpg")
    Image.new("L", (96, 96), 7).save(data / "no" / "blank.png")
    (data / "README.txt").write_text("notes")
    (data / "docs").mkdir()
    (data / "docs" / "notes.txt").write_text("notes")
    (data / "no" / ".DS_Store").write_bytes(b"x")
    (data / "yes" / "Thumbs.db").write_bytes(b"x")
    validation = check(data)
    assert validation.errors == []
    assert validation.warnings == [
        Remark("README.txt", "not part of the data: ignored"),
        Remark("docs/", "folder without images: ignored"),
        Remark("no/.DS_Store", "hidden file: ignored"),
        Remark("no/0.jpg", "content is PNG, file name says '.jpg'"),
        Remark("no/blank.png", "blank: every pixel has the same value"),
        Remark("yes/5 copy.png", "same bytes as yes/4.png"),
        Remark("yes/Thumbs.db", "left behind by a system: ignored"),
        Remark("yes/near.jpg", "near-duplicate of yes/5.png"),
    ]


def test_masks_are_no_class_and_are_not_in_the_manifest(data: Path) -> None:
    (data / "masks" / "yes").mkdir(parents=True)
    smooth(4).save(data / "masks" / "yes" / "4.png.png")
    validation = check(data)
    assert validation.errors == validation.warnings == []
    assert len(validation.manifest) == 8


def test_excluded_files_are_recorded_and_not_checked(data: Path) -> None:
    (data / "no" / "bad.png").write_bytes(b"")
    validation = check(data, (Exclusion(path="no/bad.png", reason="export failed"),))
    assert validation.errors == []
    assert validation.excluded == [Remark("no/bad.png", "export failed")]
    assert "no/bad.png" not in set(validation.manifest["path"])


def test_an_exclusion_that_matches_nothing_is_an_error(data: Path) -> None:
    validation = check(data, (Exclusion(path="no/gone.png", reason="blurred"),))
    assert [error.path for error in validation.errors] == ["no/gone.png"]


def test_patients_of_excluded_files_may_stay_in_the_table(data: Path) -> None:
    names = [file.relative_to(data).as_posix() for file in sorted(data.rglob("*.png"))]
    rows = ["path,patient", *(f"{name},{name[-5]}" for name in names)]
    (data / "patients.csv").write_text("\n".join(rows))
    validation = check(data, (Exclusion(path="no/0.png", reason="blurred"),))
    assert validation.errors == []
    assert list(validation.manifest["patient"]) == list("1234567")


def test_a_split_that_groups_make_impossible_is_found_before_the_split_stage(data: Path) -> None:
    names = [file.relative_to(data).as_posix() for file in sorted(data.rglob("*.png"))]
    rows = ["path,patient", *(f"{name},{name[:2]}" for name in names)]
    (data / "patients.csv").write_text("\n".join(rows))
    (error,) = check(data).errors
    assert "test cannot hold exactly 1 no and 1 yes images" in error.reason


def test_report_leads_with_numbers_and_is_the_same_each_time(data: Path) -> None:
    shutil.copy(data / "yes" / "4.png", data / "yes" / "copy.png")
    first, second = (to_report(check(data), []) for _ in range(2))
    assert first == second
    assert (first["ok"], first["images"], first["no"], first["yes"]) == (True, 9, 4, 5)
    assert first["distinct"] == 8
    assert first["duplicates"] == {
        "groups": 1,
        "files": 2,
        "identical_groups": 1,
        "identical_files": 2,
    }


def copied(groups: int, members: int) -> pd.DataFrame:
    """A manifest of groups of copies, in each the first of `no` and the others of `yes`."""
    number = np.arange(groups * members)
    group = [f"no/{index:06d}.png" for index in number // members * members]
    label = np.where(number % members, "yes", "no")
    path = [f"{name}/{index:06d}.png" for name, index in zip(label, number, strict=True)]
    digest = (number // 2).astype(str)
    table = {"path": path, "label": label, "group": group, "sha256": digest, "patient": group}
    return pd.DataFrame(table).sort_values("path", ignore_index=True)


@pytest.mark.parametrize(("groups", "members"), [(10_000, 2), (1, 20_000)])
def test_remarks_on_copies_cost_as_much_as_there_are_images(groups: int, members: int) -> None:
    manifest = copied(groups, members)
    start = time.process_time()
    across, within = across_classes(manifest), within_class(manifest)
    patients = across_patients(manifest)
    assert time.process_time() - start < 2  # (pairs of them took minutes)
    assert len(across) == groups * members
    assert len(within) == groups * (members - 2)
    assert len(patients) == groups
    twin = "same bytes as yes/000001.png, which is of the other class: one is wrong"
    assert across[0] == Remark("no/000000.png", twin)


def test_of_two_twins_the_one_with_the_same_bytes_is_named() -> None:
    manifest = pd.DataFrame(
        [
            ("no/a.png", "no", "g", "1"),
            ("no/b.png", "no", "g", "2"),
            ("no/c.png", "no", "g", "2"),
            ("yes/d.png", "yes", "g", "2"),
            ("yes/e.png", "yes", "g", "3"),
            ("yes/f.png", "yes", "alone", "4"),
        ],
        columns=["path", "label", "group", "sha256"],
    )
    end = ", which is of the other class: one is wrong"
    assert across_classes(manifest) == [
        Remark("no/a.png", f"near-duplicate of yes/d.png{end}"),
        Remark("no/b.png", f"same bytes as yes/d.png{end}"),
        Remark("no/c.png", f"same bytes as yes/d.png{end}"),
        Remark("yes/d.png", f"same bytes as no/b.png{end}"),
        Remark("yes/e.png", f"near-duplicate of no/a.png{end}"),
    ]
    assert within_class(manifest) == [
        Remark("no/b.png", "near-duplicate of no/a.png"),
        Remark("no/c.png", "same bytes as no/b.png"),
        Remark("yes/e.png", "near-duplicate of yes/d.png"),
    ]


def test_of_very_many_lines_the_first_are_shown_and_the_rest_counted() -> None:
    few, many = ([f"line {number}" for number in range(count)] for count in (1000, 100_000))
    assert shown(few) == few
    assert shown(many) == [*many[:1000], "and 99000 more: outputs/validate/report.json has all"]


def data_folder(root: Path) -> Path:
    for folder, seed, name in (("no", 1, "b.png"), ("no", 2, "a.jpg"), ("yes", 3, "c.bmp")):
        (root / folder).mkdir(parents=True, exist_ok=True)
        smooth(seed).save(root / folder / name)
    return root


def test_manifest_holds_what_the_files_are(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    contents = find_images(data, PARAMS)
    manifest = describe(data, contents, PARAMS)
    assert contents.errors == contents.warnings == []
    assert list(manifest.columns) == list(MANIFEST_COLUMNS)
    assert list(manifest["path"]) == ["no/a.jpg", "no/b.png", "yes/c.bmp"]
    assert list(manifest["label"]) == ["no", "no", "yes"]
    assert list(manifest["format"]) == ["JPEG", "PNG", "BMP"]
    assert set(manifest["width"]) == set(manifest["height"]) == {96}
    for row in manifest.itertuples():
        content = (data / str(row.path)).read_bytes()
        assert (row.bytes, row.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert len(str(row.dhash)) == 16
    assert list(manifest["group"]) == list(manifest["path"])


def test_labels_stay_yes_and_no_whatever_the_folders_are_called(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    (data / "no").rename(data / "healthy")
    (data / "yes").rename(data / "glioma")
    params = sections.validate(negative_folder="healthy", positive_folder="glioma")
    manifest = describe(data, find_images(data, params), params)
    assert dict(zip(manifest["path"], manifest["label"], strict=True)) == {
        "glioma/c.bmp": "yes",
        "healthy/a.jpg": "no",
        "healthy/b.png": "no",
    }


def test_a_written_manifest_reads_back_the_same_even_with_awkward_texts(tmp_path: Path) -> None:
    data = data_folder(tmp_path / "data")
    (data / "no" / "a.jpg").rename(data / "no" / 'NA, "x" é.jpg')
    rows = ["path,patient", '"no/NA, ""x"" é.jpg",007', "no/b.png,", "yes/c.bmp,1e5"]
    (data / "patients.csv").write_text("\n".join(rows), encoding="utf-8")
    contents = find_images(data, PARAMS)
    manifest = describe(data, contents, PARAMS)
    assert contents.errors == []
    manifest["dhash"] = "12e4567890123456"
    write_manifest(manifest, tmp_path / "manifest.csv")
    again = read_manifest(tmp_path / "manifest.csv")
    assert again.equals(manifest)
    assert again["patient"].to_list() == ["007", "", "1e5"]
