"""A slide of a few tiles, with what viewers of whole slides ask for (PS3.3 A.32.8)."""

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import VLWholeSlideMicroscopyImageStorage, generate_uid

from tests.support.datasets import set_file_meta

TILE = 128
_Y, _X = np.mgrid[0:TILE, 0 : 2 * TILE]
#: What the slide shows: two tiles side by side, without edges, so that lossy compression keeps it.
SLIDE = np.stack([255 - _X // 2, 40 + _Y, 20 + _X // 2], axis=-1).astype("u1")


def rgb_slide() -> Dataset:
    """Make a slide in RGB, native, tiled in full, with UIDs of its own."""
    ds = Dataset()
    ds.SOPClassUID = VLWholeSlideMicroscopyImageStorage
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(ds, keyword, generate_uid())
    ds.PatientID, ds.PatientName, ds.Modality, ds.InstanceNumber = ds.StudyInstanceUID, "Slide^One", "SM", 1
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.Rows = ds.Columns = TILE
    ds.NumberOfFrames = 2
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.TotalPixelMatrixRows, ds.TotalPixelMatrixColumns, ds.TotalPixelMatrixFocalPlanes = TILE, 2 * TILE, 1
    ds.ImagedVolumeWidth, ds.ImagedVolumeHeight, ds.ImagedVolumeDepth = 0.128, 0.064, 1.0
    ds.DimensionOrganizationType, ds.NumberOfOpticalPaths = "TILED_FULL", 1
    ds.FocusMethod, ds.ExtendedDepthOfField, ds.ImageOrientationSlide = "AUTO", "NO", [0, -1, 0, -1, 0, 0]
    ds.ContainerIdentifier, ds.SpecimenLabelInImage, ds.BurnedInAnnotation = "S1", "NO", "NO"
    ds.VolumetricProperties, ds.LossyImageCompression, ds.AcquisitionDateTime = "VOLUME", "00", "20260101"
    origin, measures, frame_type, group, path = (Dataset() for _ in range(5))
    origin.XOffsetInSlideCoordinateSystem = origin.YOffsetInSlideCoordinateSystem = 0
    ds.TotalPixelMatrixOriginSequence = [origin]
    measures.PixelSpacing, measures.SliceThickness = [0.0005, 0.0005], 0.001
    frame_type.FrameType = ds.ImageType
    group.PixelMeasuresSequence, group.WholeSlideMicroscopyImageFrameTypeSequence = [measures], [frame_type]
    ds.SharedFunctionalGroupsSequence = [group]
    path.OpticalPathIdentifier = "1"
    ds.OpticalPathSequence = [path]
    ds.PixelData = SLIDE[:, :TILE].tobytes() + SLIDE[:, TILE:].tobytes()
    ds["PixelData"].VR = "OB"
    set_file_meta(ds)
    return ds
