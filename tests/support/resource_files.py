"""Small DICOM files made for a test."""

import io
from typing import Any

import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 4, 6


def make_dataset(**elements: Any) -> FileDataset:
    """Make a CT slice of 4 x 6 16-bit pixels; keyword arguments set elements, None leaves one out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    defaults: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientID": "P1",
        "PatientName": "DOE^JOHN",
        "PatientBirthDate": "19700101",
        "PatientSex": "O",
        "StudyID": "1",
        "StudyDate": "20240115",
        "StudyTime": "101500",
        "AccessionNumber": "",
        "Modality": "CT",
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": ROWS,
        "Columns": COLUMNS,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(ROWS * COLUMNS * 2)),
    }
    for keyword, value in (defaults | elements).items():
        if value is not None:
            setattr(ds, keyword, value)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    return ds


def to_bytes(ds: FileDataset) -> bytes:
    """Write a dataset as a DICOM file."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ds, enforce_file_format=True)
    return buffer.getvalue()


def make_file(**elements: Any) -> bytes:
    """Make a file as `make_dataset` describes."""
    return to_bytes(make_dataset(**elements))
