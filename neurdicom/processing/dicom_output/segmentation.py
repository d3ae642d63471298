"""Label maps as DICOM Segmentation objects (PS3.3 A.51), encoded by highdicom."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, SecondaryCaptureImageStorage

from neurdicom.errors import PluginFailed
from neurdicom.processing.dicom_output.attributes import fit
from neurdicom.processing.dicom_output.capture import describe_dimensions, dimension, frame_of_reference, place_frame
from neurdicom.processing.dicom_output.common_modules import (
    Record,
    describe_derivation,
    finish,
    instance_number,
    reference,
    uid_of,
)
from neurdicom.processing.dicom_output.geometry import Geometry
from neurdicom.processing.dicom_output.sources import SourceFrame
from neurdicom.processing.dicom_output.values import Array

#: Most labels without a description; a result with more is no segmentation, but an image of numbers.
_MOST_UNDESCRIBED: Final = 255

_LARGEST: Final = 65535

_NOWHERE: Final = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Stack:
    """Planes that one object can hold, with their indices in the result."""

    planes: list[SourceFrame]
    indices: list[int]


def segmentations(frames: Array, record: Record) -> list[Dataset]:
    """Make segmentation objects of a label map; one, unless the planes differ in orientation or spacing, or coincide.

    Parameters
    ----------
    frames : ndarray
        Shape (frames, rows, columns): a frame for each source frame, of its size. Bool, integers, or
        floats that are whole numbers, 0 to 65535; 0 is the background.
    record : Record
        Origin of the result.

    Raises
    ------
    PluginFailed
        It is no label map of the source, or has a label that META.json does not describe.
    """
    _check_shape(frames, record)
    labels, found = _whole_numbers(frames, record)
    described = _described(found, record)
    # Segment Numbers count from 1 (PS3.3 C.8.20.4), whatever the labels are.
    numbers = np.zeros(_LARGEST + 1, np.uint8 if len(described) < 256 else np.uint16)
    numbers[[segment["number"] for segment in described]] = np.arange(1, len(described) + 1)
    labels = numbers[labels]
    stacks = list(_stacks(record.planes))
    return [_segmentation(labels, described, record, stack, number) for number, stack in enumerate(stacks, 1)]


def _check_shape(frames: Array, record: Record) -> None:
    name, planes = record.tool["name"], record.planes
    if frames.ndim != 3:
        raise PluginFailed(f"{name} returned colours; a segmentation has one whole number for each pixel")
    shapes = {plane.shape for plane in planes}
    if len(frames) != len(planes) or shapes != {frames.shape[1:]}:
        found = " x ".join(map(str, frames.shape))
        expected = " or ".join(f"{len(planes)} x {rows} x {columns}" for rows, columns in sorted(shapes))
        raise PluginFailed(f"{name} returned a segmentation of {found}; its source has {expected}")


def _whole_numbers(frames: Array, record: Record) -> tuple[Array, list[int]]:
    """Convert the labels to 16-bit integers, and list those that occur."""
    name = record.tool["name"]
    labels, occurs = np.empty(frames.shape, np.uint16), np.zeros(_LARGEST + 1, bool)
    for frame, out in zip(frames, labels, strict=True):
        if frame.dtype.kind == "f" and not (np.isfinite(frame).all() and (frame == np.rint(frame)).all()):
            raise PluginFailed(f"{name} returned a segmentation with values that are not whole numbers")
        low, high = int(frame.min()), int(frame.max())
        if low < 0 or high > _LARGEST:
            raise PluginFailed(
                f"{name} returned a segmentation with the label {low if low < 0 else high}; 0 to {_LARGEST} is possible"
            )
        out[...] = frame
        occurs[out] = True
    return labels, [int(label) for label in np.flatnonzero(occurs) if label]


def _described(found: list[int], record: Record) -> list[Mapping[str, Any]]:
    """List the segments by number: those of META.json, or one for each label that occurs."""
    name = record.tool["name"]
    segments = sorted(record.tool["produces"].get("segments") or [], key=lambda segment: segment["number"])
    if not segments:
        if len(found) > _MOST_UNDESCRIBED:
            raise PluginFailed(
                f"{name} returned a segmentation with {len(found)} labels; without segments in META.json at most "
                f"{_MOST_UNDESCRIBED} are taken"
            )
        return [{"number": number, "label": f"Segment {number}"} for number in found or [1]]
    unknown = sorted(set(found) - {segment["number"] for segment in segments})
    if unknown:
        shown = ", ".join(map(str, unknown[:10])) + (", ..." if len(unknown) > 10 else "")
        known = ", ".join(str(segment["number"]) for segment in segments[:20])
        raise PluginFailed(
            f"{name} returned a segmentation with the label {shown}, which result.segments of its META.json lacks: "
            f"it has {known}"
        )
    return segments


def _stacks(planes: Sequence[SourceFrame]) -> Iterator[_Stack]:
    """Group planes by the attributes that an object's frames share, and by their rank at one position (phases)."""
    stacks: dict[tuple[Any, ...], _Stack] = {}
    turns: Counter[tuple[Any, ...]] = Counter()
    for index, plane in enumerate(planes):
        geometry = plane.geometry
        key: tuple[Any, ...] = (plane.ds.SeriesInstanceUID, plane.shape)
        if geometry is not None:
            key += (frame_of_reference(plane), _rounded(geometry.orientation), _rounded(geometry.spacing))
            place = (*key, _rounded(geometry.position))
            turns[place] += 1
            key += (turns[place],)
        stack = stacks.setdefault(key, _Stack([], []))
        stack.planes.append(plane)
        stack.indices.append(index)
    yield from stacks.values()


