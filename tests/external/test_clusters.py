"""Pictures that are not independent are one cluster."""

from pathlib import Path

import numpy as np
import pytest
from tests.external.pictures import brighter, larger, pictures, save_edited

from brain_tumor.external.clusters import slice_clusters
from brain_tumor.external.fingerprint import Fingerprint, fingerprints

SLICE = np.zeros((4, 4), np.uint8)  # what the model read; pictures are hashed from their files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return pictures(tmp_path_factory.mktemp("clusters"), 3)


def prints(files: list[Path]) -> list[Fingerprint]:
    return [one for file in files for one in fingerprints(file, [SLICE])]


def clusters(files: list[Path], sha256: str = "abcdefghijklmnop", patients: str = "") -> list[str]:
    names = [str(number) for number in range(len(files))]
    known = list(patients) if patients else [""] * len(files)
    return slice_clusters(names, list(sha256[: len(files)]), known, prints(files))


def test_different_pictures_are_clusters_of_their_own(files: list[Path]) -> None:
    assert clusters(files) == [str(number) for number in range(len(files))]


def test_copies_and_mirrored_copies_are_one_cluster(files: list[Path], tmp_path: Path) -> None:
    larger_one = save_edited(files[0], tmp_path / "larger.png", larger)
    mirrored = save_edited(files[0], tmp_path / "mirrored.jpg", brighter, mirrored=True)
    assert clusters([files[0], files[1], larger_one, mirrored]) == ["0", "1", "0", "0"]


def test_slices_of_a_file_and_of_a_patient_are_one_cluster(files: list[Path]) -> None:
    assert clusters(files[:4], sha256="xxyz") == ["0", "0", "2", "3"]
    assert slice_clusters(list("abc"), list("xyz"), ["p", "", "p"], prints(files[:3])) == [
        "a",
        "b",
        "a",
    ]


def test_no_slices_no_clusters() -> None:
    assert slice_clusters([], [], [], []) == []
