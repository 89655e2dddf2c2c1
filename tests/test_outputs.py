"""Files that stages hand on come back as they were written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_tumor import outputs
from brain_tumor.errors import UserError
from brain_tumor.outputs import load_images, read_manifest, save_image, stored


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\nno/a.png,no\n")
    with pytest.raises(ValueError, match=r"columns .*'format'.* are missing"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_damaged_table_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    for damaged in (b"", b"path,label\n\xff\xfe,no\n", b'a,b\n"1,2\n'):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"manifest\.csv: not readable; run `dvc repro`"):
            read_manifest(path)


IMAGES = np.random.default_rng(0).integers(0, 256, (3, 20, 20)).astype(np.uint8)
PATHS = ["no/1 no.jpeg", "yes/Y1.JPG", "yes/a.b.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, image in zip(PATHS, IMAGES, strict=True):
        save_image(stored(tmp_path, path), image)
    return tmp_path


def test_images_come_back_in_the_order_asked(folder: Path) -> None:
    loaded = load_images(folder, PATHS[::-1])
    np.testing.assert_array_equal(loaded, IMAGES[::-1])
    assert loaded.dtype == np.uint8


def test_the_stored_name_keeps_the_original_extension(folder: Path) -> None:
    assert (folder / "no" / "1 no.jpeg.png").is_file()


def test_nothing_asked_is_an_empty_array(folder: Path) -> None:
    assert load_images(folder, []).shape == (0, 0, 0)


def test_a_missing_image_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"no/2\.png\.png: cannot be read"):
        load_images(folder, [*PATHS, "no/2.png"])


@pytest.mark.parametrize("shape", [(21, 21), (20, 30)])
def test_an_image_of_another_shape_is_named(shape: tuple[int, int], folder: Path) -> None:
    save_image(stored(folder, "no/odd.png"), np.zeros(shape, np.uint8))
    with pytest.raises(UserError, match=r"odd\.png\.png: shape"):
        load_images(folder, [*PATHS, "no/odd.png"])


def test_a_coloured_image_is_refused(folder: Path) -> None:
    save_image(stored(folder, "no/rgb.png"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UserError, match="mode RGB"):
        load_images(folder, ["no/rgb.png"])


NAMES = [
    *(
        "no/a\rb.png",
        "no/a\nb.png",
        "no/a\r\nb.png",
        'no/"q",.png',
        "no/ lead.png",
        "no/trail .png",
    ),
    *(
        "no/NA",
        "no/null",
        "no/nan",
        "no/'#;|.png",
        "no/\x1b[2J.png",
        "no/a\\b.png",
        "no/\u2028.png",
    ),
    *("no/=1", "no/e\u0301.png", "no/\u00e9.png", "no/" + "n" * 251 + ".png"),
]


def test_a_table_holds_any_name(tmp_path: Path) -> None:
    texts = dict.fromkeys(("label", "split", "group"), "no")
    table = pd.DataFrame([{"path": name} | texts for name in NAMES])
    outputs.write_split(table, tmp_path / "split.csv")
    assert list(outputs.read_split(tmp_path / "split.csv")["path"]) == NAMES


def test_an_image_of_any_name_is_stored_under_its_own(tmp_path: Path) -> None:
    images = np.arange(len(NAMES) * 4, dtype=np.uint8).reshape(-1, 2, 2)
    for name, image in zip(NAMES, images, strict=True):
        outputs.save_image(outputs.stored(tmp_path, name), image)
    assert np.array_equal(outputs.load_images(tmp_path, NAMES), images)
    assert outputs.stored(tmp_path, "no/1.png") == tmp_path / "no/1.png.png"


def test_a_table_may_be_empty_or_hold_numbers_alone() -> None:
    assert outputs.table_text(pd.DataFrame(columns=["path", "label"])) == "path,label\n"
    assert outputs.table_text(pd.DataFrame({"a": [1, 2]})) == "a\n1\n2\n"