def _rounded(numbers: Sequence[float]) -> tuple[float, ...]:
    return tuple(round(number, 3) + 0.0 for number in numbers)


def _segmentation(
    labels: Array, described: Sequence[Mapping[str, Any]], record: Record, stack: _Stack, number: int
) -> Dataset:
    planes = stack.planes
    in_space = planes[0].geometry is not None
    # highdicom gets each plane as an image of one frame with a UID of its own; the references are corrected afterwards.
    # So frames of one instance, and planes without a position, need no special treatment.
    thickness = _thickness(planes)
    standins = [_standin(plane, index, thickness) for index, plane in enumerate(planes)]
    ds = Segmentation(
        source_images=standins,
        pixel_array=labels[stack.indices],
        segmentation_type="BINARY",
        segment_descriptions=[_description(segment, index, record) for index, segment in enumerate(described, 1)],
        series_instance_uid=record.series_uid("SEG"),
        series_number=1,
        sop_instance_uid=record.instance_uid(number),
        instance_number=number if len(planes) > 1 else instance_number(planes[0]),
        manufacturer="NeurDICOM",
        manufacturer_model_name="NeurDICOM",
        software_versions="1",
        device_serial_number="1",
        content_label="SEGMENTATION",
        content_description=fit(record.title, 64),
    )
    _refer(ds, dict(zip((each.SOPInstanceUID for each in standins), planes, strict=True)))
    if not in_space:
        _take_out_of_space(ds, record, number)
        ds.PatientOrientation = None
    describe_derivation(ds, record)
    del ds.SourceImageSequence  # the frames have their own, and the Referenced Series Sequence names all sources
    lossy = [plane.ds for plane in planes if plane.ds.get("LossyImageCompression") == "01"]
    ds.LossyImageCompression = "01" if lossy else "00"
    for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
        if lossy and keyword in lossy[0]:
            ds.add(lossy[0][keyword])
    finish(ds, record, "SEG", number=number)
    return ds


def _thickness(planes: Sequence[SourceFrame]) -> float:
    """Choose Slice Thickness, which a segmentation needs: the source's, or the distance to the next plane."""
    first = planes[0].geometry
    if first is None:
        return 1.0
    gaps = [math.dist(first.position, plane.geometry.position) for plane in planes[1:] if plane.geometry is not None]
    return first.thickness or min(gaps, default=0.0) or first.spacing[0]


