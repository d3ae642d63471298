"""Earlier versions of instances: bytes that arrived for an instance, and are not the current ones."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Self

from neurdicom.archive.lookup import as_location, locate_instance
from neurdicom.archive.opened import OpenedFile
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import (
    SECONDS_A_DAY,
    VERSION,
    TrashEntry,
    TrashState,
    to_iso,
    uids_of,
)
from neurdicom.archive.trash.files import SetAsideFile
from neurdicom.archive.trash.renewal import VersionRenewer
from neurdicom.archive.trash.stores import TrashStores
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.moves import DisplacedFile
from neurdicom.catalog.outcomes import StoreOutcome
from neurdicom.catalog.records import Entity
from neurdicom.dicom.identity import Place, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NeurdicomError, NotFound

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InstanceVersion:
    """Version of an instance.

    Attributes
    ----------
    sha256 : str
        SHA-256 of its bytes.
    size : int
        Number of its bytes.
    received : str or None
        Time of arrival, ISO 8601 in UTC.
    entry : TrashEntry or None
        Its entry in the trash; None for the current version, and for one that a move has displaced.
    displaced : DisplacedFile or None
        File that another is shown instead of, which a move put in the same place.
    """

    sha256: str
    size: int
    received: str | None
    entry: TrashEntry | None = None
    displaced: DisplacedFile | None = None

    @classmethod
    def of(cls, entry: TrashEntry) -> Self:
        """Make the version that an entry of the trash is."""
        return cls(str(entry.sha256), entry.bytes, entry.received, entry)

    @property
    def is_current(self) -> bool:
        """True if these are the bytes that are served."""
        return self.entry is None and self.displaced is None


class VersionService:
    """Service that records the earlier versions of instances, and finds them.

    Parameters
    ----------
    stores : TrashStores
        Stores of the trash, in which earlier versions lie.
    discarder : EntryDiscarder
        Deletes those whose bytes are current again.
    guard : FileGuard
        Gives the files of current versions.
    checker : SetAsideChecker
        Gives the files of earlier versions.
    days : float
        Days that an earlier version is kept.
    """

    def __init__(
        self, stores: TrashStores, discarder: EntryDiscarder, guard: FileGuard, checker: SetAsideChecker, days: float
    ) -> None:
        self._stores = stores
        self._catalog = stores.catalog
        self._records = stores.records
        self._observer = stores.observer
        self._discarder = discarder
        self._guard = guard
        self._checker = checker
        self._renewer = VersionRenewer(stores.catalog, stores.blobs, stores.garbage)
        self._days = days

    async def all_of(self, reference: str) -> list[InstanceVersion]:
        """List the versions of an instance: the current one, then the others, the latest first.

        Raises
        ------
        NotFound
            Nothing has this id.
        Ambiguous
            The UID names several instances.
        """
        entity = await self._instance(reference)
        current = InstanceVersion(entity["sha256"], entity["size"], entity["received"])
        entries = await self._records.versions(await self._catalog.keys(Level.INSTANCE, entity["key"]))
        displaced = [
            InstanceVersion(file.blob.sha256, file.blob.size, file.received, displaced=file)
            for file in await self._catalog.displaced(entity["key"])
            if file.blob.sha256 != entity["sha256"]
        ]
        return [current, *displaced, *map(InstanceVersion.of, entries)]

    async def find(self, reference: str, sha256: str) -> InstanceVersion:
        """Find a version of an instance by its SHA-256. Raises `NotFound`, `Ambiguous`."""
        for version in await self.all_of(reference):
            if version.sha256 == sha256.lower():
                return version
        raise NotFound(
            f"the instance {reference[:80]!r} has no version with the SHA-256 {sha256[:64]}", field="version"
        )

    async def download(self, reference: str, sha256: str) -> OpenedFile:
        """Open the file of a version, as it was received.

        Parameters
        ----------
        reference : str
            Key or UID of the instance.
        sha256 : str
            SHA-256 of the version.

        Raises
        ------
        NotFound
            There is no such instance, or no such version of it.
        Ambiguous
            The UID names several instances.
        Damaged
            Its file is damaged.
        """
        version = await self.find(reference, sha256)
        path = await self._path(reference, version)
        instance = uid_of((await self._instance(reference))["key"])
        return await asyncio.to_thread(OpenedFile, instance, path, version.size, version.sha256)

    async def _path(self, reference: str, version: InstanceVersion) -> Path:
        if version.displaced is not None:
            return await self._guard.path(as_location(version.displaced))
        if version.entry is not None:
            return await self._checker.path(version.entry)
        return await self._guard.path(await locate_instance(self._catalog, reference))

    async def renew(self, reference: str, version: InstanceVersion) -> None:
        """Make a version current where moves have put several files in one place: its bytes arrive once more.

        Parameters
        ----------
        reference : str
            Key or UID of the instance.
        version : InstanceVersion
            The version, which is not current.

        Raises
        ------
        NotFound
            The instance or the file is gone.
        Damaged
            The file is damaged.
        Conflict
            Another file arrived at the same moment.
        """
        entity = await self._instance(reference)
        path = await self._path(reference, version)
        located = [] if version.displaced is None else [as_location(version.displaced)]
        async with self._guard.decoding(*located):
            outcome = await self._renewer.renew(path, version.sha256, entity["received"])
        await self.note(outcome)

    async def _instance(self, reference: str) -> Entity:
        entity = await self._catalog.get(Level.INSTANCE, reference)
        if entity is None:
            raise NotFound(f"there is no instance {reference[:80]!r}")
        return entity

    async def note(self, outcome: StoreOutcome) -> None:
        """Record the version that an arrival took the place of, or that it is itself; hide what was derived from it.

        An earlier version with the bytes that are current now is forgotten. What is refused is done later:
        the arrival is stored.

        Parameters
        ----------
        outcome : StoreOutcome
            Outcome of the arrival, `replaced` or `kept`.
        """
        try:
            await self._stores.retries.attempt("an earlier version could not be recorded", partial(self._note, outcome))
        except NeurdicomError as error:  # as where somebody else uses the same entry of the trash
            log.warning("an earlier version could not be recorded, the next start does it: %s", error)

    async def _note(self, outcome: StoreOutcome) -> None:
        assert outcome.place is not None
        instance = outcome.place.instance
        keys = await self._catalog.keys(Level.INSTANCE, instance) or (instance,)
        if outcome.status == "replaced" and not outcome.aside:
            for key in keys:
                await self._observer.on_removed(Level.INSTANCE, key)
        if outcome.status == "replaced" and await self._catalog.displaced(instance):
            await self._observer.on_shown_again(outcome.place.series)
        if not outcome.aside:
            return
        if outcome.status == "replaced":
            for key in keys:
                await self._observer.on_set_aside(Level.INSTANCE, key, outcome.aside)
            current = await self._catalog.locate(instance)
            if current is not None:
                await self._forget(keys, current.blob.sha256)
        await self._record(outcome.aside, outcome.place, outcome.unused)

    async def _record(self, place: str, of: Place, key: str | None = None) -> None:
        """Record a version that is set aside; its file may be damaged.

        Parameters
        ----------
        place : str
            Its place in the blob store.
        of : Place
            The instance and what is above it.
        key : str, optional
            Key of its blob, which a backup may keep in the store for a while.
        """
        refs = await self._stores.blobs.aside(place)
        if refs:
            file = SetAsideFile(refs[0], place)
        elif key is not None:
            file = SetAsideFile(await self._stores.blobs.find(key), place, is_waiting=True)
        else:
            return
        status = await asyncio.to_thread((await self._stores.files.path(file)).stat)
        received = datetime.fromtimestamp(status.st_mtime, UTC)
        now = datetime.now(UTC)
        shown = await self._catalog.get(Level.PATIENT, of.patient)
        entry = TrashEntry(
            id=place.partition("/")[2],
            kind=VERSION,
            state=TrashState.KEPT,
            entity=of.instance,
            uids=uids_of(Level.INSTANCE, *map(uid_of, (of.study, of.series, of.instance))),
            patient=of.patient,
            patient_id=shown["patient_id"] if shown else None,
            patient_name=shown["patient_name"] if shown else None,
            instances=1,
            bytes=file.ref.size,
            time=to_iso(now),
            until=now.timestamp() + self._days * SECONDS_A_DAY,
            sha256=file.ref.sha256,
            received=received.isoformat(timespec="microseconds"),
        )
        await self._discarder.put(entry)

    async def _forget(self, keys: Sequence[str], sha256: str) -> None:
        """Forget the earlier versions with these bytes, which are current again."""
        for entry in await self._records.versions(keys):
            if entry.sha256 == sha256 and entry.state is TrashState.KEPT:
                await self._observer.on_brought_back(entry.place)
                try:
                    emptying = await self._records.advance(entry, TrashState.EMPTYING)
                except Conflict:  # whoever empties or restores it just now does away with it
                    continue
                await self._discarder.discard(emptying)

    async def adopt(self, place: str, claimed: Place) -> None:
        """Record a version whose record is lost.

        Parameters
        ----------
        place : str
            Its place in the blob store.
        claimed : Place
            Place in the hierarchy, by what its file says of its patient.
        """
        keys = await self._catalog.keys(Level.INSTANCE, claimed.instance)
        for key in keys:  # it may not have been recorded because the server was killed at this
            await self._observer.on_set_aside(Level.INSTANCE, key, place)
        await self._record(place, replace(claimed, instance=keys[0]) if keys else claimed)
