"""Results of one upload, in the order of its files."""

import asyncio
from collections.abc import Coroutine

from neurdicom.archive.ingest.commit import SenderOrder
from neurdicom.archive.ingest.result import IngestResult
from neurdicom.errors import NeurdicomError, TooLarge

#: Most files in one upload, since their results are held in memory until the answer.
MAX_FILES = 65_535

#: Most files of one upload that are being stored at a time.
AT_ONCE = 8


class UploadResults:
    """Results of one upload in the order of its files, some of them still to come.

    `order` keeps the files in order on their way into the catalog.
    """

    def __init__(self) -> None:
        self.order = SenderOrder()
        self._items: list[IngestResult | asyncio.Task[IngestResult]] = []
        self._free = asyncio.Semaphore(AT_ONCE)

    def __len__(self) -> int:
        return len(self._items)

    def reject(self, name: str, error: NeurdicomError) -> None:
        """Add the result of a refused file. Raises `TooLarge` for too many files."""
        self._count()
        self.note(name, error)

    def note(self, name: str, error: NeurdicomError) -> None:
        """Add the result of a last file that is refused, or the error that ended the upload."""
        self._items.append(IngestResult.rejected(name, error))

    async def take(self, storing: Coroutine[None, None, IngestResult]) -> None:
        """Store a file, and add its result."""
        self._items.append(await storing)

    async def add(self, storing: Coroutine[None, None, IngestResult]) -> None:
        """Add a file that is being stored; waits while too many are. Raises `TooLarge` for too many files."""
        try:
            self._count()
            await self._free.acquire()
        except BaseException:
            storing.close()
            raise
        task = asyncio.create_task(storing)
        task.add_done_callback(lambda _: self._free.release())
        self._items.append(task)

    async def all(self) -> list[IngestResult]:
        """Wait for all results."""
        return [await item if isinstance(item, asyncio.Task) else item for item in self._items]

    def _count(self) -> None:
        if len(self._items) >= MAX_FILES:
            raise TooLarge(f"the upload has more than {MAX_FILES} files; send them in several uploads")
