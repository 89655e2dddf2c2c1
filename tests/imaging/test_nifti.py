"""NIfTI volumes come out as slices that stand as a radiologist sees them."""

import gzip
import itertools

import nibabel
import numpy as np
import pytest

from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.preprocess import preprocess_grey
from brain_tumor.imaging.read import read_slices
from tests import sections
from tests.imaging.files import nifti, volume


def test_every_orientation_of_the_axes_gives_the_same_slices() -> None:
    values = volume()
    expected = [image.grey for image in read_slices(nifti(values))]
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            turned = values.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            affine = np.zeros((4, 4))
            affine[3, 3] = 1
            for axis, (origin, flip) in enumerate(zip(order, flips, strict=True)):
                affine[origin, axis] = flip
            slices = read_slices(nifti(np.ascontiguousarray(turned), affine))
            for image, grey in zip(slices, expected, strict=True):
                assert np.array_equal(image.grey, grey)


def test_an_axial_slice_has_front_up_and_the_patients_right_at_the_left() -> None:
    [grey] = [image.grey.astype(int) for image in read_slices(nifti(volume()), 1)]
    assert grey.shape == (30, 24)
    inside = grey > 0
    top, bottom = grey[:15][inside[:15]].mean(), grey[15:][inside[15:]].mean()
    left, right = grey[:, :12][inside[:, :12]].mean(), grey[:, 12:][inside[:, 12:]].mean()
    assert left > right
    assert top > bottom


