"""Recovery of the trash at the start of a server: what an earlier process had begun is finished."""

import logging

from neurdicom.archive.trash.adopt import Adopter
from neurdicom.archive.trash.derived import WithLabels
from neurdicom.archive.trash.discard import EntryDiscarder
from neurdicom.archive.trash.entry import OVER, VERSION, TrashEntry, TrashState
from neurdicom.archive.trash.files import SetAsideFiles
from neurdicom.archive.trash.records import TrashRecords
from neurdicom.archive.trash.restoring import EntryRestorer, edits_of_gone
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError

log = logging.getLogger(__name__)


class TrashRecovery:
    """Finishes deletions and restorations that a crash cut short, and lists files whose record is lost.

    Parameters
    ----------
    catalog : Catalog
        Has what is left.
    records : TrashRecords
        Records of the trash.
    files : SetAsideFiles
        Finds their files.
    restorer : EntryRestorer
        Restores entries.
    discarder : EntryDiscarder
        Deletes entries for good.
    adopter : Adopter
        Makes lost records anew.
    observer : WithLabels
        Hides what was derived from what was deleted, and its labels.
    """

    def __init__(
        self,
        catalog: Catalog,
        records: TrashRecords,
        files: SetAsideFiles,
        restorer: EntryRestorer,
        discarder: EntryDiscarder,
        adopter: Adopter,
        observer: WithLabels,
    ) -> None:
        self._catalog = catalog
        self._records = records
        self._files = files
        self._restorer = restorer
        self._discarder = discarder
        self._adopter = adopter
        self._observer = observer

    async def run(self) -> None:
        """Finish everything; what fails is in the log, and is tried again by the next start."""
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
