"""patients.csv names images however its author's system spells them, as far as it is clear."""

import unicodedata
from pathlib import Path

import pytest

from brain_tumor.data.patients import MORE, Spellings, read_patient_rows, read_patients

PATHS = ["no/1.png", "no/deep/2.png", "yes/caf\u00e9.png"]
DECOMPOSED = unicodedata.normalize("NFD", PATHS[2])


def table(
    folder: Path, *paths: str, start: str = "path,patient\n", encoding: str = "utf-8"
) -> Path:
    folder.mkdir(exist_ok=True)
    lines = "".join(f'"{path}",p{number}\n' for number, path in enumerate(paths))
    (folder / "patients.csv").write_text("path,patient\n" + lines, encoding=encoding)
    return folder / "patients.csv"


@pytest.mark.parametrize(
    "spelt",
    [
        PATHS,
        ["no\\1.png", "no\\deep\\2.png", "yes\\caf\u00e9.png"],
        [f"data/{path}" for path in PATHS],
        [f"data\\{path}" for path in PATHS],
        [f"./{path}" for path in PATHS],
        [f"./data/{path}" for path in PATHS],
        [".\\no\\1.png", "no//deep/2.png", f" {DECOMPOSED} "],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_every_clear_spelling_is_understood(
    tmp_path: Path, spelt: list[str], encoding: str
) -> None:
    file = table(tmp_path / "data", *spelt, encoding=encoding)
    patients, problems = read_patients(file, PATHS)
    assert not problems
    assert patients == dict(zip(PATHS, ("p0", "p1", "p2"), strict=True))


def test_the_whole_path_is_understood_too(tmp_path: Path) -> None:
    file = table(tmp_path / "data", *(str(tmp_path / "data" / path) for path in PATHS))
    assert read_patients(file, PATHS) == (dict(zip(PATHS, ("p0", "p1", "p2"), strict=True)), [])


def test_names_on_disk_may_be_the_decomposed_ones(tmp_path: Path) -> None:
    file = table(tmp_path / "data", PATHS[2])
    assert read_patients(file, [DECOMPOSED]) == ({DECOMPOSED: "p0"}, [])


def test_what_two_images_answer_to_names_neither(tmp_path: Path) -> None:
    file = table(tmp_path / "data", PATHS[2].replace("/", "\\"))
    _, problems = read_patients(file, [PATHS[2], DECOMPOSED])
    assert len(problems) == 3
    exact = table(tmp_path / "data", PATHS[2], DECOMPOSED)
    assert read_patients(exact, [PATHS[2], DECOMPOSED])[1] == []


def test_one_image_in_two_spellings_is_named_twice(tmp_path: Path) -> None:
    file = table(tmp_path / "data", "no/1.png", "no\\1.png")
    [problem] = read_patients(file, ["no/1.png"])[1]
    assert problem.reason == "named more than once in patients.csv"


def test_a_class_folder_named_like_the_data_folder_is_no_front(tmp_path: Path) -> None:
    spellings = Spellings(["data/1.png", "1.png"], tmp_path / "data")
    assert spellings.path("data/1.png") == "data/1.png"
    assert spellings.path("data\\1.png") == "data/1.png"


def test_a_table_that_is_a_link_or_a_pipe_is_named(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("path,patient\n")
    (tmp_path / "patients.csv").symlink_to(tmp_path / "real.csv")
    [problem] = read_patients(tmp_path / "patients.csv", [])[1]
    assert problem.path == "patients.csv"
    assert "not followed" in problem.reason


def test_a_comma_at_the_end_of_each_row_is_no_column(tmp_path: Path) -> None:
    table = tmp_path / "patients.csv"
    table.write_text("path,patient,\nno/1.png,a,\n", encoding="utf-8")
    assert read_patient_rows(table) == (["path", "patient"], [{"path": "no/1.png", "patient": "a"}])
    table.write_text("path,patient,\nno/1.png,a,b\n", encoding="utf-8")
    assert MORE in read_patient_rows(table)[1][0]
    table.write_text("path,patient\nno/1.png,a,b\n", encoding="utf-8")
    assert MORE in read_patient_rows(table)[1][0]
