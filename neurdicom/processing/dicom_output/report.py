"""Measurements as a structured report by the template TID 1500 (PS3.16), written with highdicom."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from highdicom.sr import (
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TrackingIdentifier,
)
from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import SecondaryCaptureImageStorage

from neurdicom.errors import PluginFailed
from neurdicom.processing.dicom_output.attributes import copy_elements, fit, study_elements
from neurdicom.processing.dicom_output.common_modules import Record, finish, instance_number, stamp, uid_of
from neurdicom.processing.dicom_output.segmentation import coded
from neurdicom.processing.dicom_output.sources import SourceFrame

#: Coding scheme of names that META.json gives no code for.
_SCHEME: Final = "99NEURDICOM"
#: Most numbers and texts in one report, and their deepest nesting.
_MOST_ITEMS: Final = 5000
_DEEPEST: Final = 32
_LARGEST: Final = 1e300

#: Most source images that each group of measurements names; when there are more, only the first group names them.
_MOST_REPEATED: Final = 16

_Source = tuple[str, str, list[int] | None]

#: Codes for common names.
_KNOWN: Final = {
    "area": codes.SCT.Area,
    "volume": codes.SCT.Volume,
    "length": codes.SCT.Length,
    "diameter": codes.SCT.Diameter,
    "mean": codes.SCT.Mean,
    "median": codes.SCT.Median,
    "min": codes.SCT.Minimum,
    "minimum": codes.SCT.Minimum,
    "max": codes.SCT.Maximum,
    "maximum": codes.SCT.Maximum,
    "std": codes.SCT.StandardDeviation,
    "standard_deviation": codes.SCT.StandardDeviation,
}


@dataclass(slots=True)
class _MeasurementGroup:
    """Numbers and texts of one object in the JSON; `name` has indices (lesions[2]), `path` has none."""

    name: str
    path: str
    numbers: list[tuple[str, float]] = field(default_factory=list)
    texts: list[tuple[str, str | bool]] = field(default_factory=list)


def report(result: Any, record: Record) -> Dataset:
    """Make a report with a measurement group for each object in the JSON that has numbers or texts of its own.

    Raises
    ------
    PluginFailed
        There is nothing to report, or too much.
    """
    groups = list(_groups(result, "", "", 0))
    groups = [group for group in groups if group.numbers or group.texts]
    items = sum(len(group.numbers) + len(group.texts) for group in groups)
    if not 0 < items <= _MOST_ITEMS:
        raise PluginFailed(f"{record.tool['name']} returned {items} measurements; a report can have 1 to {_MOST_ITEMS}")
    described = {each["name"]: each for each in record.tool["produces"].get("measurements") or []}
    sources = _sources(record)
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(record)),
        procedure_reported=codes.cid100.ImagingProcedure,
        imaging_measurements=[
            _measurement_group(
                group, described, record, sources if index == 0 or len(sources) <= _MOST_REPEATED else ()
            )
            for index, group in enumerate(groups)
        ],
        title=codes.cid7021.ImagingMeasurementReport,
    )
    ds = Comprehensive3DSR(
        evidence=_evidence(record),
        content=content[0],
        series_instance_uid=record.series_uid("SR"),
        series_number=1,
        sop_instance_uid=record.instance_uid(),
        instance_number=instance_number(record.planes[0]),
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    _refer(ds, record)
    stamp(ds, record)
    finish(ds, record, "SR")
    return ds


def _groups(value: Any, name: str, path: str, depth: int) -> Iterator[_MeasurementGroup]:
    """Yield the group of an object, and of the objects in it."""
    if depth > _DEEPEST:
        raise PluginFailed(f"measurements are nested more than {_DEEPEST} deep")
    if not isinstance(value, Mapping):
        value = {"value": value} if not isinstance(value, list) else {"values": value}
    group = _MeasurementGroup(name, path)
    yield group
    for key, each in value.items():
        inner, inner_path = (f"{name}.{key}", f"{path}.{key}") if name else (key, key)
        if isinstance(each, Mapping):
            yield from _groups(each, inner, inner_path, depth + 1)
        elif isinstance(each, list):
            yield from _listed(group, key, each, (inner, inner_path), depth)
        else:
            _take(group, key, each)


def _listed(
    group: _MeasurementGroup, key: str, values: list[Any], names: tuple[str, str], depth: int
) -> Iterator[_MeasurementGroup]:
    """Add the plain values of a list to the group, under one name; yield a group for each object in it."""
    inner, inner_path = names
    for index, each in enumerate(values):
        if isinstance(each, Mapping | list):
            yield from _groups(each, f"{inner}[{index}]", inner_path, depth + 1)
        else:
            _take(group, key, each)


def _take(group: _MeasurementGroup, key: str, value: Any) -> None:
    """Add a value to the group if it can be reported; null (also not-a-number) is no measurement."""
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        group.texts.append((key, value))
    elif isinstance(value, int | float) and abs(value) < _LARGEST and math.isfinite(value):
        group.numbers.append((key, float(value)))


def _measurement_group(
    group: _MeasurementGroup, described: Mapping[str, Mapping[str, Any]], record: Record, sources: Sequence[_Source]
) -> MeasurementsAndQualitativeEvaluations:
    def about(key: str) -> Mapping[str, Any]:
        return described.get(f"{group.path}.{key}" if group.path else key) or described.get(key) or {}

    title = fit(group.name or record.tool["name"], 64)
    return MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(uid_of("tracking", record.identity, group.name), title),
        measurements=[_measurement(key, value, about(key)) for key, value in group.numbers] or None,
        qualitative_evaluations=[
            QualitativeEvaluation(_concept(key, about(key)), _answer(value)) for key, value in group.texts
        ]
        or None,
        source_images=[SourceImageForMeasurementGroup(*each) for each in sources] or None,
    )


def _sources(record: Record) -> list[_Source]:
    """List SOP Class, SOP Instance and the frames (None: all) of each source."""
    planes: dict[tuple[str, str], list[SourceFrame]] = {}
    for plane in record.planes:
        planes.setdefault(plane.reference, []).append(plane)
    sources: list[_Source] = []
    for uids, several in planes.items():
        frames = [frame for plane in several if (frame := plane.referenced_frame) is not None]
        sources.append((*uids, None if len(several) == several[0].count else frames or None))
    return sources


def _measurement(key: str, value: float, about: Mapping[str, Any]) -> Measurement:
    site = coded(about.get("site"))
    return Measurement(
        name=_concept(key, about),
        value=value,
        unit=_unit(about.get("unit") or "1"),
        finding_sites=[FindingSite(site)] if site else None,
    )


def _concept(key: str, about: Mapping[str, Any]) -> CodedConcept:
    concept = coded(about.get("concept")) or _KNOWN.get(key.casefold())
    return CodedConcept.from_code(concept) if concept else _local(key)


def _local(text: str) -> CodedConcept:
    """Make a private code for a text: the text itself where it can be a code, else its digest."""
    plain = fit(text, 64) or "value"
    is_code = re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", plain)
    return CodedConcept(plain if is_code else hashlib.sha256(text.encode()).hexdigest()[:16], _SCHEME, plain)


def _answer(value: str | bool) -> CodedConcept:
    if isinstance(value, bool):
        return CodedConcept.from_code(codes.SCT.Yes if value else codes.SCT.No)
    return _local(value)


def _unit(unit: str) -> CodedConcept:
    return CodedConcept(unit, "UCUM", "no units" if unit == "1" else unit)


def _observer(record: Record) -> ObserverContext:
    tool = record.tool
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_of("device", tool["type"], tool["id"], tool["digest"]),
            name=fit(tool["name"], 64),
            manufacturer_name=fit(tool["author"], 64) or "NeurDICOM",
            model_name=fit(record.title, 64),
            serial_number=tool["digest"][:64],
        ),
    )


def _evidence(record: Record) -> list[Dataset]:
    """List the sources as highdicom takes them, each once; it knows no SOP Classes but those of its own edition."""
    evidence: dict[tuple[str, str], Dataset] = {}
    for plane in record.planes:
        ds = Dataset()
        copy_elements(ds, study_elements(plane.ds))
        ds.StudyInstanceUID, ds.SeriesInstanceUID = plane.ds.StudyInstanceUID, plane.ds.SeriesInstanceUID
        ds.SOPInstanceUID, ds.SOPClassUID = plane.ds.SOPInstanceUID, SecondaryCaptureImageStorage
        ds.PatientName = ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = None
        evidence.setdefault(plane.reference, ds)
    return list(evidence.values())


def _refer(ds: Dataset, record: Record) -> None:
    """Restore the SOP Classes of the evidence."""
    classes = {plane.reference[1]: plane.reference[0] for plane in record.planes}
    for study in ds.CurrentRequestedProcedureEvidenceSequence:
        for series in study.ReferencedSeriesSequence:
            for item in series.ReferencedSOPSequence:
                item.ReferencedSOPClassUID = classes[item.ReferencedSOPInstanceUID]
