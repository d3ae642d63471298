"""The archive port: the DICOM entities of a catalog, and the files that they refer to.

An entity is a flat mapping: `id`, the ids of its ancestors (`patient`, `study`, `series`), the attributes of its
level by field name (None where absent), the exact counts of `dicom.query.attributes.COUNTS`, `modalities` (a study's,
sorted) and, for an instance, `size` (bytes), `sha256` and `received` (ISO 8601, UTC). A study also has the
attributes of its patient. All values that an adapter returns are effective ones: edits are applied.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from neurdicom.catalog.documents import Documents
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query, Value

Entity = dict[str, Any]
Status = Literal["stored", "replaced", "duplicate"]


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An instance to store, whose file is durable already.

    Attributes
    ----------
    patient, study, series, instance : str
        Ids at the four levels.
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
class StoreOutcome:
    """The outcome of storing a `NewInstance`.

    `unused` is the key of the blob that no instance refers to any more: the arrival's own for a duplicate (same SOP
    Instance UID and same SHA-256), the earlier one for a replacement. It is recorded as garbage in the same
    transaction.
    """

    status: Status
    unused: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """The file of an instance with its layout, and the ids of its study and series."""

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
    """A page of entities, and the number of all that meet the query.

    Without `Query.counted`, `total` is the number of entities up to the end of the page.
    """

    items: list[Entity]
    total: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute, stored beside the original value, which is never altered."""

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
        Ids of the instance and of the entities above.
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


class Catalog(ABC):
    """Port of the metadata of all stored instances. Every verb is one transaction, whole or not at all.

    An adapter implements the abstract verbs. The others have defaults built from these, which an adapter overrides
    where a query of its own is faster.

    Attributes
    ----------
    documents : Documents
        The document port of the same backend; opened and closed with the catalog.
    """

    documents: Documents

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create or upgrade the schema. Raises `Unavailable` when the backend does not answer."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent."""

    # -- storing and finding ---------------------------------------------------------------------------------

    @abstractmethod
    async def store(self, arrivals: Sequence[NewInstance]) -> list[StoreOutcome]:
        """Store arrivals in order, in one durable transaction, and answer one outcome for each.

        An entity shows the attributes, and lies below the parent, of the earliest instance that is left in it: the
        answers of the catalog follow from the stored files and the order of their arrival alone. A replacement
        counts as the latest arrival and may name other parents; parents left empty go, and counts stay exact. The
        edits of an entity that stays are kept. The same instance may occur twice in one call.
        """

    @abstractmethod
    async def find(self, query: Query) -> Page:
        """Find the entities that meet a query. Raises `Invalid` for a field that the level does not have."""

    async def get(self, level: Level, entity: str) -> Entity | None:
        """Look up an entity by id; return None if it is unknown."""
        page = await self.find(Query(level, (AnyOf(level.value, (entity,)),), limit=1, counted=False))
        return page.items[0] if page.items else None

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """List the SOP Class UIDs of each study, sorted; unknown studies are left out."""
        found: dict[str, list[str]] = {}
        for study in studies:
            page = await self.find(Query(Level.INSTANCE, (AnyOf(Level.STUDY.value, (study,)),), limit=None))
            if page.items:
                found[study] = sorted({uid for one in page.items if (uid := one["sop_class_uid"])})
        return found

    # -- files and headers -----------------------------------------------------------------------------------

    async def locate(self, instance: str) -> Location | None:
        """Look up the location of an instance, None if it is unknown; the hot path of every pixel request."""
        found = await self.locate_all(Level.INSTANCE, instance)
        return found[0].location if found else None

    @abstractmethod
    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        """List the locations and edits of all instances below an entity, by instance id, from one snapshot."""

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        """Look up the SHA-256 of the files of instances; unknown instances are left out."""
        found = {instance: await self.locate(instance) for instance in instances}
        return {instance: location.blob.sha256 for instance, location in found.items() if location}

    @abstractmethod
    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        """List headers and edits of the instances below an entity, by instance id, a bounded part at a time.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.
        after : str
            Id of the last instance of the previous part; empty for the first part.
        budget : int
            Bytes of headers; the part ends with the header that reaches them.

        Returns
        -------
        list of DescribedInstance
            Empty after the last part.
        """

    async def headers(self, level: Level, entity: str) -> list[bytes]:
        """List the stored headers (DICOM JSON, edits not applied) of all instances below an entity, by instance id."""
        return [one.header for one in await self.described(level, entity)]

    @abstractmethod
    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """Look up the earliest instance of each entity, by the entity's id; unknown entities are left out."""

    # -- editing and deleting --------------------------------------------------------------------------------

    @abstractmethod
    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        """Store changed values of an entity's own attributes beside the originals.

        A later edit of the same field replaces the earlier one. The edits of an entity are deleted with it.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.
        changes : Mapping[str, Value]
            Field name to new value, None to empty the attribute; checked by the caller.
        user : str
            Name of the user who makes the edit.
        time : str
            Time of the edit, ISO 8601 in UTC.

        Returns
        -------
        bool
            False if the entity is unknown.
        """

    async def edits(self, instance: str) -> list[Edit]:
        """List all edits that apply to an instance, the patient's first."""
        return [edit for located in await self.locate_all(Level.INSTANCE, instance) for edit in located.edits]

    @abstractmethod
    async def delete(self, level: Level, entity: str) -> list[str] | None:
        """Delete an entity with everything below it, and parents left empty.

        Returns the keys of the blobs that no instance refers to any more, which are recorded as garbage in the same
        transaction; None if the entity is unknown.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Delete all DICOM entities, but neither edits nor documents, as a reindex begins with."""

    # -- blobs -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def garbage(self) -> list[str]:
        """List the keys of blobs that are yet to be deleted from the blob store."""

    @abstractmethod
    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """Remove the keys of deleted blobs from the garbage."""

    @abstractmethod
    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        """Select the keys that an instance refers to."""
