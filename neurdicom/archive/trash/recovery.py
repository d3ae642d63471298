"""Recovery of the trash at the start of a server, which finishes the work of an interrupted process."""

import logging

from neurdicom.archive.trash.adopt import Adopter
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import OVER, VERSION, TrashEntry, TrashState
from neurdicom.archive.trash.restoring import EntryRestorer, edits_of_gone
from neurdicom.archive.trash.stores import TrashStores
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)


class TrashRecovery:
    """Recovery of deletions and restorations that a crash interrupted, and of entries whose record is lost.

    Parameters
    ----------
    stores : TrashStores
        Stores of the trash.
    restorer : EntryRestorer
        Restores entries.
    discarder : EntryDiscarder
        Deletes entries for good.
    adopter : Adopter
        Makes lost records anew.
    """

    def __init__(
        self, stores: TrashStores, restorer: EntryRestorer, discarder: EntryDiscarder, adopter: Adopter
    ) -> None:
        self._catalog = stores.catalog
        self._records = stores.records
        self._files = stores.files
        self._observer = stores.observer
        self._restorer = restorer
        self._discarder = discarder
        self._adopter = adopter

    async def run(self) -> None:
        """Finish everything; a failure is logged, and the next start tries again."""
        for entry in await self._records.unfinished():
            try:
                await self._finish(entry)
            except (NeurdicomError, OSError) as error:
                log.warning(
                    "the entry %s of the trash could not be finished, the next start tries again: %s", entry.id, error
                )
        try:
            await self._observer.labels.recover()
        except NeurdicomError as error:
            log.warning("labels of what was deleted could not be removed, the next start tries again: %s", error)
        await self._adopter.run()
        waiting = set((await self._catalog.garbage()).values())
        await self._observer.on_recovered(waiting | await self._records.places())

    async def _finish(self, entry: TrashEntry) -> None:
        if entry.state is TrashState.KEPT:
            await self._records.put(entry)  # its terms may be those of an earlier state
        elif entry.state is TrashState.RESTORING:
            await self._restorer.bring_back(entry)
        elif entry.state in OVER:
            await self._discarder.discard(entry)
        elif files := await self._files.of(entry.place):
            await self._observer.labels.set_aside(entry.place)
            size = sum(file.ref.size for file in files)
            edits = () if entry.kind == VERSION else await edits_of_gone(self._catalog, entry)
            if entry.kind != VERSION:
                await self._observer.on_set_aside(Level(entry.kind), entry.entity, entry.place)
            await self._records.advance(entry, TrashState.KEPT, instances=len(files), bytes=size, edits=edits)
        else:  # the deletion was never committed
            await self._observer.labels.discard(entry.place)
            await self._records.remove(entry)
