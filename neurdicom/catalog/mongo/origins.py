"""Origins: what files say about the entities above them, stored once for all files that say the same."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import orjson

from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.moves import NaturalSeries, Placement, claims_with
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit, NewInstance
from neurdicom.dicom.identity import PatientClaim
from neurdicom.dicom.query.attributes import ATTRIBUTES, Level
from neurdicom.dicom.query.conditions import Value

_ABOVE = tuple(sorted(attribute.field for attribute in ATTRIBUTES if attribute.level is not Level.INSTANCE))


@dataclass(frozen=True, slots=True)
class MovedOrigin:
    """Placement of an origin's instances by moves, stored in the member `moved` of the origin.

    Attributes
    ----------
    natural : tuple of str
        Id of the patient and UID of the study that the files name.
    owner : str
        Id of the patient in the key of the study where they lie.
    via : tuple of str
        Ids of the edits that placed them there.
    edits : tuple of Edit
        Edits that write that place into the files (`moves.placement_edits`).
    """

    natural: tuple[str, str]
    owner: str
    via: tuple[str, ...]
    edits: tuple[Edit, ...]

    @classmethod
    def of(cls, natural: NaturalSeries, placement: Placement, edits: tuple[Edit, ...]) -> Self | None:
        """Make the placement of an origin of a natural series; None where no move is in force.

        Parameters
        ----------
        natural : NaturalSeries
            The series.
        placement : Placement
            Where it lies.
        edits : tuple of Edit
            Edits that write its place into its files (`moves.placement_edits`).
        """
        if not placement.via:
            return None
        via = tuple(move.edit for move in placement.via)
        return cls((natural.patient, natural.study), placement.owner, via, edits)

    def to_document(self) -> Document:
        """Write the member `moved` of an origin."""
        edits = [edit.to_wire() | {"value": to_json(edit.value).decode()} for edit in self.edits]
        return {"natural": list(self.natural), "owner": self.owner, "via": list(self.via), "edits": edits}

    @classmethod
    def from_origin(cls, origin: Document) -> Self | None:
        """Read the member `moved` of an origin; None if it has none."""
        if "moved" not in origin:
            return None
        moved = origin["moved"]
        edits = tuple(
            Edit(**{**one, "level": Level(one["level"]), "value": orjson.loads(one["value"])}) for one in moved["edits"]
        )
        patient, study = moved["natural"]
        return cls((patient, study), moved["owner"], tuple(moved["via"]), edits)


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
    moved : MovedOrigin or None
        Placement of its instances by moves.
    """

    id: str
    claim: PatientClaim
    study: str
    series: str
    attributes: str
    moved: MovedOrigin | None = field(default=None, compare=False)

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
            **({"moved": self.moved.to_document()} if self.moved else {}),
        }

    @property
    def said(self) -> dict[str, Value]:
        """The attributes by field, as moves change them."""
        found: dict[str, Value] = orjson.loads(self.attributes)
        return claims_with(found, self.moved.edits) if self.moved else found


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
    """Read the attributes of the origins that have shown files, as moves change them."""
    shown = [one for one in origins if not one.get("hidden")]
    moved = {one["_id"]: MovedOrigin.from_origin(one) for one in shown if "moved" in one}
    said: list[dict[str, Value]] = []
    for one in shown:
        attributes, by_moves = orjson.loads(one["attributes"]), moved.get(one["_id"])
        said.append(claims_with(attributes, by_moves.edits) if by_moves else attributes)
    return said


async def update_origins(unit: UnitOfWork, series: str, firsts: Mapping[str, int]) -> list[Document]:
    """Bring the origins of a series in line with its instances; return them in order.

    An origin is `hidden` while all of its files are displaced; `earliest` is the number of a displaced file that
    arrived before the shown ones.

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
    displaced = await _displaced_firsts(unit, series) if any("moved" in one for one in known) else {}
    kept, gone = [], []
    for one in known:
        shown, other = firsts.get(one["_id"]), displaced.get(one["_id"])
        if shown is not None:
            renewed: Document = {"first": shown} | ({"earliest": other} if other is not None and other < shown else {})
        elif other is not None:
            renewed = {"first": other, "hidden": True}
        else:
            gone.append(one["_id"])
            continue
        if renewed != {name: one[name] for name in _FIRSTS if name in one}:
            unset = {name: "" for name in _FIRSTS if name in one and name not in renewed}
            changes = {"$set": renewed} | ({"$unset": unset} if unset else {})
            await unit["origins"].update_one({"_id": one["_id"]}, changes, session=unit.session)
        kept.append({name: value for name, value in one.items() if name not in _FIRSTS} | renewed)
    await unit.remove("origins", gone)
    return sorted(kept, key=lambda one: int(one["first"]))


_FIRSTS = ("first", "hidden", "earliest")


async def _displaced_firsts(unit: UnitOfWork, series: str) -> dict[str, int]:
    firsts: dict[str, int] = {}
    for one in await unit.all("displaced", {"series": series}, "arrival", "origin"):
        firsts[one["origin"]] = min(one["arrival"], firsts.get(one["origin"], one["arrival"]))
    return firsts


def earliest(origin: Document) -> int:
    """Return the number of the earliest arrival of an origin, displaced ones among them."""
    return int(origin["earliest"] if "earliest" in origin else origin["first"])


def natural_of(origins: Sequence[Document], level: Level, above: tuple[str, str]) -> list[list[str]] | None:
    """List the natural places of a study or series, that of its own key first; None if its only one is where it lies.

    Parameters
    ----------
    origins : sequence of Document
        Its origins.
    level : Level
        `STUDY` or `SERIES`.
    above : (str, str)
        Id of the patient and UID of the study where it lies.
    """
    if not any("moved" in one for one in origins):
        return None
    here = [*above[:1]] if level is Level.STUDY else [*above]
    places: list[list[str]] = []
    for one in sorted(origins, key=earliest):
        moved = one.get("moved")
        place = here if moved is None else [moved["owner"]] if level is Level.STUDY else list(moved["natural"])
        if place not in places:
            places.append(place)
    if here in places:  # an entity that lies where its files say keeps that key
        places = [here, *(place for place in places if place != here)]
    return None if places == [here] else places


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
