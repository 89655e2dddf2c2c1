"""The table that travels with a model, of this version and of earlier ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_tumor.data.copies import BITS, MAX_BITS, frequency_hash
from brain_tumor.data.training_images import TrainingImage, hash_file, read, write
from brain_tumor.errors import UserError
from brain_tumor.imaging.read import read_grey
from tests.damage import DAMAGES, Damage
from tests.data.pictures import smooth


def distance(picture: Image.Image, other: Image.Image) -> int:
    return (frequency_hash(picture) ^ frequency_hash(other)).bit_count()


def test_half_of_the_bits_are_set() -> None:
    assert frequency_hash(smooth(0)).bit_count() == BITS // 2


def test_size_and_brightness_do_not_matter() -> None:
    picture = smooth(0)
    assert distance(picture, smooth(0, 192)) <= MAX_BITS
    assert distance(picture, picture.point(lambda value: value // 2)) <= MAX_BITS


def test_other_pictures_are_far() -> None:
    others = [distance(smooth(0), smooth(seed)) for seed in range(1, 30)]
    assert min(others) > 2 * MAX_BITS


def test_a_mirrored_picture_is_another() -> None:
    mirrored = smooth(0).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert distance(smooth(0), mirrored) > 2 * MAX_BITS


def test_the_hash_of_a_file_is_that_of_the_picture_upright(tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    smooth(0).rotate(180).save(turned, exif=exif, quality=95)
    assert (int(hash_file(turned), 16) ^ frequency_hash(smooth(0))).bit_count() <= MAX_BITS
    assert len(hash_file(turned)) == 64


@pytest.mark.parametrize("top", [255, 4095, 4096, 16000, 65535])
def test_what_is_hashed_is_what_is_seen(tmp_path: Path, top: int) -> None:
    deep = tmp_path / "deep.png"
    values = np.asarray(smooth(0), dtype=np.float64)
    values = (values - values.min()) / np.ptp(values) * top
    Image.fromarray(values.round().astype(np.uint16)).save(deep)
    picture = Image.fromarray(read_grey(deep.read_bytes()))
    assert np.ptp(np.asarray(picture)) == 255
    assert hash_file(deep) == f"{frequency_hash(picture):064x}"


def test_a_file_that_is_no_picture_has_no_hash(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text", encoding="utf-8")
    assert hash_file(tmp_path / "text") == hash_file(tmp_path / "none") == ""


def test_what_is_written_is_read(tmp_path: Path) -> None:
    images = [
        TrainingImage('yes/a, "b".png', "1" * 64, "duplicate:g split:g", "val", "0f", "ff"),
        TrainingImage("no/c.png", "2" * 64, "split:h", "train", "", ""),
    ]
    write(tmp_path / "t.csv", images)
    assert read(tmp_path / "t.csv") == images


def test_tables_of_earlier_versions_hold_training_images(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("path,sha256,group\nno/a.png,11,g\n", encoding="utf-8")
    assert read(table) == [TrainingImage("no/a.png", "11", "g", "train", "", "")]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "missing"), (b"path\na\n", "sha256"), (b"\xff\xfe\n", "readable")],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    table = tmp_path / "t.csv"
    if content is not None:
        table.write_bytes(content)
    with pytest.raises(ValueError, match=rf"t\.csv: .*{message}"):
        read(table)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_table_is_named_with_what_to_do(damage: Damage, tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    write(table, [TrainingImage("no/c.png", "2" * 64, "split:h", "train", "", "")] * 9)
    damage(table)
    with pytest.raises(UserError, match=r"t\.csv: .*pull or register the model anew"):
        read(table)
