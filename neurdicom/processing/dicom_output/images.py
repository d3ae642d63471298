"""Images of their source's kind, with the values kept by a rescale: CT, MR, PET and CR (PS3.3 A.3, A.4, A.21, A.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    LegacyConvertedEnhancedCTImageStorage,
    LegacyConvertedEnhancedMRImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from neurdicom.processing.dicom_output.attributes import copy_elements, describe_side, sound_elements, words
from neurdicom.processing.dicom_output.capture import KEPT, frame_of_reference, place_frame, planes_of
from neurdicom.processing.dicom_output.common_modules import Record, describe_derivation, finish, instance_number, stamp
from neurdicom.processing.dicom_output.sources import SourceFrame
from neurdicom.processing.dicom_output.values import (
    Array,
    describe_pixels,
    describe_rescale,
    quantised,
)
from neurdicom.processing.dicom_output.windows import describe_window, window_of

_SERIES: Final = words("""
    ProtocolName PerformingPhysicianName OperatorsName PerformedProcedureStepID PerformedProcedureStepStartDate
    PerformedProcedureStepStartTime PerformedProcedureStepDescription ContrastBolusAgent ContrastBolusRoute
    SpacingBetweenSlices SliceLocation RescaleType
""")

_CT: Final = words("""
    KVP ScanOptions DataCollectionDiameter ReconstructionDiameter DistanceSourceToDetector DistanceSourceToPatient
    GantryDetectorTilt TableHeight ExposureTime XRayTubeCurrent Exposure FilterType ConvolutionKernel
""")
_MR: Final = words("""
    ScanningSequence SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag RepetitionTime EchoTime
    InversionTime TriggerTime NumberOfAverages ImagingFrequency ImagedNucleus EchoNumbers MagneticFieldStrength
    NumberOfPhaseEncodingSteps PercentSampling PercentPhaseFieldOfView EchoTrainLength PixelBandwidth ReceiveCoilName
    InPlanePhaseEncodingDirection FlipAngle SAR TemporalPositionIdentifier NumberOfTemporalPositions TemporalResolution
""")
_PT: Final = words("""
    Units CountsSource SeriesType ReprojectionMethod NumberOfSlices NumberOfTimeSlices CorrectedImage
    RandomsCorrectionMethod AttenuationCorrectionMethod DecayCorrection ReconstructionMethod CollimatorType
    RadiopharmaceuticalInformationSequence PatientOrientationCodeSequence
    PatientGantryRelationshipCodeSequence FrameReferenceTime ActualFrameDuration ImageIndex DecayFactor
    DoseCalibrationFactor ScatterCorrectionMethod TriggerTime FrameTime SUVType
""")
_CR: Final = words("""
    ViewPosition KVP DistanceSourceToDetector DistanceSourceToPatient ExposureTime XRayTubeCurrent Exposure PlateID
    ImagerPixelSpacing
