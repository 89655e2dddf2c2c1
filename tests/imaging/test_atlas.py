from pathlib import Path

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import Atlas, build_atlas
from tests import sections


def test_every_asked_slice_is_there_and_sagittal_ones_twice(atlas: Atlas) -> None:
    params = sections.preprocess()
    assert atlas.planes.count("axial") == len(params.axial_mm)
    assert atlas.planes.count("coronal") == len(params.coronal_mm)
    assert atlas.planes.count("sagittal") == 2 * len(params.sagittal_mm)
    assert len({atlas.name(index) for index in range(len(atlas.planes))}) == len(atlas.planes)


def test_brains_lie_inside_heads_that_keep_clear_of_the_edge(atlas: Atlas) -> None:
    assert (atlas.heads | ~atlas.brains).all()
    edge = np.concatenate([atlas.heads[:, [0, -1]].ravel(), atlas.heads[:, :, [0, -1]].ravel()])
    assert not edge.any()


def test_axial_slices_are_symmetric_about_the_midline_of_the_frame(atlas: Atlas) -> None:
    brain = atlas.brains[atlas.planes.index("axial")]
    mirrored = np.roll(brain[:, ::-1], 1, axis=1)  # MNI x = 0 is column 64
    assert (brain & mirrored).sum() / (brain | mirrored).sum() > 0.97


def test_a_stored_atlas_comes_back_equal_and_with_equal_bytes(atlas: Atlas, tmp_path: Path) -> None:
    for name in ("first.npz", "second.npz"):
        atlas.save(tmp_path / name)
    assert (tmp_path / "first.npz").read_bytes() == (tmp_path / "second.npz").read_bytes()
    assert (tmp_path / "first.npz").stat().st_size < 200_000
    again = Atlas.load(tmp_path / "first.npz")
    np.testing.assert_array_equal(again.images, atlas.images)
    np.testing.assert_array_equal(again.brains, atlas.brains)
    assert [again.name(i) for i in range(5)] == [atlas.name(i) for i in range(5)]


@pytest.mark.parametrize("content", [None, b"not an archive"])
def test_what_is_no_atlas_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "atlas.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"atlas\.npz: not an atlas"):
        Atlas.load(path)


@pytest.mark.parametrize("position_mm", [500.0, 84.0])
def test_a_position_without_brain_is_refused_by_name(position_mm: float) -> None:
    params = sections.preprocess(axial_mm=(position_mm,), coronal_mm=(), sagittal_mm=())
    with pytest.raises(UserError, match=f"axial_mm: {position_mm:g} mm"):
        build_atlas(params)


def test_no_slices_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="all empty"):
        sections.preprocess(axial_mm=(), coronal_mm=(), sagittal_mm=())
