"""DICOM files made for a test, and the layout of any file."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from neurdicom.dicom.header import Layout
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import Invalid
from tests.support.datasets import set_elements


def layout_of(path: Path, tmp_path: Path) -> tuple[Path, Layout]:
    """Find the layout of a file; one without the UIDs that ingest asks for is copied and given some."""
    try:
        return path, read_header(path).layout
    except Invalid:
        ds = dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            if not UID(str(ds.get(keyword) or "")).is_valid:
                setattr(ds, keyword, generate_uid())
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID") or CTImageStorage
        copy = tmp_path / "with_uids.dcm"
        ds.save_as(copy)
        return copy, read_header(copy).layout


def make_dataset(pixels: bytes, rows: int, columns: int, **elements: Any) -> FileDataset:
    """Make an image of 16-bit unsigned MONOCHROME2 pixels, unless the elements say otherwise; None leaves one out."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = elements.pop("transfer_syntax", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = CTImageStorage
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    allocated = elements.get("BitsAllocated", 16)
    defaults: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientID": "PIXELS",
        "Modality": "CT",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": rows,
        "Columns": columns,
        "BitsAllocated": allocated,
        "BitsStored": elements.get("BitsStored", allocated),
        "HighBit": max((elements.get("BitsStored") or allocated) - 1, 0),
        "PixelRepresentation": 0,
        "PixelData": pixels + bytes(len(pixels) % 2),
    }
    set_elements(ds, defaults | elements)
    if "PixelData" in ds:
        ds["PixelData"].VR = elements.get(
            "vr", "OB" if allocated <= 8 or meta.TransferSyntaxUID.is_encapsulated else "OW"
        )
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds


def save(ds: FileDataset, path: Path) -> tuple[Path, Layout]:
    """Write a dataset in the transfer syntax of its meta information."""
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    dcmwrite(
        path,
        ds,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        force_encoding=True,
    )
    return path, read_header(path).layout


def make_file(path: Path, array: np.ndarray[Any, Any] | bytes, **elements: Any) -> tuple[Path, Layout]:
    """Write an image of an array of shape (rows, columns) or (rows, columns, samples), or of bytes with Rows given."""
    if isinstance(array, bytes):
        return save(make_dataset(array, elements.pop("Rows"), elements.pop("Columns"), **elements), path)
    big = elements.get("transfer_syntax") == ExplicitVRBigEndian
    defaults: dict[str, Any] = {
        "BitsAllocated": array.dtype.itemsize * 8,
        "PixelRepresentation": int(array.dtype.kind == "i"),
    }
    if array.ndim == 3:
        defaults |= {
            "SamplesPerPixel": array.shape[2],
            "PlanarConfiguration": 0,
            "PhotometricInterpretation": "RGB",
        }
    pixels = array.astype(array.dtype.newbyteorder(">" if big else "<")).tobytes()
    return save(make_dataset(pixels, *array.shape[:2], **(defaults | elements)), path)


def encapsulated(frames: Sequence[bytes | bytearray], *, fragments: int = 1, table: bool = True) -> bytes:
    """Encapsulate codestreams, with or without a Basic Offset Table."""
    return encapsulate([bytes(frame) for frame in frames], fragments_per_frame=fragments, has_bot=table)


def copy_cut(path: Path, target: Path, size: int) -> Path:
    """Copy the first bytes of a file."""
    shutil.copyfile(path, target)
    with target.open("r+b") as file:
        file.truncate(size)
    return target
