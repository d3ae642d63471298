"""The claims of instances on the entities above them, and the edits that apply to instances.

Both adapters derive from them the attributes and the parent of every entity.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from neurdicom.catalog.projection import to_json, uid_field
from neurdicom.catalog.records import DescribedInstance, Edit, NewInstance
from neurdicom.dicom.query.attributes import AT_LEVEL, BY_FIELD, Level
from neurdicom.dicom.query.conditions import Value


@dataclass(frozen=True, slots=True)
class EntityClaims:
    """The ids and attributes that an instance claims for itself and for the entities above.

    An entity has the attributes and the parent that its earliest instance claims. So the content of the catalog
    follows from the stored files and the order of their arrival alone, and `reindex` reproduces it.
    """

    ids: Mapping[Level, str]
    attributes: Mapping[str, Value]

    @classmethod
    def from_arrival(cls, new: NewInstance) -> "EntityClaims":
        """Read the claims of an arrival."""
        ids = {
            Level.PATIENT: new.patient,
            Level.STUDY: new.study,
            Level.SERIES: new.series,
            Level.INSTANCE: new.instance,
        }
        return cls(ids, new.attributes)

    @classmethod
    def from_document(cls, data: bytes) -> "EntityClaims":
        """Read the claims that `to_document` wrote."""
        stored = orjson.loads(data)
        return cls({Level(level): entity for level, entity in stored["ids"].items()}, stored["attributes"])

    def to_document(self) -> bytes:
        """Write the ids and the attributes of the levels above; the instance's own are stored with the instance."""
        above = {
            field: value
            for field, value in self.attributes.items()
            if value is not None and field in BY_FIELD and BY_FIELD[field].level is not Level.INSTANCE
        }
        return to_json({"ids": {level.value: entity for level, entity in self.ids.items()}, "attributes": above})

    def at(self, level: Level) -> dict[str, Value]:
        """Select the known attributes of one level, its id included."""
        own = {a.field: self.attributes.get(a.field) for a in AT_LEVEL[level]}
        field = uid_field(level)
        if field is not None:
            own[field] = self.ids[level]
        return {name: value for name, value in own.items() if value is not None}


@dataclass(frozen=True, slots=True)
class OriginClaims:
    """Claims of an instance on the patient, study and series above it; those of most instances of a series are equal.

    Attributes
    ----------
    digest : bytes
        16 bytes that are the same for equal claims: the patient claimed, the UIDs and the attributes.
    attributes : dict of str to Value
        Known attributes of these levels by field, without UIDs.
    document : bytes
        The attributes as JSON.
    """

    digest: bytes
    attributes: dict[str, Value]
    document: bytes

    @classmethod
    def from_arrival(cls, new: NewInstance) -> "OriginClaims":
        """Read the claims of an arrival."""
        given = new.attributes
        attributes: dict[str, Value] = {field: value for field in _ABOVE if (value := given.get(field)) is not None}
        document = to_json(attributes)
        ids = "\\".join((new.patient, new.study, new.series)).encode("utf-8", "replace")
        return cls(hashlib.sha256(ids + b"\\" + document).digest()[:16], attributes, document)

    def with_attributes(self, attributes: dict[str, Value]) -> "OriginClaims":
        """Return claims of the same digest with the attributes that moves give them."""
        return OriginClaims(self.digest, attributes, to_json(attributes))


_ABOVE = tuple(
    attribute.field
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES)
    for attribute in AT_LEVEL[level]
    if attribute.field != uid_field(level)
)


def with_edits(attributes: dict[str, Value], edits: list[Edit]) -> dict[str, Value]:
    """Apply edits to attributes; an edit to None removes the attribute."""
    edited = {**attributes, **{edit.field: edit.value for edit in edits}}
    return {field: value for field, value in edited.items() if value is not None}


def described_instances(
    rows: Sequence[tuple[Sequence[str], bytes, str]], applying: Iterable[tuple[Edit, ...]]
) -> list[DescribedInstance]:
    """Join headers with the edits that apply to them.

    Parameters
    ----------
    rows : sequence
        For each instance the ids of all four levels, the patient's first, its header, and its transfer syntax.
    applying : iterable of tuple of Edit
        For each instance the edits that apply to it (`applying_edits`).
    """
    return [
        DescribedInstance(study, series, instance, header, own, syntax)
        for ((_, study, series, instance), header, syntax), own in zip(rows, applying, strict=True)
    ]


def transfer_syntax_of(layout: bytes | str) -> str:
    """Read the transfer syntax of a stored layout; empty where it is not known."""
    return str(orjson.loads(layout).get("transfer_syntax") or "")


def applying_edits(chains: Iterable[Sequence[str]], edits: Iterable[Edit]) -> list[tuple[Edit, ...]]:
    """Select the edits that apply to each of several instances.

    Parameters
    ----------
    chains : iterable of sequence of str
        For each instance the ids of all four levels, the patient's first.
    edits : iterable of Edit
        Edits of any of these entities; each entity's in the order of fields.
    """
    kept: dict[tuple[Level, str], list[Edit]] = {}
    for edit in edits:
        kept.setdefault((edit.level, edit.entity), []).append(edit)
    if not kept:
        return [() for _ in chains]
    return [tuple(edit for key in zip(Level, chain, strict=True) for edit in kept.get(key, ())) for chain in chains]
