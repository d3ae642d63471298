"""Checks of DICOM objects by the tools that others judge them with, and sources that are like real ones."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage

from tests.support.datasets import set_elements, set_file_meta, to_bytes
from tests.support.files import ROOT

ROWS, COLUMNS = 24, 32


def errors_of(file: Path) -> list[str]:
    """List the lines that dciodvfy calls errors in a file."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not on the PATH (Debian: apt-get install dicom3tools)")
    run = subprocess.run(["dciodvfy", str(file)], capture_output=True, timeout=60, check=False)
    lines = (run.stdout + run.stderr).decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def dump(file: Path, tool: str) -> str:
    """Return the dump of a file by DCMTK's dsrdump or dcmdump, which must be able to read it."""
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not on the PATH (Debian: apt-get install dcmtk)")
    run = subprocess.run([tool, str(file)], capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode("utf-8", "replace")


def ct_slice(number: int, *, study: int = 1, series: int = 1, **elements: Any) -> Dataset:
    """A CT slice of 24 rows and 32 columns, 2.5 mm above the one before; None leaves an element away."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{ROOT}.{study}.{series}.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{ROOT}.{study}", f"{ROOT}.{study}.{series}"
    ds.FrameOfReferenceUID = f"{ROOT}.{study}.9"
    ds.PatientID, ds.PatientName, ds.Modality = "D1", "Derived^Test", "CT"
    ds.StudyDate, ds.SeriesNumber, ds.InstanceNumber = "20240102", series, number
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-10.5, -20, number * 2.5], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], 2.5
    set_elements(ds, elements)
    rows, columns = np.mgrid[0:ROWS, 0:COLUMNS]
    ds.PixelData = (rows * 40 + columns + number).astype("<i2").tobytes()
    return ds


def as_file(ds: Dataset) -> bytes:
    """The bytes of a file."""
    set_file_meta(ds)
    return to_bytes(ds)


def reference(name: str) -> Dataset:
    """Read one of pydicom's files."""
    return dcmread(get_testdata_file(name))
