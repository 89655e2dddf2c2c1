"""The pool: every image with the copies that the product would make of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import sections

from brain_tumor.evidence.pool import is_tumour, originals, read_pool, with_phantoms
from brain_tumor.imaging.augment import variants
from brain_tumor.outputs import MANIFEST_COLUMNS, save_image, stored

PARAMS = sections.augment(copies=2)
PATHS = ("no/2.png", "no/10.png", "yes/1 yes.png")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for path in PATHS:
        save_image(stored(tmp_path, path), rng.integers(0, 255, (75, 75)).astype(np.uint8))
    return tmp_path


def manifest() -> pd.DataFrame:
    table = pd.DataFrame({"path": PATHS, "label": ["no", "no", "yes"]})
    table["group"] = ["no/10.png", "no/10.png", "yes/1 yes.png"]
    return table.assign(**dict.fromkeys(set(MANIFEST_COLUMNS) - set(table), ""))


def test_copies_are_those_of_stage_augment(images: Path) -> None:
    pool = read_pool(manifest(), images, PARAMS)
    own = originals(pool)
    assert sorted(own["source"]) == sorted(PATHS)
    for place, path in zip(own.index, own["source"], strict=True):
        wanted = variants(pool.images[place], path, PARAMS)
        copies = pool.rows.index[(pool.rows["source"] == path) & pool.rows["copy"]]
        assert np.array_equal(pool.images[copies], np.stack(wanted))


def test_an_image_and_its_copies_share_label_and_cluster(images: Path) -> None:
    pool = read_pool(manifest(), images, PARAMS)
    assert len(pool.rows) == len(pool.images) == 3 * len(PATHS)
    kinds = pool.rows.groupby("source")[["label", "cluster"]].nunique()
    assert kinds.eq(1).all(axis=None)
    clusters = pool.rows.set_index("source")["cluster"]
    assert set(clusters["no/2.png"]) == set(clusters["no/10.png"]) == {"no/10.png"}
    assert is_tumour(originals(pool)["label"]).sum() == 1


def test_the_order_of_the_manifest_does_not_matter(images: Path) -> None:
    one, two = (read_pool(table, images, PARAMS) for table in (manifest(), manifest()[::-1]))
    assert np.array_equal(one.images, two.images)
    pd.testing.assert_frame_equal(one.rows, two.rows)


def test_phantoms_are_copies_of_no_image(images: Path, tmp_path: Path) -> None:
    pool = read_pool(manifest(), images, PARAMS)
    augmented, name = tmp_path / "augmented", "phantom/0000-axial-yes"
    phantom = np.full((75, 75), 7, np.uint8)
    save_image(stored(augmented, name), phantom)
    columns = ["path", "source", "label"]
    rows = [("no/2.png--00", "no/2.png", "no"), (name, name, "yes")]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "records.csv", index=False)
    found = with_phantoms(pool, augmented, tmp_path / "records.csv")
    assert len(found.rows) == len(found.images) == len(pool.rows) + 1
    assert np.array_equal(found.images[-1], phantom)
    assert found.rows.iloc[-1].to_dict() == {
        "source": name,
        "label": "yes",
        "copy": True,
        "cluster": name,
    }
    pd.testing.assert_frame_equal(originals(found), originals(pool))


def test_without_phantoms_nothing_is_added(images: Path, tmp_path: Path) -> None:
    pool = read_pool(manifest(), images, PARAMS)
    (tmp_path / "records.csv").write_text("path,source,label\nno/2.png--00,no/2.png,no\n")
    assert with_phantoms(pool, tmp_path, tmp_path / "records.csv") is pool
