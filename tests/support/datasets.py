"""Common parts of the makers of DICOM objects for tests: elements by keyword, and the file of a dataset."""

import io
import warnings
from collections.abc import Mapping
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian


def set_elements(ds: Dataset, elements: Mapping[str, Any]) -> None:
    """Set elements by keyword, wrong values too; None leaves one out."""
    for keyword, value in elements.items():
        if value is not None:
            with warnings.catch_warnings(action="ignore"):  # files are wrong in tests
                setattr(ds, keyword, value)
        elif keyword in ds:
            del ds[keyword]


def set_file_meta(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> None:
    """Give a dataset the File Meta Information that it needs to be a file."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = UID(ds.get("SOPClassUID") or "1.2.3")
    ds.file_meta.MediaStorageSOPInstanceUID = UID(ds.get("SOPInstanceUID") or "1.2.3")


def to_bytes(ds: Dataset) -> bytes:
    """Write a dataset with File Meta Information as a DICOM file."""
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()
