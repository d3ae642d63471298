"""The port of the catalog: what every adapter provides.

An entity is a flat mapping: `id`, the ids of its ancestors (`patient`, `study`, `series`), the attributes of its
level by field name (None where absent), the exact counts of `dicom.query.attributes.COUNTS`, `modalities` (a study's,
sorted) and, for an instance, `size` (bytes), `sha256` and `received` (ISO 8601, UTC). A study also gives the
attributes of its patient. All values that an adapter answers are effective ones: edits are applied.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from neurdicom.catalog.terms import Having, Termed
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query, Value

Entity = dict[str, Any]
Status = Literal["stored", "replaced", "duplicate"]


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What ingest knows of a file whose bytes are already durable.

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
class Outcome:
    """What became of a `NewInstance`.

    `unused` is the key of the blob that nothing refers to any more: the arrival's own for a duplicate (same SOP
    Instance UID and same SHA-256), the earlier one for a replacement. It is recorded as garbage in the same
    transaction.
    """

    status: Status
    unused: str | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Where an instance's bytes lie, with what a reader needs before it opens them; and what it lies in."""

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
    """A page of entities (or documents) and how many there are in all.

    Of a query that is not counted, `total` is the number of those up to the page's end.
    """

    items: list[Entity]
    total: int


@dataclass(frozen=True, slots=True)
class Edit:
    """A changed attribute, kept beside the original (which is never altered)."""

    level: Level
    entity: str
    field: str
    value: Value
    user: str
    time: str

    def as_dict(self) -> dict[str, Any]:
        """Give it as a JSON object, as the worker processes take it (`dicom.edits.apply`)."""
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

    Attributes
    ----------
    is_exclusive : bool
        One server at a time uses it: what it has read of documents that only servers write stays true.
    """

    is_exclusive: ClassVar[bool] = False

    @abstractmethod
    async def open(self) -> None:
        """Connect, and create or upgrade the schema. Raises `Unavailable` when the backend does not answer."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything. Idempotent."""

    # -- DICOM -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def store(self, arrivals: Sequence[NewInstance]) -> list[Outcome]:
        """Store arrivals in order, in one durable transaction, and answer one outcome for each.

        An entity shows the attributes, and lies below the parent, of the earliest instance that is left in it: what
        the catalog answers follows from the stored files and the order of their arrival alone. A replacement
        counts as the latest arrival and may name other parents; parents left empty go, and counts stay exact. The
        edits of an entity that stays are kept. The same instance may occur twice in one call.
        """

    @abstractmethod
    async def get(self, level: Level, entity: str) -> Entity | None:
        """One entity by id."""

    @abstractmethod
    async def find(self, query: Query) -> Page:
        """The entities that meet a query."""

    @abstractmethod
    async def locate(self, instance: str) -> Location | None:
        """Where an instance lies; the hot path of every pixel request."""

    @abstractmethod
    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        """Where all instances below an entity lie, by instance id, with their edits, in one look."""

    @abstractmethod
    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of the files of these instances; those that are unknown are left out."""

    @abstractmethod
    async def headers(self, level: Level, entity: str) -> list[bytes]:
        """The stored headers (DICOM JSON, edits not applied) of all instances below, by instance id."""

    @abstractmethod
    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        """Headers and edits of the instances below, by instance id.

        It ends with the header that brings their bytes to `budget` or beyond, if not before; the next call goes on
        `after` the last instance id. Nothing more is left when it answers an empty list.
        """

    @abstractmethod
    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """The earliest instance of each of these entities, by their ids; those that are unknown are left out."""

    @abstractmethod
    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """The SOP Class UIDs that occur in each of these studies, sorted; those that are unknown are left out."""

    @abstractmethod
    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        """Keep changed values of one entity's own attributes beside the originals; False if it is unknown.

        A later edit of the same field takes the earlier one's place. Fields are checked by the caller. The edits
        of an entity go when it goes.
        """

    @abstractmethod
    async def edits(self, instance: str) -> list[Edit]:
        """All edits that apply to an instance, the patient's first."""

    @abstractmethod
    async def delete(self, level: Level, entity: str) -> list[str] | None:
        """Delete an entity with everything below and parents left empty; None if it is unknown.

        Answers the keys of the blobs that nothing refers to any more, recorded as garbage in the same transaction.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Delete all DICOM entities but neither edits nor documents: the first half of a reindex."""

    # -- blobs to delete -------------------------------------------------------------------------------------

    @abstractmethod
    async def garbage(self) -> list[str]:
        """Keys of blobs that are still to be deleted from the store."""

    @abstractmethod
    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """The blobs of these keys are gone."""

    @abstractmethod
    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        """Those of the keys that an instance refers to."""

    # -- documents: users, tokens, plugins, jobs ... ---------------------------------------------------------

    @abstractmethod
    async def put_document(self, kind: str, key: str, document: Mapping[str, Any]) -> None:
        """Store a JSON document, durably, in place of any earlier one, whose terms go."""

    @abstractmethod
    async def add_document(self, kind: str, key: str, document: Mapping[str, Any]) -> bool:
        """Store a JSON document if the key is free; False, and no change, if it is taken. Atomic."""

    @abstractmethod
    async def get_document(self, kind: str, key: str) -> dict[str, Any] | None:
        """A document by key."""

    @abstractmethod
    async def find_documents(self, kind: str, **equal: str | int | bool) -> list[dict[str, Any]]:
        """Documents whose top-level members equal those given, by key."""

    @abstractmethod
    async def list_documents(
        self, kind: str, where: Mapping[str, str], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        """A page of the documents whose top-level members are these texts, by key, and how many there are.

        Texts have at most 64 characters. What the page leaves out costs no more than a look at its members.
        """

    @abstractmethod
    async def swap_document(
        self, kind: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
    ) -> bool:
        """Put a document in the place of another; False, and no change, if it is not the one that is there. Atomic.

        Its terms stay. With None in its place it is deleted.
        """

    @abstractmethod
    async def delete_document(self, kind: str, key: str) -> bool:
        """Delete a document; False if there was none."""

    @abstractmethod
    async def delete_documents(self, kind: str, keys: Sequence[str]) -> int:
        """Delete documents; how many there were."""

    @abstractmethod
    async def put_documents(self, kind: str, documents: Sequence[Termed]) -> None:
        """Store documents that are found by terms, durably, in place of earlier ones; each whole or not at all.

        One that takes the place of another keeps its place in the order, too. Terms that are too long are left out.
        """

    @abstractmethod
    async def search_documents(
        self, kind: str, conditions: Sequence[Having], *, limit: int, offset: int = 0, descending: bool = False
    ) -> Page:
        """A page of the documents that `put_documents` stored and that meet all conditions, and how many there are.

        They come in the order in which they were first put.
        """

    @abstractmethod
    async def documents_after(self, kind: str, key: str, *, limit: int) -> list[dict[str, Any]]:
        """Documents by key, from the first after this one on: for those who look at all of them."""
