"""Secondary Capture images (PS3.3 A.8): the result of a tool for a source of any kind."""

from collections.abc import Sequence

from pydicom import Dataset
from pydicom.uid import (
    UID,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    MultiFrameTrueColorSecondaryCaptureImageStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import format_number_as_ds

from neurdicom.processing.dicom_output.attributes import copy_elements, describe_side, sound_elements
from neurdicom.processing.dicom_output.common_modules import (
    Record,
    describe_derivation,
    finish,
    instance_number,
    stamp,
    uid_of,
)
from neurdicom.processing.dicom_output.geometry import Geometry
from neurdicom.processing.dicom_output.sources import SourceFrame
from neurdicom.processing.dicom_output.values import Stored, describe_pixels, describe_rescale
from neurdicom.processing.dicom_output.windows import SourceWindow, common_window, describe_window

#: Attributes of the source's series and image that are kept.
KEPT = (
    "BodyPartExamined", "Laterality", "PatientPosition", "PatientOrientation", "AcquisitionDate", "AcquisitionTime",
    "AcquisitionNumber", "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
    "BurnedInAnnotation",
)  # fmt: skip

#: Modalities whose pixels are measured values, without text.
_UNMARKED = frozenset({"CT", "MR", "PT", "NM"})


def captures(stored: Stored, record: Record) -> list[Dataset]:
    """Make one object for each frame, or one of several frames where the class can keep their values."""
    if len(stored.array) > 1 and not stored.is_rescaled and stored.array.dtype.kind == "u":
        return [_of_frames(stored, record)]
    planes = planes_of(record, len(stored.array))
    common = None if planes else common_window(record, record.planes)
    return [
        _of_frame(stored, record, index, common_window(record, [planes[index]]) if planes else common)
        for index in range(len(stored.array))
    ]


def _of_frame(stored: Stored, record: Record, index: int, window: SourceWindow | None) -> Dataset:
    """Make an object of one frame."""
    array = stored.array[index : index + 1]
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    planes = planes_of(record, len(stored.array))
    plane = planes[index] if planes else record.planes[0]
    # Of many objects without a source frame each, only the first names all sources.
    _common(ds, record, plane, plane if planes or index else None)
    ds.InstanceNumber = instance_number(plane) if planes else index + 1
    describe_pixels(ds, array)
    if not stored.is_colour:
        if stored.array.dtype.itemsize > 1:
            describe_rescale(ds, stored)
            describe_window(ds, stored, window)
        ds.PresentationLUTShape = "IDENTITY"
    if planes and plane.geometry is not None:
        place_frame(ds, plane.geometry.resized(plane.shape, array.shape[1:3]), frame_of_reference(plane))
    finish(ds, record, "OT", number=index + 1)
    return ds


def _of_frames(stored: Stored, record: Record) -> Dataset:
    """Make a multi-frame object; its classes allow neither signed values nor a rescale."""
    array = stored.array
    ds = Dataset()
    if stored.is_colour:
        ds.SOPClassUID = MultiFrameTrueColorSecondaryCaptureImageStorage
    elif array.dtype.itemsize > 1:
        ds.SOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    else:
        ds.SOPClassUID = MultiFrameGrayscaleByteSecondaryCaptureImageStorage
    _common(ds, record, record.planes[0])
    ds.InstanceNumber = 1
    if "BurnedInAnnotation" not in ds:  # type 1 here; unknown is YES, except where scanners write none
        ds.BurnedInAnnotation = "NO" if record.source.get("Modality") in _UNMARKED else "YES"
    describe_pixels(ds, array)
    ds.NumberOfFrames = len(array)
    if not stored.is_colour:
        describe_rescale(ds, stored)
        ds.PresentationLUTShape = "IDENTITY"
        if array.dtype.itemsize > 1:
            describe_window(ds, stored, common_window(record, record.planes))
    planes = planes_of(record, len(array))
    size = array.shape[1:3]
    places = [plane.geometry.resized(plane.shape, size) for plane in planes if plane.geometry is not None]
    if places and len(places) == len(array):
        _place_frames(ds, places, record)
    else:
        ds.FrameIncrementPointer = 0x00182001
        ds.PageNumberVector = list(range(1, len(array) + 1))
    finish(ds, record, "OT")
    return ds


def planes_of(record: Record, frames: int) -> Sequence[SourceFrame]:
    """Return the source frames if there is one for each frame of the result, else none."""
    return record.planes if len(record.planes) == frames else ()


def _common(ds: Dataset, record: Record, plane: SourceFrame, source: SourceFrame | None = None) -> None:
    copy_elements(ds, sound_elements(plane.ds, KEPT))
    if "PatientOrientation" not in ds:
        ds.PatientOrientation = None
    describe_side(ds)
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.ConversionType = "WSD"
    stamp(ds, record)
    describe_derivation(ds, record, source)


def place_frame(ds: Dataset, geometry: Geometry, reference: str) -> None:
    """Set the Image Plane and Frame of Reference modules (PS3.3 C.7.6.2, C.7.4.1).

    Parameters
    ----------
    ds : Dataset
        The object.
    geometry : Geometry
        Position, orientation and spacing.
    reference : str
        Frame of Reference UID.
    """
    ds.ImagePositionPatient = _decimals(geometry.position)
    ds.ImageOrientationPatient = _decimals(geometry.orientation)
    ds.PixelSpacing = _decimals(geometry.spacing)
    ds.SliceThickness = None if geometry.thickness is None else format_number_as_ds(geometry.thickness)
    ds.FrameOfReferenceUID = UID(reference)
    ds.PositionReferenceIndicator = None


def frame_of_reference(plane: SourceFrame) -> str:
    """Return the Frame of Reference UID of a frame; images without one share that of their series."""
    known = sound_elements(plane.ds, ["FrameOfReferenceUID"])
    return str(known[0].value) if known else uid_of("frame of reference", plane.ds.SeriesInstanceUID)


def _place_frames(ds: Dataset, places: Sequence[Geometry], record: Record) -> None:
    """Set the functional groups (PS3.3 C.7.6.16) with the position of each frame."""
    shared, frames = Dataset(), []
    for index, place in enumerate(places, 1):
        group, position, orientation, measures, content = (Dataset() for _ in range(5))
        position.ImagePositionPatient = _decimals(place.position)
        orientation.ImageOrientationPatient = _decimals(place.orientation)
        measures.PixelSpacing = _decimals(place.spacing)
        if place.thickness is not None:
            measures.SliceThickness = format_number_as_ds(place.thickness)
        content.StackID, content.InStackPositionNumber, content.DimensionIndexValues = "1", index, [1, index]
        group.FrameContentSequence, group.PlanePositionSequence = [content], [position]
        group.PlaneOrientationSequence, group.PixelMeasuresSequence = [orientation], [measures]
        frames.append(group)
    for keyword in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        if all(group[keyword].value == frames[0][keyword].value for group in frames):
            shared.add(frames[0][keyword])
            for group in frames:
                del group[keyword]
    ds.SharedFunctionalGroupsSequence, ds.PerFrameFunctionalGroupsSequence = [shared], frames
    ds.FrameIncrementPointer = 0x52009230
    ds.FrameOfReferenceUID = UID(frame_of_reference(record.planes[0]))
    ds.PositionReferenceIndicator = None
    describe_dimensions(ds, uid_of("dimensions", record.identity))


def describe_dimensions(ds: Dataset, uid: str) -> None:
    """Set the Multi-frame Dimension module (PS3.3 C.7.6.17): frames by stack and position in it."""
    organization = Dataset()
    organization.DimensionOrganizationUID = UID(uid)
    ds.DimensionOrganizationSequence = [organization]
    ds.DimensionIndexSequence = [dimension(uid, 0x00209056), dimension(uid, 0x00209057)]


def dimension(uid: str, pointer: int) -> Dataset:
    """Make an item of the Dimension Index Sequence for an attribute of the Frame Content Sequence."""
    item = Dataset()
    item.DimensionOrganizationUID = UID(uid)
    item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, 0x00209111
    return item


def _decimals(numbers: Sequence[float]) -> list[str]:
    return [format_number_as_ds(float(number)) for number in numbers]
