"""Modules that every derived object has: patient, study, series, equipment and derivation."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from pydicom import Dataset
from pydicom.uid import UID

from neurdicom.processing.dicom_output.attributes import ascii_code, copy_elements, fit, study_elements
from neurdicom.processing.dicom_output.sources import SourceFrame

#: Station Name (0008,1010) of the Contributing Equipment item, which marks objects derived by a NeurDICOM.
STATION: Final = "NEURDICOM"
#: Added to the source's Series Number (0020,0011) for a derived series.
_SERIES_STEP: Final = 1000
_LARGEST_IS: Final = (1 << 31) - 1
_LONGEST_ST: Final = 1024
_NAMESPACE: Final = uuid.UUID("0b1c1d9a-6a5e-4a0e-9c57-2f0e8f6f5a11")


def uid_of(*parts: object) -> str:
    """Derive a UID from names, so that the same result of the same run gets the same UIDs again.

    It lies under the root 2.25 (PS3.5 B.2), from a name-based UUID of the parts.
    """
    # With the length before each part, different lists of parts give different names.
    name = "".join(f"{len(text)}:{text}" for text in map(str, parts))
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


@dataclass(frozen=True, slots=True)
class Record:
    """Origin of a result: the tool, its parameters, and the source frames.

    Attributes
    ----------
    tool : Mapping[str, Any]
        `type` (plugin or model), `id`, `name`, `version`, `author`, `digest`, `input`, `produces`.
    params : Mapping[str, Any]
        Parameters of the run.
    planes : Sequence[SourceFrame]
        Source frames that it was computed from; at least one.
    identity : str
        Digest of the result: the inputs, the code, the parameters and the bytes.
    run : str
        Digest of the run: results of one run over images of one series make one derived series.
    series : str
        Id of the source's series, from which the UIDs of derived series follow.
    made : datetime
        Time of writing.
    """

    tool: Mapping[str, Any]
    params: Mapping[str, Any]
    planes: Sequence[SourceFrame]
    identity: str
    run: str
    series: str
    made: datetime

    @property
    def source(self) -> Dataset:
        """Header of the first source."""
        return self.planes[0].ds

    @property
    def title(self) -> str:
        """Name and version of the tool, for people."""
        return f"{self.tool['name']} {self.tool['version']}".strip()

    def instance_uid(self, number: int = 1) -> str:
        """Derive the SOP Instance UID of the result's n-th object."""
        return uid_of("instance", self.identity, number)

    def series_uid(self, kind: str) -> str:
        """Derive the Series Instance UID for objects of a kind: a series has one modality and one kind of equipment."""
        return uid_of("series", self.run, self.series, kind)


def finish(ds: Dataset, record: Record, modality: str, *, number: int = 1, kind: str = "") -> None:
    """Set the object's patient, study, series, equipment and derivation.

    Parameters
    ----------
    ds : Dataset
        Has its SOP Class UID and all that describes its content.
    record : Record
        Origin of the result.
    modality : str
        Modality (0008,0060).
    number : int
        Number of the object among those of the result, from 1.
    kind : str
        Objects of one run with different kinds lie in different series; the modality when absent.
    """
    source = record.source
    copy_elements(ds, study_elements(source))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPInstanceUID = UID(record.instance_uid(number))
    ds.InstanceCreationDate, ds.InstanceCreationTime = _date(record.made), _time(record.made)
    ds.Modality = modality
    ds.SeriesInstanceUID = UID(record.series_uid(kind or modality))
    ds.SeriesNumber = _series_number(source)
    ds.SeriesDescription = fit(record.title, 64)
    ds.SeriesDate, ds.SeriesTime = _date(record.made), _time(record.made)
    ds.Manufacturer = fit(record.tool["author"], 64) or "NeurDICOM"
    ds.ManufacturerModelName = fit(record.tool["name"], 64)
    ds.DeviceSerialNumber = record.tool["digest"][:64]
    ds.SoftwareVersions = fit(record.tool["version"], 64) or "unknown"
    ds.ContributingEquipmentSequence = contributions(record)


