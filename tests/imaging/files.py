"""Files as scanners and programs write them, made here with a known content."""

import io
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

RNG = np.random.default_rng(0)


def picture(kind: str, mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    levels = RNG.integers(0, 255, (30, 40), np.uint8)
    Image.fromarray(levels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def volume(shape: tuple[int, int, int] = (24, 30, 36)) -> NDArray[np.int16]:
    """A ball that is brighter to the right, the front and the top; all three by other amounts."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    inside = x**2 + y**2 + z**2 < 0.8
    return np.where(inside, 400 + 100 * x + 60 * y + 30 * z, 0).astype(np.int16)


def nifti(values: NDArray[Any], affine: NDArray[np.float64] | None = None) -> bytes:
    image = nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine)
    data: bytes = image.to_bytes()
    return data


def dicom(pixels: NDArray[Any], **tags: Any) -> bytes:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.Modality = MRImageStorage, "MR"
    dataset.PatientName, dataset.PatientID = "Secret^Person", "SECRET-ID"
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit, dataset.PixelRepresentation = (
        dataset.BitsStored - 1,
        int(pixels.dtype.kind == "i"),
    )
    dataset.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
