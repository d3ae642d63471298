"""A DICOM file for the tests, made in memory."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from tests.support.datasets import set_file_meta, to_bytes

ROWS, COLUMNS = 6, 8
PIXELS = np.arange(ROWS * COLUMNS, dtype=np.int16).reshape(ROWS, COLUMNS)


def ct_image() -> tuple[str, bytes]:
    """A CT image of 6 rows and 8 columns with the stored values 0 to 47; answers its SOP Instance UID and the file."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.PatientID, ds.PatientName, ds.Modality = "P1", "Doe^Jane", "CT"
    ds.Rows, ds.Columns, ds.SamplesPerPixel = ROWS, COLUMNS, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
    ds.RescaleSlope, ds.RescaleIntercept = 2, -10
    ds.PixelData = PIXELS.tobytes()
    set_file_meta(ds)
    return ds.SOPInstanceUID, to_bytes(ds)
