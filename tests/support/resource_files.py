"""Small DICOM files made for a test."""

from typing import Any

from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.support.datasets import set_elements, to_bytes

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
    set_elements(ds, defaults | elements)
    meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2")
    return ds


def make_file(**elements: Any) -> bytes:
    """Make a file as `make_dataset` describes."""
    return to_bytes(make_dataset(**elements))