def _standin(plane: SourceFrame, index: int, thickness: float) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = UID(uid_of("plane", index))
    ds.StudyInstanceUID, ds.SeriesInstanceUID = plane.ds.StudyInstanceUID, plane.ds.SeriesInstanceUID
    ds.Modality, ds.Rows, ds.Columns = "OT", *plane.shape
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                    "AccessionNumber", "ReferringPhysicianName"):  # fmt: skip
        setattr(ds, keyword, None)
    geometry = plane.geometry or Geometry((0.0, 0.0, float(index)), _NOWHERE, (1.0, 1.0))
    place_frame(ds, replace(geometry, thickness=thickness), frame_of_reference(plane))
    return ds


def _description(segment: Mapping[str, Any], number: int, record: Record) -> SegmentDescription:
    tool = record.tool
    region, color = coded(segment.get("anatomic_region")), segment.get("color")
    family = codes.cid7162.ArtificialIntelligence if tool["type"] == "model" else codes.DCM.Segmentation
    description = SegmentDescription(
        segment_number=number,
        segment_label=fit(segment["label"], 64),
        segmented_property_category=coded(segment.get("category")) or codes.SCT.Tissue,
        segmented_property_type=coded(segment.get("type")) or codes.SCT.Tissue,
        algorithm_type=segment.get("algorithm_type") or "AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=fit(tool["name"], 64), family=family, version=fit(tool["version"], 64) or "unknown"
        ),
        anatomic_regions=[region] if region else None,
        tracking_id=fit(segment.get("tracking_id"), 64) or None,
        tracking_uid=_tracking_uid(segment, record),
        display_color=CIELabColor.from_rgb(*_rgb(color)) if color else None,
    )
    if segment.get("description"):
        description.SegmentDescription = fit(segment["description"], 1024)
    return description


def _tracking_uid(segment: Mapping[str, Any], record: Record) -> str | None:
    if not segment.get("tracking_id"):
        return None
    patient = str(record.source.get("PatientID") or record.source.StudyInstanceUID)
    return segment.get("tracking_uid") or uid_of("tracking", record.tool["id"], patient, segment["tracking_id"])


def coded(given: Mapping[str, Any] | None) -> CodedConcept | None:
    """Convert a code of META.json."""
    return CodedConcept(given["value"], given["scheme"], given["meaning"], given.get("version")) if given else None


def _rgb(color: str | Sequence[int]) -> tuple[int, int, int]:
    if isinstance(color, str):
        return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
    red, green, blue = color
    return red, green, blue


def _refer(ds: Dataset, planes: Mapping[str, SourceFrame]) -> None:
    """Replace the stand-ins by references to the source frames."""
    for group in [*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence]:
        for derivation in group.get("DerivationImageSequence") or ():
            for item in derivation.SourceImageSequence:
                if (plane := planes.get(item.ReferencedSOPInstanceUID)) is not None:  # frames may share the item
                    item.update(reference(plane))
    series: dict[str, dict[str, Dataset]] = {}
    for plane in planes.values():
        item = reference(SourceFrame(plane.ds, None, None))
        series.setdefault(plane.ds.SeriesInstanceUID, {})[item.ReferencedSOPInstanceUID] = item
    ds.ReferencedSeriesSequence = []
    for uid, instances in series.items():
        one = Dataset()
        one.SeriesInstanceUID, one.ReferencedInstanceSequence = uid, list(instances.values())
        ds.ReferencedSeriesSequence.append(one)


def _take_out_of_space(ds: Dataset, record: Record, number: int) -> None:
    """Delete the positions that highdicom was given, and order the frames by segment and position in the stack."""
    for group in [*ds.SharedFunctionalGroupsSequence, *ds.PerFrameFunctionalGroupsSequence]:
        for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence"):
            if keyword in group:
                del group[keyword]
    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator"):
        if keyword in ds:
            del ds[keyword]
    uid = uid_of("dimensions", record.identity, number)
    segment = dimension(uid, 0x0062000B)
    segment.FunctionalGroupPointer = 0x0062000A
    describe_dimensions(ds, uid)
    ds.DimensionIndexSequence = [segment, *ds.DimensionIndexSequence]
    for group in ds.PerFrameFunctionalGroupsSequence:
        content = group.FrameContentSequence[0]
        of_segment, position = content.DimensionIndexValues
        content.StackID, content.InStackPositionNumber = "1", position
        content.DimensionIndexValues = [of_segment, 1, position]
