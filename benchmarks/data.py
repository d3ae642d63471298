"""A synthetic CT series, as a scanner sends it: 512x512, 16 bit, with the elements that real headers have."""

import io
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

ROWS = COLUMNS = 512
_ROOT = "1.2.826.0.1.3680043.10.1595"


def ct_series(slices: int = 200, *, series: int = 1, study: int = 1, seed: int = 7) -> Iterator[bytes]:
    """Give the files of a CT series, one after another.

    Parameters
    ----------
    slices : int
        How many.
    series, study : int
        Numbers that the UIDs are made of.
    seed : int
        Of the noise.

    Yields
    ------
    bytes
        A file in Explicit VR Little Endian of about 0.5 MB: a body of water with two lungs and noise in it.
    """
    random = np.random.default_rng(seed)
    body = _phantom()
    for number in range(1, slices + 1):
        noise = random.normal(0, 12, body.shape).astype(np.int16)
        yield ct_file(body + noise, number=number, series=series, study=study)


def _phantom() -> np.ndarray:
    y, x = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    pixels = np.full((ROWS, COLUMNS), -1000, np.int16)
    pixels[x**2 / 0.72 + y**2 / 0.45 < 1] = 40
    for side in (-0.36, 0.36):
        pixels[(x - side) ** 2 / 0.06 + y**2 / 0.16 < 1] = -820
    return pixels


def ct_file(pixels: np.ndarray, *, number: int, series: int, study: int) -> bytes:
    """Write one slice as a DICOM file."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
    ds.file_meta.ImplementationClassUID = UID(f"{_ROOT}.1")
    _identify(ds, number, series, study)
    _describe(ds, number)
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.add_new("PixelData", "OW", pixels.astype("<i2").tobytes())
    _add_private(ds)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def dicom_bytes(study: int, **elements: str) -> bytes:
    """Write a tiny image of a study of its own; elements by keyword are all text."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{_ROOT}.4.{study}", f"{_ROOT}.4.{study}.1"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{_ROOT}.4.{study}.1.1")
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.Rows = ds.Columns = 2
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.add_new("PixelData", "OB", bytes(4))
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _identify(ds: Dataset, number: int, series: int, study: int) -> None:
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"]
    ds.SOPClassUID = CTImageStorage
    ds.StudyInstanceUID = f"{_ROOT}.2.{study}"
    ds.SeriesInstanceUID = f"{_ROOT}.2.{study}.{series}"
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"{_ROOT}.2.{study}.{series}.{number}")
    ds.FrameOfReferenceUID = f"{_ROOT}.3.{study}"
    ds.PatientID, ds.PatientName = f"BENCH{study:06d}", f"Test^Patient{study}"
    ds.PatientBirthDate, ds.PatientSex, ds.PatientAge = "19600102", "F", "064Y"
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240315"
    ds.StudyTime, ds.SeriesTime, ds.AcquisitionTime, ds.ContentTime = "101500", "101730", "101802.123", "101802.623"
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = str(study), series, 1, number
    ds.AccessionNumber = f"A{study:08d}"


def _describe(ds: Dataset, number: int) -> None:
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "Synthetic", "Phantom 64"
    ds.InstitutionName, ds.StationName = "Example Hospital", "CT01"
    ds.ReferringPhysicianName = ds.PerformingPhysicianName = "Example^Physician"
    ds.StudyDescription, ds.SeriesDescription = "CT Thorax", "Thorax 1.0 B31f"
    ds.BodyPartExamined, ds.ProtocolName, ds.PatientPosition = "CHEST", "ThoraxRoutine", "HFS"
    ds.KVP, ds.SliceThickness, ds.DataCollectionDiameter = "120", "1.0", "500"
    ds.SoftwareVersions, ds.DeviceSerialNumber = "1.0", "12345"
    ds.ReconstructionDiameter, ds.DistanceSourceToDetector, ds.DistanceSourceToPatient = "380", "1040", "570"
    ds.GantryDetectorTilt, ds.TableHeight, ds.RotationDirection = "0", "155", "CW"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure, ds.FilterType = 500, 210, 105, "WEDGE_3"
    ds.GeneratorPower, ds.FocalSpots, ds.ConvolutionKernel = 25, "1.2", "B31f"
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-190.0, -190.0, 1.0 * number], [1, 0, 0, 0, 1, 0]
    ds.SliceLocation, ds.PositionReferenceIndicator = f"{1.0 * number}", ""
    ds.PixelSpacing = [0.7421875, 0.7421875]
    ds.WindowCenter, ds.WindowWidth, ds.WindowCenterWidthExplanation = [40, -600], [400, 1200], ["WINDOW1", "WINDOW2"]
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "HU"
    ds.ReferencedStudySequence = [_reference(ds.StudyInstanceUID)]
    ds.SourceImageSequence = [_reference(f"{ds.SeriesInstanceUID}.{n}") for n in (1001, 1002)]
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "RPID16", "RADLEX", "CT Chest"
    ds.ProcedureCodeSequence = [code]


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    return item


def _add_private(ds: Dataset) -> None:
    for group, elements in ((0x0019, 24), (0x0029, 24)):
        block = ds.private_block(group, "SYNTHETIC HEADER", create=True)
        for element in range(elements):
            block.add_new(element, "LO", f"private value {element}")
