"""The archive port: the DICOM entities of a catalog, and what ingest must know of files.

An entity is a flat mapping: `id`, the ids of its ancestors (`patient`, `study`, `series`), the attributes of its
level by field name (None where absent), the exact counts of `dicom.query.attributes.COUNTS`, `modalities` (a study's,
sorted) and, for an instance, `size` (bytes), `sha256` and `received` (ISO 8601, UTC). A study also gives the
attributes of its patient. All values that an adapter answers are effective ones: edits are applied.
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
    """An instance to be stored, whose bytes are durable already.

    Attributes
    ----------
    patient, study, series, instance : str
        Ids at the four levels.
    attributes : Mapping[str, Value]
        Field name to value, all four levels together (`dicom.query.attributes`); absent means unknown.
    header : bytes
        The dataset without bulk data in the DICOM JSON model (PS3.18 F), UTF-8.
    blob : BlobRef
        Where the bytes lie; its key is this arrival's own.
    received : str
        When, ISO 8601 in UTC.
    layout : Mapping[str, Any]
        Where Pixel Data lies in the file, for readers that need no second parse (`dicom.part10.Layout`).
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

    `unused` is the key of the blob that nothing refers to any more: the arrival's own for a duplicate (same SOP
    Instance UID and same SHA-256), the earlier one for a replacement. It is recorded as garbage in the same
    transaction.
    """

    status: Status
    unused: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """The place of an instance's bytes, with what a reader needs before it opens them; and its study and series."""

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
    """A page of entities and how many there are in all.

    Of a query that is not counted, `total` is the number of those up to the page's end.
    """

    items: list[Entity]
    total: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute, stored beside the original, which is never altered."""

    level: Level
    entity: str
    field: str
    value: Value
    user: str
    time: str

    def to_wire(self) -> dict[str, Any]:
        """Make the JSON object that worker processes take (`dicom.edits.apply`)."""
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
    """An instance's stored header with what is needed to give it out.

    Attributes
    ----------
    study, series, instance : str
        Ids of the instance and of those above.
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
    """Metadata of everything stored. Every verb is one transaction; none leaves a part of itself behind.

    An adapter writes the abstract verbs. The others have defaults built from these, and are overridden where they are
    worth a query of their own.

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
        """Give one entity by id, None if it is unknown."""
        page = await self.find(Query(level, (AnyOf(level.value, (entity,)),), limit=1, counted=False))
        return page.items[0] if page.items else None

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """List the SOP Class UIDs of each study, sorted; those that are unknown are left out."""
        found: dict[str, list[str]] = {}
        for study in studies:
            page = await self.find(Query(Level.INSTANCE, (AnyOf(Level.STUDY.value, (study,)),), limit=None))
            if page.items:
                found[study] = sorted({uid for one in page.items if (uid := one["sop_class_uid"])})
        return found

    # -- files and headers -----------------------------------------------------------------------------------

    async def locate(self, instance: str) -> Location | None:
        """Give the place of an instance's bytes; the hot path of every pixel request."""
        found = await self.locate_all(Level.INSTANCE, instance)
        return found[0].location if found else None

    @abstractmethod
    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        """Give the places of all instances below an entity, by instance id, with their edits, from one snapshot."""

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        """Give the SHA-256 of the files of these instances; those that are unknown are left out."""
        found = {instance: await self.locate(instance) for instance in instances}
        return {instance: location.blob.sha256 for instance, location in found.items() if location}

    @abstractmethod
    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        """Give headers and edits of the instances below an entity, by instance id, in bounded pieces.

        Parameters
        ----------
        level : Level
        entity : str
        after : str
            Id of the last instance of the piece before.
        budget : int
            Bytes of headers; the piece ends with the header that reaches them, if not before.

        Returns
        -------
        list of DescribedInstance
            Empty when nothing more is left.
        """

    async def headers(self, level: Level, entity: str) -> list[bytes]:
        """Give the stored headers (DICOM JSON, edits not applied) of all instances below, by instance id."""
        return [one.header for one in await self.described(level, entity)]

    @abstractmethod
    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """Give the earliest instance of each of these entities, by their ids; those that are unknown are left out."""

    # -- editing and deleting --------------------------------------------------------------------------------

    @abstractmethod
    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        """Keep changed values of one entity's own attributes beside the originals; False if it is unknown.

        A later edit of the same field takes the earlier one's place. Fields are checked by the caller. The edits
        of an entity go when it goes.
        """

    async def edits(self, instance: str) -> list[Edit]:
        """List all edits that apply to an instance, the patient's first."""
        return [edit for located in await self.locate_all(Level.INSTANCE, instance) for edit in located.edits]

    @abstractmethod
    async def delete(self, level: Level, entity: str) -> list[str] | None:
        """Delete an entity with everything below and parents left empty; None if it is unknown.

        Answers the keys of the blobs that nothing refers to any more, recorded as garbage in the same transaction.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Delete all DICOM entities but neither edits nor documents: the first half of a reindex."""

    # -- blobs -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def garbage(self) -> list[str]:
        """List the keys of blobs that are still to be deleted from the store."""

    @abstractmethod
    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """Take the keys of deleted blobs off the list."""

    @abstractmethod
    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        """Give those of the keys that an instance refers to."""