""")


@dataclass(frozen=True, slots=True)
class _ImageKind:
    """Kind of image, with the attributes that it keeps of its source.

    `required` must be in the source (type 1), `empty` is present without a value otherwise (type 2), `default` has the
    values for attributes that the source lacks.
    """

    sop_class: UID
    modality: str
    keywords: tuple[str, ...]
    image_type: tuple[str, ...]
    flavours: frozenset[str] = frozenset()
    in_space: bool = True
    required: tuple[str, ...] = ()
    empty: tuple[str, ...] = ()
    default: Mapping[str, str] | None = None


_CT_KIND = _ImageKind(
    CTImageStorage, "CT", _CT, ("DERIVED", "SECONDARY", "AXIAL"), frozenset({"AXIAL", "LOCALIZER"}),
    empty=("KVP", "AcquisitionNumber", "PatientPosition"),
)  # fmt: skip
_MR_KIND = _ImageKind(
    MRImageStorage, "MR", _MR, ("DERIVED", "SECONDARY", "OTHER"),
    empty=("PatientPosition", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    default={"ScanningSequence": "RM", "SequenceVariant": "NONE"},
)  # fmt: skip
_PT_KIND = _ImageKind(
    PositronEmissionTomographyImageStorage, "PT", _PT, ("DERIVED", "PRIMARY"),
    required=("Units", "CountsSource", "SeriesType", "NumberOfSlices", "DecayCorrection", "FrameReferenceTime",
              "ImageIndex", "AcquisitionDate", "AcquisitionTime"),
    empty=("CorrectedImage", "CollimatorType", "RadiopharmaceuticalInformationSequence",
           "PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence"),
)  # fmt: skip
_CR_KIND = _ImageKind(
    ComputedRadiographyImageStorage, "CR", _CR, ("DERIVED", "SECONDARY"), in_space=False,
    empty=("BodyPartExamined", "ViewPosition"),
)  # fmt: skip

#: Kinds by the source's SOP Class; frames of enhanced images become images of the classic kind.
_KINDS: Final[Mapping[str, _ImageKind]] = {
    CTImageStorage: _CT_KIND,
    EnhancedCTImageStorage: _CT_KIND,
    LegacyConvertedEnhancedCTImageStorage: _CT_KIND,
    MRImageStorage: _MR_KIND,
    EnhancedMRImageStorage: _MR_KIND,
    LegacyConvertedEnhancedMRImageStorage: _MR_KIND,
    PositronEmissionTomographyImageStorage: _PT_KIND,
    ComputedRadiographyImageStorage: _CR_KIND,
}


def images(frames: Array, record: Record) -> list[Dataset] | None:
    """Make an image of its source's kind for each frame.

    Parameters
    ----------
    frames : ndarray
        Shape (frames, rows, columns), or (frames, rows, columns, 3 or 4) for colour; bool, integers or floats, in the
        unit of the modality LUT's output (HU of CT).
    record : Record
        Origin of the result.

    Returns
    -------
    list of Dataset or None
        None for colour, for results that are not one frame for each source frame, and for sources of other kinds or
        without what their kind needs, such as a position.
    """
    planes = planes_of(record, len(frames))
    kind = _kind_of(planes[0]) if planes else None
    if frames.ndim != 3 or kind is None or any(_kind_of(plane) is not kind for plane in planes):
        return None
    stored = quantised(frames, through_zero=kind is _PT_KIND)
    made = []
    for index, plane in enumerate(planes):
        ds = Dataset()
        ds.SOPClassUID = kind.sop_class
        _describe(ds, kind, plane)
        ds.InstanceNumber = instance_number(plane)
        array = stored.array[index : index + 1]
        describe_pixels(ds, array)
        describe_rescale(ds, stored, str(ds.get("RescaleType") or ("HU" if kind is _CT_KIND else "US")))
        describe_window(ds, stored, window_of(plane))
        if plane.geometry is not None and kind.in_space:
            place_frame(ds, plane.geometry.resized(plane.shape, array.shape[1:3]), frame_of_reference(plane))
        stamp(ds, record)
        describe_derivation(ds, record, plane)
        describe_side(ds)
        finish(ds, record, kind.modality, number=index + 1)
        made.append(ds)
    return made


def _kind_of(plane: SourceFrame) -> _ImageKind | None:
    kind = _KINDS.get(plane.reference[0])
    if kind is None or (kind.in_space and plane.geometry is None):
        return None
    return kind if len(sound_elements(plane.ds, kind.required)) == len(kind.required) else None


def _describe(ds: Dataset, kind: _ImageKind, plane: SourceFrame) -> None:
    """Set the attributes that the kind keeps of its source, and the others that it needs."""
    copy_elements(ds, sound_elements(plane.ds, [*KEPT, *_SERIES, *kind.keywords]))
    for keyword, value in (kind.default or {}).items():
        if keyword not in ds:
            setattr(ds, keyword, value)
    _drop_unasked(ds)
    for keyword in (*kind.empty, "PatientOrientation"):
        if keyword not in ds:
            setattr(ds, keyword, None)
    values = [str(value) for value in plane.ds.get("ImageType") or ()]
    flavour = next((value for value in values[2:3] if value in kind.flavours), None)
    ds.ImageType = (
        [*kind.image_type[:2], flavour or kind.image_type[2]] if len(kind.image_type) > 2 else list(kind.image_type)
    )


def _drop_unasked(ds: Dataset) -> None:
    """Delete attributes that are allowed only under a condition that the source does not meet."""
    scanning, options = (_values(ds, keyword) for keyword in ("ScanningSequence", "ScanOptions"))
    allowed = {
        "InversionTime": "IR" in scanning,
        "TriggerTime": bool({"CG", "PPG"} & options),
        "PatientPosition": ds.SOPClassUID != PositronEmissionTomographyImageStorage,  # it says that in codes
        "NumberOfTimeSlices": "DYNAMIC" in _values(ds, "SeriesType"),
    }
    for keyword, is_allowed in allowed.items():
        if keyword in ds and not is_allowed:
            del ds[keyword]
    if "IR" in scanning and "InversionTime" not in ds:
        ds.InversionTime = None


def _values(ds: Dataset, keyword: str) -> set[str]:
    value = ds.get(keyword) or ()
    return {value} if isinstance(value, str) else {str(each) for each in value}
