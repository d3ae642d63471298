"""Series of slices made for tests, and volumes in single files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

from tests.support.datasets import set_elements, set_file_meta

ROWS, COLUMNS = 5, 7


def slice_pixels(number: int, rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Stored values that differ in each sample of each slice."""
    return (np.arange(rows * columns).reshape(rows, columns) - 10 + 100 * number).astype(np.int16)


def ct_slice(
    number: int,
    *,
    z: float | None = None,
    series: str = "1.2.3.4",
    study: str = "1.2.3",
    pixels: Any = None,
    syntax: str = ExplicitVRLittleEndian,
    **elements: Any,
) -> Dataset:
    """A CT slice at `z` (2.5 mm for each number otherwise); elements by keyword come on top, None leaves one out."""
    pixels = slice_pixels(number) if pixels is None else pixels
    ds = _image(CTImageStorage, f"{series}.{number}", series, study, pixels.shape[-2:])
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [-10.0, 20.0, 2.5 * number if z is None else z]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [0.5, 0.75], 2.5
    ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
    ds.WindowCenter, ds.WindowWidth = 40, 400
    ds.PixelData = np.ascontiguousarray(pixels).tobytes()
    set_elements(ds, elements)
    if syntax != ExplicitVRLittleEndian:
        ds.compress(syntax, generate_instance_uid=False)
    return ds


def enhanced_ct(
    positions: Sequence[float], *, uid: str = "1.2.9.1", series: str = "1.2.9", study: str = "1.2", **elements: Any
) -> Dataset:
    """An enhanced CT whose frames lie at these positions, in their order; frame `n` has `slice_pixels(n)`."""
    ds = _image(EnhancedCTImageStorage, uid, series, study, (ROWS, COLUMNS))
    ds.InstanceNumber, ds.NumberOfFrames = 1, len(positions)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = [_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [_item(PixelSpacing=[0.5, 0.75], SliceThickness=2.5)]
    for number, z in enumerate(positions, 1):
        frame = Dataset()
        frame.PlanePositionSequence = [_item(ImagePositionPatient=[-10.0, 20.0, z])]
        frame.PixelValueTransformationSequence = [_item(RescaleSlope=1, RescaleIntercept=number, RescaleType="HU")]
        frame.FrameVOILUTSequence = [_item(WindowCenter=40, WindowWidth=400)]
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    ds.PixelData = np.stack([slice_pixels(number) for number in range(1, len(positions) + 1)]).tobytes()
    set_elements(ds, elements)
    return ds


def write(ds: Dataset, folder: Path) -> Path:
    """Save under a name of its own."""
    path = folder / f"{ds.SOPInstanceUID}-{generate_uid()[-6:]}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return path


def _image(sop_class: str, uid: str, series: str, study: str, size: Sequence[int]) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID = sop_class, uid, series, study
    set_file_meta(ds)
    ds.PatientID, ds.PatientName, ds.Modality = "V1", "Doe^Volume", "CT"
    ds.Rows, ds.Columns = size
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit, ds.PixelRepresentation = 15, 1
    return ds


def _item(**elements: Any) -> Dataset:
    made = Dataset()
    set_elements(made, elements)
    return made
