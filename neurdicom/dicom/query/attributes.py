"""The attributes that the catalog indexes at each level of the Query/Retrieve information model (PS3.4 C.6).

One table, read by the catalog adapters (columns and indexes), the lists' filters, the edits and the
documentation. A field's name in the API is the snake_case of its DICOM keyword.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property


class Level(StrEnum):
    """A level of the information model, highest first."""

    PATIENT = "patient"
    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"

    @property
    def above(self) -> tuple["Level", ...]:
        """The levels above this one, highest first."""
        levels = tuple(Level)
        return levels[: levels.index(self)]

    @property
    def parent(self) -> "Level | None":
        """The level directly above, None for the patient."""
        return self.above[-1] if self.above else None

    @property
    def child(self) -> "Level | None":
        """The level directly below, None for the instance."""
        levels = tuple(Level)
        below = levels[levels.index(self) + 1 :]
        return below[0] if below else None


class Kind(StrEnum):
    """The kind of an attribute's values, which rules their comparison and their form in JSON."""

    UID = "uid"  # exact
    CODE = "code"  # CS, AE: exact but for case
    TEXT = "text"  # LO, SH, ST, UT: wildcards, case-insensitive
    NAME = "name"  # PN: as text, in any of the three component groups
    DATE = "date"  # DA: YYYYMMDD, ranges
    TIME = "time"  # TM: HHMMSS.FFFFFF, ranges
    INTEGER = "integer"  # IS, US, SS, UL: ranges
    NUMBER = "number"  # DS, FL, FD: not filtered (floating point)


@dataclass(frozen=True)
class Attribute:
    """An indexed attribute.

    Attributes
    ----------
    keyword : str
        DICOM keyword (PS3.6).
    level : Level
        The level that the attribute describes.
    kind : Kind
        The kind of its values.
    many : bool
        True if its value multiplicity may exceed 1; the value is a list then.
    editable : bool
        True if a PUT may change it. UIDs, identifiers that make up ids, and attributes of the pixels are not editable.
    filterable : bool
        True if lists can be filtered and sorted by it; there is an index.
    """

    keyword: str
    level: Level
    kind: Kind
    many: bool = False
    editable: bool = True
    filterable: bool = True

    @cached_property
    def field(self) -> str:
        """Field name in the API and in the catalog."""
        return snake_case(self.keyword)


def snake_case(keyword: str) -> str:
    """Write a DICOM keyword as a field name: `SOPInstanceUID` as `sop_instance_uid`."""
    keyword = re.sub(r"IDs$", "Ids", keyword)
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword).lower()


def _patient() -> tuple[Attribute, ...]:
    level = Level.PATIENT
    return (
        Attribute("PatientID", level, Kind.TEXT, editable=False),
        Attribute("IssuerOfPatientID", level, Kind.TEXT, editable=False),
        Attribute("PatientName", level, Kind.NAME),
        Attribute("PatientBirthDate", level, Kind.DATE),
        Attribute("PatientSex", level, Kind.CODE),
        Attribute("OtherPatientIDs", level, Kind.TEXT, many=True),
        Attribute("EthnicGroup", level, Kind.TEXT),
        Attribute("PatientComments", level, Kind.TEXT, filterable=False),
    )


def _study() -> tuple[Attribute, ...]:
    level = Level.STUDY
    return (
        Attribute("StudyInstanceUID", level, Kind.UID, editable=False),
        Attribute("StudyID", level, Kind.TEXT),
        Attribute("StudyDate", level, Kind.DATE),
        Attribute("StudyTime", level, Kind.TIME),
        Attribute("AccessionNumber", level, Kind.TEXT),
        Attribute("StudyDescription", level, Kind.TEXT),
        Attribute("ReferringPhysicianName", level, Kind.NAME),
        Attribute("NameOfPhysiciansReadingStudy", level, Kind.NAME, many=True),
        Attribute("PatientAge", level, Kind.CODE),
        Attribute("PatientSize", level, Kind.NUMBER, filterable=False),
        Attribute("PatientWeight", level, Kind.NUMBER, filterable=False),
        Attribute("TimezoneOffsetFromUTC", level, Kind.TEXT, editable=False, filterable=False),
    )


