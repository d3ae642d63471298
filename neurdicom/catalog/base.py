"""The archive port: the DICOM entities of a catalog, and the files that they refer to.

An entity is a flat mapping: `id`, `key`, the ids of its ancestors (`patient`, `study`, `series`), the attributes of its
level by field name (None where absent), the exact counts of `dicom.query.attributes.COUNTS`, `modalities` (a study's,
sorted) and, for an instance, `size` (bytes), `sha256` and `received` (ISO 8601, UTC). A study also has the
demographics that its own files give. All values that an adapter returns are effective ones: edits are applied.

Two kinds of names (`dicom.identity`): the key of a study, series or instance, `UID~XXXXXXXX`, names one entity at any
time; its id is the UID as long as that names one entity, and the key otherwise. Documents keep keys. A verb takes
either (a reference): one entity by its key, by a key that it had before its patient was known, or by a UID that names
one. A verb that takes one reference raises `Ambiguous` for a UID that names several; in a condition it finds all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence

from neurdicom.catalog.documents import Documents
from neurdicom.catalog.moving import MovingCatalog
from neurdicom.catalog.outcomes import KEEP_ALL, StoreOutcome, StorePolicy, UidConflict, ambiguous
from neurdicom.catalog.records import (
    DescribedInstance,
    Edit,
    Entity,
    Located,
    Location,
    MigrationProgress,
    NewInstance,
    Page,
    StudyHolding,
)
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query, Value


class Catalog(MovingCatalog, ABC):
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

    @abstractmethod
    async def migrate(self, progress: Callable[[MigrationProgress], None]) -> None:
        """Bring the DICOM entities of a catalog that an earlier version wrote to this one; nothing if none are left.

        The schema is marked first, so that earlier versions refuse it. Entities are brought along in small
        transactions, so that the next call goes on where a killed process stopped. Nothing else may use the entities
        until it has returned; documents may be used at any time.

        Parameters
        ----------
        progress : callable
            Called with the counts so far.
        """

    @abstractmethod
    async def needs_migration(self) -> bool:
        """Tell whether `migrate` has something to do."""

    # -- storing and finding ---------------------------------------------------------------------------------

    @abstractmethod
    async def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        """Store arrivals in order, in one durable transaction, and answer one outcome for each.

        An instance lies where its own file says (`dicom.identity.belonging` decides whose it is); the same UID in
        another place is another entity. Attributes are those of `catalog.shown`: the answers of the catalog follow from
        the stored files, the order of their arrival and the edits alone. A replacement counts as the latest arrival.
        The bytes of a displaced file that arrive again become current (`StorePolicy.shows_again`), and the other file
        is displaced. Counts stay exact. The same instance may occur twice in one call. What is not stored changes
        nothing: a refused, kept or duplicate arrival leaves no claim on its study, and no study goes over to its
        patient.
        Whatever the policy says, an arrival is refused whose key another place of its UID has, by the same digest.

        Parameters
        ----------
        arrivals : sequence of NewInstance
            The arrivals.
        policy : StorePolicy
            What is done with those that meet others.
        """

    @abstractmethod
    async def conflicts(self) -> list[UidConflict]:
        """List the UIDs that name several entities, by level and UID, as far as `outcomes.is_conflict` says."""

    @abstractmethod
    async def keys(self, level: Level, reference: str) -> tuple[str, ...]:
        """List the keys of the entity that a reference names: its own first, then those that it had before.

        The keys of before follow from the claims on its study that belong to its patient (`identity.earlier_keys`). The
        id of a claim leads to the patients whose studies it belongs to, unless a patient that is there has it.

        Parameters
        ----------
        level : Level
            Level of the entity.
        reference : str
            A key or a UID.

        Returns
        -------
        tuple of str
            Empty where nothing has it.

        Raises
        ------
        Ambiguous
        """

    async def all_keys(self, level: Level, references: Collection[str]) -> dict[str, tuple[str, ...]]:
        """List the keys of the entity that each of several references names, as `keys` does.

        Parameters
        ----------
        level : Level
            Level of the entities.
        references : collection of str
            Keys, or ids of patients.

        Raises
        ------
        Ambiguous
        """
        return {reference: await self.keys(level, reference) for reference in references}

    @abstractmethod
    async def shared(self, level: Level, uids: Collection[str]) -> set[str]:
        """Select the UIDs that name several entities of a level."""

    async def ids(self, level: Level, keys: Collection[str]) -> dict[str, str]:
        """Map keys, of now or of before, to the ids that users see; a key of nothing counts as if it were there."""
        if level is Level.PATIENT:
            return {key: key for key in keys}
        shared = await self.shared(level, {uid_of(key) for key in keys})
        several = {key: await self.keys(level, key) for key in keys if uid_of(key) in shared}
        return {key: uid_of(key) if key not in several else (several[key] or (key,))[0] for key in keys}

    @abstractmethod
    async def find(self, query: Query) -> Page:
        """Find the entities that meet a query. Raises `Invalid` for a field that the level does not have."""

    async def get(self, level: Level, entity: str) -> Entity | None:
        """Look up an entity by a reference; return None if it is unknown. Raises `Ambiguous`."""
        page = await self.find(Query(level, (AnyOf(level.value, (entity,)),), limit=None, counted=False))
        if len(page.items) > 1:
            raise ambiguous(level, entity, [one["id"] for one in page.items])
        return page.items[0] if page.items else None

    async def sop_classes(self, studies: Sequence[str]) -> dict[str, list[str]]:
        """List the SOP Class UIDs of each study, sorted; unknown studies are left out."""
        found: dict[str, list[str]] = {}
        for study in studies:
            page = await self.find(Query(Level.INSTANCE, (AnyOf(Level.STUDY.value, (study,)),), limit=None))
            if page.items:
                found[study] = sorted({uid for one in page.items if (uid := one["sop_class_uid"])})
        return found

    # -- what it takes ---------------------------------------------------------------------------------------

    async def stored_bytes(self) -> int:
        """Look up the bytes of the files of all instances, displaced ones too, exact after every transaction."""
        return sum(one.bytes for one in await self._holdings(()))

    async def holdings(self, limit: int, after: StudyHolding | None = None) -> list[StudyHolding]:
        """List a page of the studies with their bytes, the one whose latest instance arrived longest ago first.

        Only files that are there count, displaced ones too: a deletion may take the time of a study back.

        Parameters
        ----------
        limit : int
            Most studies.
        after : StudyHolding, optional
            The last of the previous page, which need not be there any more.
        """
        found = await self._holdings(())
        found.sort(key=lambda one: (one.received, one.mark))
        last = ("", "") if after is None else (after.received, after.mark)
        return [one for one in found if (one.received, one.mark) > last][:limit]

    async def holdings_of(self, studies: Collection[str]) -> list[StudyHolding]:
        """Look up studies with their bytes by their present keys, in any order; unknown ones are left out."""
        found = await self._holdings((AnyOf("study", tuple(studies)),)) if studies else []
        return [one for one in found if one.study in studies]

    async def _holdings(self, conditions: tuple[AnyOf, ...]) -> list[StudyHolding]:
        found = []
        for study in (await self.find(Query(Level.STUDY, conditions, limit=None, counted=False))).items:
            below = Query(Level.INSTANCE, (AnyOf("study", (study["key"],)),), limit=None, counted=False)
            instances = (await self.find(below)).items
            displaced = await self.displaced(study["key"], Level.STUDY)
            size = sum(one["size"] for one in instances) + sum(one.blob.size for one in displaced)
            received = max([*(one["received"] for one in instances), *(one.received for one in displaced)])
            found.append(StudyHolding(study["key"], study["patient"], size, received, study["key"]))
        return found

    # -- files and headers -----------------------------------------------------------------------------------

    async def locate(self, instance: str) -> Location | None:
        """Look up the location of an instance, None if it is unknown; the hot path of every pixel request.

        Raises
        ------
        Ambiguous
            The UID names several instances.
        """
        found = await self.locate_all(Level.INSTANCE, instance)
        return found[0].location if found else None

    @abstractmethod
    async def locate_all(self, level: Level, entity: str) -> list[Located]:
        """List locations and edits of all instances below an entity, by key, from one snapshot. Raises `Ambiguous`."""

    async def digests(self, instances: Sequence[str]) -> dict[str, str]:
        """Look up the SHA-256 of the files of instances, by the given keys; unknown instances are left out."""
        found = {instance: await self.locate(instance) for instance in instances}
        return {instance: location.blob.sha256 for instance, location in found.items() if location}

    @abstractmethod
    async def described(
        self, level: Level, entity: str, *, after: str = "", budget: int = 1 << 62
    ) -> list[DescribedInstance]:
        """List headers and edits of the instances below an entity, by key, a bounded part at a time.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.
        after : str
            Key of the last instance of the previous part; empty for the first part.
        budget : int
            Bytes of headers; the part ends with the header that reaches them.

        Returns
        -------
        list of DescribedInstance
            Empty after the last part.
        """

    async def headers(self, level: Level, entity: str) -> list[bytes]:
        """List the stored headers (DICOM JSON, edits not applied) of all instances below an entity, by key."""
        return [one.header for one in await self.described(level, entity)]

    @abstractmethod
    async def samples(self, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
        """Look up an instance of each entity, by the given reference; unknown entities are left out.

        It is the earliest of a study or a series; for a patient that of the study whose demographics it shows.
        """

    # -- editing and deleting --------------------------------------------------------------------------------

    @abstractmethod
    async def edit(self, level: Level, entity: str, changes: Mapping[str, Value], *, user: str, time: str) -> bool:
        """Store changed values of an entity's own attributes beside the originals.

        All edits are kept; the latest of a field counts. Each field's edit has an id of its own, and tells what was
        shown before it. The edits of an entity are deleted with it. Those of a study that goes over to another
        patient, and of all in it, go along.

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

    @abstractmethod
    async def history(self, level: Level, entity: str) -> list[Edit]:
        """List all edits of an entity itself, the earliest first; none of an unknown one. Raises `Ambiguous`."""

    @abstractmethod
    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        """Remove an edit from an entity's history.

        The entity shows the edit of the field below it, or what its files say. Where a later edit lies above, that
        stays, and what was shown before the one that is undone was shown before that.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key or UID.
        edit_id : str
            Id of the edit.

        Returns
        -------
        bool
            False if the entity has no such edit, or is unknown.

        Raises
        ------
        Ambiguous
            The UID names several entities.
        """

    @abstractmethod
    async def restore_edits(self, edits: Sequence[Edit]) -> None:
        """Bring back the histories of entities that were deleted and are there again; may be repeated.

        Edits since then lie above where they are later. Those of unknown entities are ignored, and so are those that
        are there.

        Parameters
        ----------
        edits : sequence of Edit
            Edits of any entities, each entity's in their order, with its key at that time.
        """

    async def edits(self, instance: str) -> list[Edit]:
        """List the effective edits of an instance and of the entities above it, the patient's first."""
        return [edit for located in await self.locate_all(Level.INSTANCE, instance) for edit in located.edits]

    @abstractmethod
    async def delete(self, level: Level, entity: str, *, aside: str = "") -> list[str] | None:
        """Delete an entity with everything below it, and parents left empty.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key or UID.
        aside : str
            Place of the blob store to which the files are set aside; empty to delete them.

        Returns
        -------
        list of str or None
            Keys of the blobs that became garbage in the same transaction; None if the entity is unknown.

        Raises
        ------
        Ambiguous
            The UID names several entities.
        """

    @abstractmethod
    async def clear(self) -> None:
        """Delete all DICOM entities, but neither edits nor documents, as a reindex begins with."""

    # -- blobs -----------------------------------------------------------------------------------------------

    @abstractmethod
    async def garbage(self) -> dict[str, str]:
        """Map the keys of blobs that are yet to leave the blob store to their places; an empty place deletes."""

    @abstractmethod
    async def forget_garbage(self, keys: Sequence[str]) -> None:
        """Remove the keys of deleted blobs from the garbage."""

    @abstractmethod
    async def known_blobs(self, keys: Sequence[str]) -> set[str]:
        """Select the keys that an instance refers to, or a displaced file has."""