def contributions(record: Record) -> list[Dataset]:
    """Make the Contributing Equipment Sequence (PS3.3 C.12.1.1.5): the scanner, where known, and the tool."""
    items = []
    source = record.source
    if maker := fit(source.get("Manufacturer"), 64):
        scanner = Dataset()
        scanner.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
        scanner.Manufacturer = maker
        for keyword in ("InstitutionName", "ManufacturerModelName"):
            if value := fit(source.get(keyword), 64):
                setattr(scanner, keyword, value)
        items.append(scanner)
    items.append(contribution(record))
    return items


def contribution(record: Record) -> Dataset:
    """Make the tool's item, without a time, so that the same result of a plugin gives the same bytes."""
    tool = record.tool
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    item.Manufacturer = fit(tool["author"], 64) or "NeurDICOM"
    item.ManufacturerModelName = fit(tool["name"], 64)
    item.StationName = STATION
    item.DeviceSerialNumber = tool["digest"][:64]
    item.SoftwareVersions = fit(tool["version"], 64) or "unknown"
    described = {"type": tool["type"], "id": tool["id"], "digest": tool["digest"], "params": dict(record.params)}
    item.ContributionDescription = fit(orjson.dumps(described).decode(), _LONGEST_ST, keep="\\")
    return item


def describe_derivation(ds: Dataset, record: Record, plane: SourceFrame | None = None) -> None:
    """Set Derivation Description and Source Image Sequence (General Image module, PS3.3 C.7.6.1).

    Parameters
    ----------
    ds : Dataset
        The object.
    record : Record
        Origin of the result.
    plane : SourceFrame, optional
        The one source of this object; by default all sources of the result.
    """
    params = orjson.dumps(dict(record.params)).decode()
    ds.DerivationDescription = fit(f"{record.title} ({record.tool['id']}) with {params}", _LONGEST_ST, keep="\\")
    purpose = code("121322", "DCM", "Source image for image processing operation")
    ds.SourceImageSequence = [reference(each, purpose) for each in ([plane] if plane else _once(record))]


def reference(plane: SourceFrame, purpose: Dataset | None = None) -> Dataset:
    """Make an item that refers to a source frame."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = map(UID, plane.reference)
    if plane.referenced_frame is not None:
        item.ReferencedFrameNumber = plane.referenced_frame
    if purpose is not None:
        item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _once(record: Record) -> list[SourceFrame]:
    """List the source frames; an instance whose frames are all among them is listed once, as a whole."""
    whole: dict[str, list[SourceFrame]] = {}
    for plane in record.planes:
        whole.setdefault(plane.reference[1], []).append(plane)
    once = []
    for planes in whole.values():
        once += [SourceFrame(planes[0].ds, None, None)] if len(planes) == planes[0].count else planes
    return once


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Make an item of a code sequence (PS3.3 8.8).

    Parameters
    ----------
    value : str
        Code Value; Long Code Value where it has more than 16 characters.
    scheme : str
        Coding Scheme Designator.
    meaning : str
        Code Meaning.
    """
    item = Dataset()
    setattr(item, "CodeValue" if len(value) <= 16 else "LongCodeValue", value)
    item.CodingSchemeDesignator, item.CodeMeaning = ascii_code(scheme), meaning
    return item


def _series_number(source: Dataset) -> int:
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (ValueError, TypeError, OverflowError):
        number = 0
    return _SERIES_STEP + number if 0 <= number <= _LARGEST_IS - _SERIES_STEP else _SERIES_STEP


def instance_number(plane: SourceFrame) -> int:
    """Choose the Instance Number of an object made of a frame: the frame's, or its instance's, or 1."""
    try:
        number = plane.frame or int(plane.ds.get("InstanceNumber") or 1)
    except (ValueError, TypeError, OverflowError):
        number = 1
    return number if 1 <= number <= _LARGEST_IS else 1


def stamp(ds: Dataset, record: Record) -> None:
    """Set Content Date and Time."""
    ds.ContentDate, ds.ContentTime = _date(record.made), _time(record.made)


def _date(moment: datetime) -> str:
    return moment.strftime("%Y%m%d")


def _time(moment: datetime) -> str:
    return moment.strftime("%H%M%S")
