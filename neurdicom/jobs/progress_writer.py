"""The writer of a running job's progress."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from neurdicom.jobs.events import EventLog
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job
from neurdicom.jobs.store import JobStore

Published = Callable[[Mapping[str, Any]], None]


class ProgressWriter:
    """Writer of a running job's progress: its log of items, the current chunk, and its record.

    Parameters
    ----------
    store : JobStore
        Stores jobs.
    job : Job
        The job.
    published : callable
        Called with the job's document whenever it was written.

    Attributes
    ----------
    log : EventLog
        Items in the order in which they finished.
    chunk : Chunk or None
        The current chunk.
    is_dirty : bool
        Whether there is anything to write.
    """

    def __init__(self, store: JobStore, job: Job, published: Published) -> None:
        self.log = EventLog(store, job.id)
        self.chunk: Chunk | None = None
        self.is_dirty = False
        self._job = job
        self._store = store
        self._published = published
        self._abandoned = False
        self._saving = asyncio.Lock()

    def abandon(self) -> None:
        """Stop writing progress: another server has taken the job over."""
        self._abandoned = True

    async def save(self) -> None:
        """Write the changes: first the log, then the items, from which the counts follow, then the counts."""
        async with self._saving:
            if not self.is_dirty or self._abandoned:
                return
            self.is_dirty = False
            # A snapshot of this moment: an item that is over in it must be in the log, whenever the process ends.
            items = None if self.chunk is None else self.chunk.to_document()
            record = self._job.to_document()
            try:
                await self.log.save()
                await self._store.save_progress(record, items)
            except BaseException:
                self.is_dirty = True
                raise
        self._published(record)

    async def save_record(self) -> None:
        """Write the record alone."""
        record = self._job.to_document()
        await self._store.save_progress(record, None)
        self._published(record)
