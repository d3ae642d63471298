"""Records that cross the archive port: entities, arrivals, locations, headers and edits."""

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

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
class StudyHolding:
    """Size of a study, and the time of its latest arrival.

    Attributes
    ----------
    study : str
        Its key.
    patient : str
        Id of its patient.
    bytes : int
        Bytes of the files of its instances, displaced ones too.
    received : str
        Time of arrival of the latest of these, ISO 8601 in UTC.
    mark : int or str
        Position among studies of the same time; its form is the adapter's.
    """

    study: str
    patient: str
    bytes: int
    received: str
    mark: Any = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute of an entity, stored beside the original value.

    Attributes
    ----------
    level : Level
        Level of the entity.
    entity : str
        Its key.
    field : str
        Name of the attribute.
    value : Value
        Value shown from then on, None where it was emptied.
    user : str
        Name of the user who made the edit.
    time : str
        Time of the edit, ISO 8601 in UTC.
    before : Value
        Value shown before; None if there was none, or if an earlier version, which did not keep it, made the edit.
    id : str
        Id of the edit. Edits that change the same in the same way are equal.
    """

    level: Level
    entity: str
    field: str
    value: Value
    user: str
    time: str
    before: Value = None
    id: str = dataclasses.field(default="", compare=False)

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

    def to_api(self) -> dict[str, Any]:
        """Write the object that the API returns; `value` repeats `after`, as before edits had a history."""
        values = {"before": self.before, "after": self.value, "value": self.value}
        return {"edit": self.id, "field": self.field, **values, "user": self.user, "time": self.time}

    def to_document(self) -> dict[str, Any]:
        """Write the object that documents keep."""
        return self.to_wire() | {"before": self.before, "id": self.id}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the object that `to_document` wrote, or one of an earlier version, which has neither id nor `before`."""
        level, entity, name = Level(document["level"]), document["entity"], document["field"]
        user, time = document["user"], document["time"]
        edit_id = document.get("id") or earlier_edit_id(level, entity, name, time)
        return cls(level, entity, name, document["value"], user, time, document.get("before"), edit_id)


def earlier_edit_id(level: Level, entity: str, name: str, time: str) -> str:
    """Compute the id of an edit that an earlier version stored without one.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : str
        Key or UID under which the edit is stored.
    name : str
        Name of the attribute.
    time : str
        Time of the edit.
    """
    text = "\\".join((level.value, entity, name, time))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


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
    transfer_syntax : str
        UID of the transfer syntax that its file is in; empty where it is not known.
    """

    study: str
    series: str
    instance: str
    header: bytes
    edits: tuple[Edit, ...] = ()
    transfer_syntax: str = ""


@dataclass(frozen=True, slots=True)
class MigrationProgress:
    """Progress of a migration: instances migrated so far, of how many, and edits that it can't assign.

    Attributes
    ----------
    done, total : int
        Instances.
    findings : tuple of str
        Sentences about edits of a UID that names several entities, where nothing says which of them was edited.
    """

    done: int
    total: int
    findings: tuple[str, ...] = ()