@pytest.mark.parametrize(("axis", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
def test_slices_lie_across_the_thickest_spacing(axis: int, plane: str) -> None:
    spacing = np.ones(3)
    spacing[axis] = 5
    slices = read_slices(nifti(volume(), np.diag([*spacing, 1])), 2)
    total = volume().shape[axis]
    assert [image.name.split()[0] for image in slices] == [plane] * 2
    assert all(image.name.endswith(f"of {total}") for image in slices)


def test_pixels_are_made_square() -> None:
    [image] = read_slices(nifti(volume(), np.diag([1.0, 2.0, 3.5, 1.0])), 1)
    assert image.grey.shape == (60, 24)


def test_middle_slices_come_from_where_there_is_signal() -> None:
    values = np.zeros((24, 30, 90), np.int16)
    values[:, :, 50:86] = volume()
    places = [int(image.name.split()[1]) for image in read_slices(nifti(values), 5)]
    assert places == sorted(set(places))
    assert places[0] >= 58
    assert places[-1] <= 79


def test_packed_scaled_and_double_files_say_the_same() -> None:
    expected = [picture.grey for picture in read_slices(nifti(volume()))]
    scaled = nibabel.Nifti1Image(volume(), np.eye(4))
    scaled.header.set_slope_inter(2.5, 0)
    second = nibabel.Nifti2Image(volume(), np.eye(4))
    packed = gzip.compress(nifti(volume()))
    for data in (packed, nifti(volume().astype(float)), scaled.to_bytes(), second.to_bytes()):
        slices = [picture.grey for picture in read_slices(data)]
        assert all(np.array_equal(*pair) for pair in zip(slices, expected, strict=True))


def test_a_series_says_that_the_first_is_used() -> None:
    series = np.stack([volume(), volume() // 2], axis=-1)
    [image] = read_slices(nifti(series), 1)
    assert np.array_equal(image.grey, read_slices(nifti(volume()), 1)[0].grey)
    assert image.notes == ("a series of 2 volumes: the first is used",)


def test_a_single_slice_has_no_name() -> None:
    flat = volume()[:, :, 18:19]
    assert [image.name for image in read_slices(nifti(flat))] == [""]
    assert [image.name for image in read_slices(nifti(flat[:, :, 0]))] == [""]


def test_values_that_are_no_numbers_are_black_and_named() -> None:
    values = volume().astype(np.float32)
    values[12, 15, :] = np.nan
    [image] = read_slices(nifti(values), 1)
    assert image.grey[14:16, 11:13].min() == 0
    assert "no numbers" in image.notes[0]


def test_a_header_that_claims_too_much_is_refused_without_reading() -> None:
    data = bytearray(gzip.compress(nifti(volume())))
    image = nibabel.Nifti1Image(volume(), np.eye(4))
    image.header["dim"] = [3, 30_000, 30_000, 30_000, 1, 1, 1, 1]
    huge = gzip.compress(bytes(image.header.binaryblock) + b"\0" * 1000)
    with pytest.raises(DecodeError, match="more than this reads"):
        read_slices(huge)
    with pytest.raises(DecodeError):
        read_slices(bytes(data[:200]))


def test_no_picture_is_refused() -> None:
    with pytest.raises(DecodeError, match="no grey picture"):
        read_slices(nifti(volume().astype(np.complex64)))


def test_only_the_first_volume_of_a_long_series_is_read() -> None:
    data = bytearray(nifti(volume()))
    data[40:56] = np.array([4, *volume().shape, 30_000, 1, 1, 1], "<i2").tobytes()
    for file in (bytes(data), gzip.compress(bytes(data))):
        [image] = read_slices(file, 1)
        assert np.array_equal(image.grey, read_slices(nifti(volume()), 1)[0].grey)


@pytest.mark.parametrize("offset", [1e12, np.nan, np.inf, -1e9])
def test_voxels_that_begin_nowhere_near_are_refused(offset: float) -> None:
    data = bytearray(nifti(volume()))
    data[108:112] = np.float32(offset).tobytes()
    for file in (bytes(data), gzip.compress(bytes(data))):
        with pytest.raises(DecodeError, match=r"more than this reads|damaged"):
            read_slices(file)


def test_air_of_a_standardised_volume_is_black_though_tissue_lies_below_it() -> None:
    values = volume().astype(np.float32)
    inside = values > 0
    values[inside] = (values[inside] - values[inside].mean()) / values[inside].std()
    [image] = read_slices(nifti(values), 1)
    [plain] = read_slices(nifti(volume()), 1)
    head = plain.grey > 0
    assert not image.grey[~head].any()
    assert np.corrcoef(image.grey[head], plain.grey[head])[0, 1] > 0.99


def test_white_is_no_outlier() -> None:
    values = volume()
    values[0, 0, 0] = 32_000
    [image] = read_slices(nifti(values), 1)
    assert image.grey.max() > 200


def test_a_header_without_its_voxels_says_where_they_are() -> None:
    pair = nibabel.Nifti1Pair(volume(), np.eye(4))
    with pytest.raises(DecodeError, match="in another file"):
        read_slices(bytes(pair.header.binaryblock))


def test_a_file_that_does_not_say_how_the_head_lies_is_noted() -> None:
    image = nibabel.Nifti1Image(volume(), None)
    image.header.set_sform(None, 0)
    image.header.set_qform(None, 0)
    assert "how the head lies" in read_slices(image.to_bytes(), 1)[0].notes[0]


@pytest.fixture(scope="module")
def template() -> nibabel.Nifti1Image:
    """The MNI152 template at 2 mm."""
    from nilearn.datasets import load_mni152_template

    return load_mni152_template(resolution=2)


@pytest.mark.parametrize(("axis", "plane"), [(0, "sagittal"), (1, "coronal"), (2, "axial")])
@pytest.mark.parametrize("turned", ["RAS", "LPI", "PSL", "IRA"])
def test_a_brain_comes_out_upright_in_its_plane(
    template: nibabel.Nifti1Image, axis: int, plane: str, turned: str
) -> None:
    every = tuple(slice(None, None, 3 if own == axis else None) for own in range(3))
    thick = template.slicer[every]
    target = nibabel.orientations.axcodes2ornt(turned)
    stored = thick.as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.io_orientation(thick.affine), target)
    )
    for image in read_slices(nifti(stored.get_fdata(dtype=np.float32), stored.affine)):
        record = preprocess_grey(image.grey, sections.preprocess()).record
        assert image.name.startswith(plane)
        assert record.plane == plane
        assert record.fallback == ""
        assert abs(record.rotation_deg) < 8
        assert record.slice.endswith("-mirrored") == (plane == "sagittal")  # these face left


def test_nothing_but_nan_is_refused_by_name() -> None:
    with pytest.raises(DecodeError, match="without a single number"):
        read_slices(nifti(np.full((9, 9, 9), np.nan, np.float32)))
