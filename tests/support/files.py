"""DICOM files made for tests."""

from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from tests.support.datasets import set_elements, set_file_meta, to_bytes

ROOT = "1.2.826.0.1.3680043.10.1595.9"


def dicom_file(number: int = 1, *, study: int = 1, series: int = 1, patient: str = "P1", **elements: Any) -> bytes:
    """Write a small image; elements by keyword come on top, None leaves one out."""
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = f"{ROOT}.{study}.{series}.{number}"
    ds.StudyInstanceUID = f"{ROOT}.{study}"
    ds.SeriesInstanceUID = f"{ROOT}.{study}.{series}"
    ds.PatientID, ds.PatientName, ds.Modality, ds.InstanceNumber = patient, "Doe^Jane", "OT", number
    ds.Rows = ds.Columns = 4
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.add_new("PixelData", "OB", bytes(range(16)))
    set_elements(ds, elements)
    set_file_meta(ds)
    ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    return to_bytes(ds)


def large_file_head(size: int, number: int = 1) -> bytes:
    """The beginning of a file up to its pixels, of which `size` bytes are to follow."""
    file = dicom_file(number, NumberOfFrames=size // 16, PixelData=b"")
    head = file[: file.index(b"\xe0\x7f\x10\x00OB") + 8]
    return head + size.to_bytes(4, "little")
