"""Records that cross the archive port: entities, arrivals, locations, headers and edits."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value

Entity = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to store, whose file is durable already.

    Attributes
    ----------
    patient : str
        Id that the patient has by this file alone (`dicom.uids.patient_key`).
    study, series, instance : str
        UIDs.
    attributes : Mapping[str, Value]
        Field name to value, all four levels together (`dicom.query.attributes`); absent means unknown.
    header : bytes
        The dataset without bulk data in the DICOM JSON model (PS3.18 F), UTF-8.
    blob : BlobRef
        The file; its key belongs to this arrival alone.
    received : str
        Time of arrival, ISO 8601 in UTC.
    layout : Mapping[str, Any]
        Layout of the file (`dicom.header.Layout.to_document`).
    """

    patient: str
    study: str
    series: str
    instance: str
    attributes: Mapping[str, Value]
    header: bytes
    blob: BlobRef
    received: str
    layout: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Location:
    """The file of an instance with its layout, and the keys of the instance, its study and its series."""

    instance: str
    blob: BlobRef
    layout: Mapping[str, Any]
    edited: bool
    study: str
    series: str


@dataclass(frozen=True, slots=True)
class Located:
    """An instance's location with all edits that apply to it, the patient's first."""

    location: Location
    edits: tuple["Edit", ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page of entities, and the number of all that meet the query; if not `counted`, up to the end of the page."""

    items: list[Entity]
    total: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute of the entity with the key `entity`, stored beside the original value."""

    level: Level
    entity: str
    field: str
    value: Value
    user: str
    time: str

    def to_wire(self) -> dict[str, Any]:
        """Write the JSON object that is sent to worker processes (`dicom.edits.apply` reads it)."""
        return {
            "level": self.level.value,
            "entity": self.entity,
            "field": self.field,
            "value": self.value,
            "user": self.user,
            "time": self.time,
        }


@dataclass(frozen=True, slots=True)
class DescribedInstance:
    """An instance's stored header, and the edits that apply to it.

    Attributes
    ----------
    study, series, instance : str
        Keys of the instance and of the entities above.
    header : bytes
        Its stored header (DICOM JSON, edits not applied).
    edits : tuple of Edit
        All edits that apply to it, the patient's first.
    """

    study: str
    series: str
    instance: str
    header: bytes
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """Instances that a migration has brought along so far, of how many, and what it can't bring along whole.

    Attributes
    ----------
    done, total : int
        Instances.
    findings : tuple of str
        Sentences about edits that can't be told which of several entities they were of.
    """

    done: int
    total: int
    findings: tuple[str, ...] = ()