def _series() -> tuple[Attribute, ...]:
    level = Level.SERIES
    return (
        Attribute("SeriesInstanceUID", level, Kind.UID, editable=False),
        Attribute("Modality", level, Kind.CODE),
        Attribute("SeriesNumber", level, Kind.INTEGER),
        Attribute("SeriesDescription", level, Kind.TEXT),
        Attribute("SeriesDate", level, Kind.DATE),
        Attribute("SeriesTime", level, Kind.TIME),
        Attribute("BodyPartExamined", level, Kind.CODE),
        Attribute("Laterality", level, Kind.CODE),
        Attribute("PatientPosition", level, Kind.CODE, editable=False),
        Attribute("ProtocolName", level, Kind.TEXT),
        Attribute("PerformingPhysicianName", level, Kind.NAME, many=True),
        Attribute("OperatorsName", level, Kind.NAME, many=True),
        Attribute("InstitutionName", level, Kind.TEXT),
        Attribute("Manufacturer", level, Kind.TEXT),
        Attribute("ManufacturerModelName", level, Kind.TEXT),
        Attribute("StationName", level, Kind.TEXT),
        Attribute("PerformedProcedureStepStartDate", level, Kind.DATE),
        Attribute("PerformedProcedureStepStartTime", level, Kind.TIME),
        Attribute("FrameOfReferenceUID", level, Kind.UID, editable=False),
    )


def _instance() -> tuple[Attribute, ...]:
    level = Level.INSTANCE
    return (
        Attribute("SOPInstanceUID", level, Kind.UID, editable=False),
        Attribute("SOPClassUID", level, Kind.UID, editable=False),
        Attribute("TransferSyntaxUID", level, Kind.UID, editable=False),
        Attribute("InstanceNumber", level, Kind.INTEGER),
        Attribute("ContentDate", level, Kind.DATE),
        Attribute("ContentTime", level, Kind.TIME),
        Attribute("AcquisitionDate", level, Kind.DATE),
        Attribute("AcquisitionTime", level, Kind.TIME),
        Attribute("AcquisitionNumber", level, Kind.INTEGER),
        Attribute("ImageType", level, Kind.CODE, many=True, editable=False),
        Attribute("ImageComments", level, Kind.TEXT, filterable=False),
        Attribute("NumberOfFrames", level, Kind.INTEGER, editable=False),
        Attribute("Rows", level, Kind.INTEGER, editable=False),
        Attribute("Columns", level, Kind.INTEGER, editable=False),
        Attribute("SamplesPerPixel", level, Kind.INTEGER, editable=False, filterable=False),
        Attribute("PhotometricInterpretation", level, Kind.CODE, editable=False),
        Attribute("BitsAllocated", level, Kind.INTEGER, editable=False, filterable=False),
        Attribute("BitsStored", level, Kind.INTEGER, editable=False, filterable=False),
        Attribute("PixelRepresentation", level, Kind.INTEGER, editable=False, filterable=False),
        Attribute("PixelSpacing", level, Kind.NUMBER, many=True, editable=False, filterable=False),
        Attribute("SliceThickness", level, Kind.NUMBER, editable=False, filterable=False),
        Attribute("SliceLocation", level, Kind.NUMBER, editable=False, filterable=False),
        Attribute("ImagePositionPatient", level, Kind.NUMBER, many=True, editable=False, filterable=False),
        Attribute("ImageOrientationPatient", level, Kind.NUMBER, many=True, editable=False, filterable=False),
        Attribute("WindowCenter", level, Kind.NUMBER, many=True, filterable=False),
        Attribute("WindowWidth", level, Kind.NUMBER, many=True, filterable=False),
        Attribute("RescaleSlope", level, Kind.NUMBER, editable=False, filterable=False),
        Attribute("RescaleIntercept", level, Kind.NUMBER, editable=False, filterable=False),
    )


ATTRIBUTES: tuple[Attribute, ...] = _patient() + _study() + _series() + _instance()
BY_FIELD: dict[str, Attribute] = {attribute.field: attribute for attribute in ATTRIBUTES}
AT_LEVEL: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(attribute for attribute in ATTRIBUTES if attribute.level is level) for level in Level
}

#: The attribute that identifies an entity of each level below the patient.
UID_KEYWORD: dict[Level, str] = {
    Level.STUDY: "StudyInstanceUID",
    Level.SERIES: "SeriesInstanceUID",
    Level.INSTANCE: "SOPInstanceUID",
}

#: Exact counts that the catalog keeps, not attributes: level to field names.
COUNTS: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: ("studies_count", "images_count"),
    Level.STUDY: ("series_count", "images_count"),
    Level.SERIES: ("images_count",),
    Level.INSTANCE: (),
}
