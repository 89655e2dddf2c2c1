"""Bytes of a file to grey slices, its kind told by content."""

from brain_tumor.imaging.dicom import is_dicom, read_dicom
from brain_tumor.imaging.nifti import is_nifti, read_nifti
from brain_tumor.imaging.picture import Slice, decode, middle, page_numbers


def read_slices(data: bytes, count: int = 3) -> list[Slice]:
    """Read a picture, a DICOM file or a NIfTI volume: at most `count` slices, frames or pages.

    A picture (JPEG, PNG, BMP, TIFF, ... : what Pillow reads) is one slice, exactly as `decode`
    gives it; of an animation the first frame, of a TIFF of several pages the middle ones.

    Raises:
        DecodeError: it is none of these, damaged or too large.
    """
    if is_dicom(data):
        return read_dicom(data, count)
    if is_nifti(data):
        return read_nifti(data, count)
    pages = page_numbers(data)
    if len(pages) == 1:
        return [Slice("", decode(data))]
    return [
        Slice(f"page {number + 1} of {len(pages)}", decode(data, pages[number]))
        for number in middle(count, range(len(pages)))
    ]
