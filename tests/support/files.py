"""DICOM files made for tests."""

import io
import warnings
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

ROOT = "1.2.826.0.1.3680043.10.1595.9"


def dicom_file(number: int = 1, *, study: int = 1, series: int = 1, patient: str = "P1", **elements: Any) -> bytes:
    """Write a small image; elements by keyword come on top, None leaves one out."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
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
    for keyword, value in elements.items():
        if value is None:
            del ds[keyword]
        else:
            with warnings.catch_warnings(action="ignore"):  # files are wrong in tests
                setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3")
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def large_file_head(size: int, number: int = 1) -> bytes:
    """The beginning of a file up to its pixels, of which `size` bytes are to follow."""
    file = dicom_file(number, NumberOfFrames=size // 16, PixelData=b"")
    head = file[: file.index(b"\xe0\x7f\x10\x00OB") + 8]
    return head + size.to_bytes(4, "little")
