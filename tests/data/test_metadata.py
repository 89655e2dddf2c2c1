"""What is known of a file without its picture."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor.data.metadata import metadata_classifier, metadata_features


def picture(seed: int = 0) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 255, (30, 40), dtype=np.uint8))


def test_header_is_described(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[270] = "a scan"
    picture().convert("RGB").save(path, exif=exif, dpi=(72, 72), icc_profile=b"profile", quality=50)
    features = metadata_features(path)
    assert (features["width"], features["height"]) == (40, 30)
    assert features["bytes"] == path.stat().st_size
    assert features["bytes_per_pixel"] == pytest.approx(path.stat().st_size / 1200)
    expected = {"format_JPEG", "mode_RGB", "exif", "icc", "resolution"}
    flags = {name for name, value in features.items() if value == 1.0}
    assert flags == expected


def test_lower_quality_has_coarser_tables(tmp_path: Path) -> None:
    coarse, fine = tmp_path / "coarse.jpg", tmp_path / "fine.jpg"
    picture().save(coarse, quality=30)
    picture().save(fine, quality=95)
    key = "jpeg_quantisation"
    assert metadata_features(coarse)[key] > metadata_features(fine)[key]


def test_the_format_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    picture().save(path, "PNG")
    assert metadata_features(path)["format_PNG"] == 1


def test_the_picture_does_not_matter(tmp_path: Path) -> None:
    paths = [tmp_path / "a.bmp", tmp_path / "b.bmp"]
    for seed, path in enumerate(paths):
        picture(seed).save(path)
    first, second = (metadata_features(path) for path in paths)
    assert pd.Series(first).equals(pd.Series(second))


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", bytes(128) + b"DICM" + bytes(20)])
def test_unknown_files_have_the_same_columns(tmp_path: Path, data: bytes) -> None:
    picture_file, other_file = tmp_path / "a.png", tmp_path / "b"
    picture().save(picture_file)
    other_file.write_bytes(data)
    features = metadata_features(other_file)
    assert list(features) == list(metadata_features(picture_file))
    assert features["bytes"] == len(data)
    assert math.isnan(features["width"])
    assert features["format_other"] == 1


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        metadata_features(tmp_path / "none.png")


def test_classifier_finds_what_files_give_away_and_repeats(tmp_path: Path) -> None:
    rows = []
    for index in range(40):
        path = tmp_path / (f"{index}.png" if index % 2 else f"{index}.jpg")
        picture(index).save(path)
        rows.append(metadata_features(path))
    table, y = pd.DataFrame(rows), np.arange(40) % 2
    table.loc[0, "width"] = math.nan
    fit = [metadata_classifier(3).fit(table[:20], y[:20]) for _ in range(2)]
    probability = [classifier.predict_proba(table[20:])[:, 1] for classifier in fit]
    assert ((probability[0] > 0.5) == y[20:]).all()
    assert np.array_equal(*probability)
