"""The metadata baseline: finds what files give away, and nothing where they give nothing away."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_tumor.monitoring.evaluate import (
    MIN_CLUSTERS,
    content_digest,
    labelled_files,
    metadata_probability,
)
from tests.imaging.files import dicom


def table(labels: list[str], clusters: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"label": labels, "cluster": [str(cluster) for cluster in clusters]})


def right(features: pd.DataFrame, rows: pd.DataFrame) -> float:
    probability = metadata_probability(features, rows)
    assert probability is not None
    return float(((probability >= 0.5) == (rows["label"] == "yes")).mean())


def test_it_finds_classes_of_different_sources() -> None:
    labels = ["no", "yes"] * 20
    features = pd.DataFrame({"bytes": [100.0 if label == "no" else 900.0 for label in labels]})
    assert right(features, table(labels, list(range(40)))) == 1.0


def test_it_does_not_recognise_copies() -> None:
    """Every cluster has bytes of its own, so a copy in training would give the label away."""
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 4)
    labels = np.where(rng.permutation(40) % 2, "yes", "no")[clusters]
    features = pd.DataFrame({"bytes": rng.permutation(40).astype(float)[clusters]})
    assert right(features, table(list(labels), list(clusters))) < 0.75


def test_too_few_clusters_have_no_baseline() -> None:
    labels = ["no"] * 20 + ["yes"] * 20
    features = pd.DataFrame({"bytes": np.arange(40.0)})
    few = [number % (MIN_CLUSTERS - 1) for number in range(20)] + list(range(100, 120))
    assert metadata_probability(features, table(labels, few)) is None
    one_class = table(["no"] * 40, list(range(40)))
    assert metadata_probability(features, one_class) is None


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def test_files_are_labelled_by_their_folder(tmp_path: Path) -> None:
    make(tmp_path, "yes/b.png", "no/deep/a", "no/.hidden", "no/notes.txt", "elsewhere/c.png")
    files = [(file.path, file.label, file.patient) for file in labelled_files(tmp_path)]
    assert files == [("no/deep/a", "no", ""), ("yes/b.png", "yes", "")]


def test_patients_are_known_where_the_table_is(tmp_path: Path) -> None:
    make(tmp_path, "yes/b.png", "no/a.png")
    table = tmp_path / "patients.csv"
    table.write_text("path,patient\nyes/b.png,p\nno/a.png,\n", encoding="utf-8")
    assert [file.patient for file in labelled_files(tmp_path)] == ["", "p"]
    table.write_text("path,patient\nyes/b.png,p\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"patients\.csv: no/a\.png: not named in .* mend it"):
        labelled_files(tmp_path)


def test_tags_tell_the_patient_where_no_table_does(tmp_path: Path) -> None:
    for name, number in (("no/a", "4711"), ("yes/b.dcm", "4711"), ("yes/c.dcm", "4712")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(dicom(np.zeros((9, 9), np.uint8), PatientID=number))
    first, same, other = (file.patient for file in labelled_files(tmp_path))
    assert first == same != other
    assert "" not in (first, other)
    assert "4711" not in first
    (tmp_path / "patients.csv").write_text("path,patient\nno/a,p\nyes/b.dcm,\nyes/c.dcm,q\n")
    assert [file.patient for file in labelled_files(tmp_path)] == ["p", first, "q"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), r"no folder no/ \(it holds nothing\); put the images into no/ .* and yes/"),
        (("tumour/a.png", "x.png"), r"no folder no/ \(it holds tumour/, x\.png\)"),
        (("no/a.png",), r"no folder yes/"),
        (("no/a.png", "yes/read.txt"), r"yes: no files that may be images"),
    ],
)
def test_a_folder_that_does_not_fit_is_told_what_to_do(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        labelled_files(make(tmp_path, *names))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none: no such folder"):
        labelled_files(tmp_path / "none")


def test_the_digest_is_of_content_and_label_and_not_of_order() -> None:
    files = [("no/a.png", "1"), ("yes/b.png", "2")]
    digest = content_digest(files)
    assert digest == content_digest(reversed(files))
    assert len(digest) == 64
    assert digest != content_digest([("no/a.png", "1"), ("yes/b.png", "3")])
    assert digest != content_digest([("yes/a.png", "1"), ("yes/b.png", "2")])
    assert digest != content_digest(files[:1])
