"""Origins: what files say about the entities above them, stored once for all files that say the same."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import PatientClaim
from neurdicom.dicom.query.attributes import ATTRIBUTES, Level
from neurdicom.dicom.query.conditions import Value

_ABOVE = tuple(sorted(attribute.field for attribute in ATTRIBUTES if attribute.level is not Level.INSTANCE))


@dataclass(frozen=True, slots=True)
class Origin:
    """The natural series of an instance, and what its file says about the entities above.

    Attributes
    ----------
    id : str
        Digest of all that follows.
    claim : PatientClaim
        The patient that the file names.
    study, series : str
        UIDs.
    attributes : str
        Attributes of the patient, the study and the series by field, as JSON.
    """

    id: str
    claim: PatientClaim
    study: str
    series: str
    attributes: str

    @classmethod
    def of(cls, new: NewInstance) -> "Origin":
        """Read the origin of an arrival."""
        return cls.make(PatientClaim.read(new.patient, new.attributes), new.study, new.series, new.attributes)

    @classmethod
    def make(cls, claim: PatientClaim, study: str, series: str, attributes: Mapping[str, Value]) -> "Origin":
        """Make an origin from what a file says.

        Parameters
        ----------
        claim : PatientClaim
            The patient that it names.
        study, series : str
            Its UIDs.
        attributes : Mapping[str, Value]
            Its attributes by field.
        """
        said = {field: value for field in _ABOVE if (value := attributes.get(field)) is not None}
        said |= {"study_instance_uid": study, "series_instance_uid": series}
        text = to_json(said).decode()
        whole = to_json([claim.key, study, series]) + text.encode()
        return cls(hashlib.sha256(whole).hexdigest()[:32], claim, study, series, text)

    def to_document(self, chain: Mapping[Level, str], first: int) -> Document:
        """Write the document of the collection `origins`.

        Parameters
        ----------
        chain : Mapping[Level, str]
            `_id`s of the entities that its instances belong to.
        first : int
            Number of the earliest arrival.
        """
        return {
            "_id": self.id,
            "claim": self.claim.key,
            "study": chain[Level.STUDY],
            "series": chain[Level.SERIES],
            "first": first,
            "attributes": self.attributes,
        }

    @property
    def said(self) -> dict[str, Value]:
        """The attributes by field."""
        found: dict[str, Value] = orjson.loads(self.attributes)
        return found


async def origins_of(unit: UnitOfWork, level: Level, entity: str) -> list[Document]:
    """List the origins of a study or a series, in the order of their earliest arrivals.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        `STUDY` or `SERIES`.
    entity : str
        `_id` of the entity.
    """
    found = await unit.all("origins", {level.value: entity})
    return sorted(found, key=lambda one: int(one["first"]))


def said_by(origins: Iterable[Document]) -> list[dict[str, Value]]:
    """Read the attributes of origins."""
    return [orjson.loads(one["attributes"]) for one in origins]


async def update_origins(unit: UnitOfWork, series: str, firsts: Mapping[str, int]) -> list[Document]:
    """Bring the origins of a series in line with its instances; return them in order.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    series : str
        `_id` of the series.
    firsts : Mapping[str, int]
        Numbers of the earliest arrivals of the origins that its instances refer to.
    """
    known = await origins_of(unit, Level.SERIES, series)
    await unit.remove("origins", [one["_id"] for one in known if one["_id"] not in firsts])
    kept = [one for one in known if one["_id"] in firsts]
    for one in kept:
        if one["first"] != firsts[one["_id"]]:
            one["first"] = firsts[one["_id"]]
            await unit["origins"].update_one(
                {"_id": one["_id"]}, {"$set": {"first": one["first"]}}, session=unit.session
            )
    return sorted(kept, key=lambda one: int(one["first"]))


def firsts_of(instances: Iterable[Document]) -> dict[str, int]:
    """Find the earliest arrival of each origin of a series, from the documents of its instances."""
    firsts: dict[str, int] = {}
    for one in instances:
        firsts[one["origin"]] = min(one["arrival"], firsts.get(one["origin"], one["arrival"]))
    return firsts


def same_as_shown(fields: Sequence[str], said: Mapping[str, Value], shown: Mapping[str, Value]) -> bool:
    """Tell whether a file says nothing of some attributes but what is shown already.

    Parameters
    ----------
    fields : sequence of str
        Fields of the attributes.
    said : Mapping[str, Value]
        Values in the file.
    shown : Mapping[str, Value]
        Values that are shown.
    """
    return all(said.get(field) is None or said[field] == shown.get(field) for field in fields)
