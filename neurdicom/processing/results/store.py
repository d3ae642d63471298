"""Records in the catalog, and bodies in files."""

import asyncio
import os
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.terms import Having, Termed
from neurdicom.errors import NotFound
from neurdicom.processing.results.record import Body, Record

#: Kind of the catalog's documents.
DOCUMENTS = "result"

#: Bytes of records that are held in memory, roughly.
_HELD = 16 * 1024 * 1024
_PAGE = 500
_PIECE = 1024 * 1024

Piece = bytes | memoryview


class ResultStore:
    """What is kept of results.

    Records that were read are held in memory, where no other server changes them. They are not to be changed: a new one
    takes an old one's place.

    Parameters
    ----------
    catalog : Catalog
    folder : Path
        Of the bodies, and of nothing else.
    """

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self._catalog = catalog
        self._files = LocalBlobStore(folder)
        self._held: OrderedDict[str, tuple[Record, int]] = OrderedDict()
        self._held_bytes = 0
        self._writes = 0

    async def open(self) -> None:
        """Make the folder; what was being written is gone. Raises `Unavailable`."""
        await self._files.open()

    async def close(self) -> None:
        """Wait for what is under way. Idempotent."""
        await self._files.close()

    # -- records ---------------------------------------------------------------------------------------------

    async def find(self, result: str) -> Record | None:
        """A record by id."""
        held = self._held.get(result)
        if held is not None:
            self._held.move_to_end(result)
            return held[0]
        writes = self._writes
        document = await self._catalog.get_document(DOCUMENTS, result)
        if document is None:
            return None
        record = Record.from_document(document)
        if writes == self._writes:
            self._hold(record)
        return record

    async def put(self, records: Sequence[Record], *, renewed: Sequence[str] = ()) -> None:
        """Store records durably, in place of earlier ones; those that are renewed count as the latest."""
        self._writes += 1
        try:
            if renewed:
                await self._catalog.delete_documents(DOCUMENTS, renewed)
            await self._catalog.put_documents(
                DOCUMENTS, [Termed(record.id, record.as_document(), record.terms()) for record in records]
            )
        except BaseException:
            for record in records:
                self._let_go(record.id)
            raise
        self._writes += 1
        for record in records:
            self._hold(record)

    async def delete(self, results: Sequence[str]) -> None:
        """Delete records, and leave their bodies to the caller."""
        self._writes += 1
        for result in results:
            self._let_go(result)
        await self._catalog.delete_documents(DOCUMENTS, results)
        self._writes += 1

    async def search(
        self, conditions: Sequence[Having], *, limit: int, offset: int = 0, descending: bool = False
    ) -> tuple[list[Record], int]:
        """A page of the records that meet all conditions, in the order of their making, and how many there are."""
        page = await self._catalog.search_documents(
            DOCUMENTS, conditions, limit=limit, offset=offset, descending=descending
        )
        return [Record.from_document(document) for document in page.items], page.total

    async def all(self) -> AsyncIterator[list[Record]]:
        """All records, some at a time; those that are read may be changed meanwhile."""
        last = ""
        while documents := await self._catalog.documents_after(DOCUMENTS, last, limit=_PAGE):
            last = documents[-1]["id"]
            yield [Record.from_document(document) for document in documents]

    def _hold(self, record: Record) -> None:
        if not self._catalog.is_exclusive:
            return
        self._let_go(record.id)
        size = 2000 + 150 * len(record.sources) + 2 * record.value_size + 100 * len(record.values)
        self._held[record.id] = record, size
        self._held_bytes += size
        while self._held_bytes > _HELD:
            _, (_, gone) = self._held.popitem(last=False)
            self._held_bytes -= gone

    def _let_go(self, result: str) -> None:
        held = self._held.pop(result, None)
        if held is not None:
            self._held_bytes -= held[1]

    # -- bodies ----------------------------------------------------------------------------------------------

    def write(self, body: Piece) -> str:
        """Write a body durably; its key. Blocks. Raises `OSError`, then there is nothing."""
        with self._files.new_spool() as spool:
            spool.write(body)
            return self._files.commit(spool).key

    async def path(self, body: Body) -> Path | None:
        """The file of a body; None if it is not there, or not whole."""
        if body.key is None:
            return None
        with suppress(NotFound):
            path = await self._files.path(body.key)
            if await asyncio.to_thread(_touch, path) == body.size:
                return path
        return None

    async def read(self, body: Body) -> bytes | None:
        """A body that is in a file; None if it is not there, or not whole."""
        if body.key is None:
            return None
        with suppress(NotFound):
            path = await self._files.path(body.key)
            return await asyncio.to_thread(_read, path, body.size)
        return None

    async def stream(self, path: Path, start: int, length: int) -> AsyncIterator[bytes]:
        """A part of a file that `path` gave, in pieces of bounded size."""
        with await asyncio.to_thread(path.open, "rb", 0) as file:
            while length > 0:
                piece = await asyncio.to_thread(os.pread, file.fileno(), min(_PIECE, length), start)
                if not piece:
                    return
                yield piece
                start += len(piece)
                length -= len(piece)

    async def sizes(self, keys: Sequence[str]) -> dict[str, int]:
        """Bytes of the bodies of these keys that are there."""
        paths = []
        for key in keys:
            with suppress(NotFound):
                paths.append((key, await self._files.path(key)))
        return {key: size for _, key, size in await asyncio.to_thread(_by_use, paths)}

    async def delete_bodies(self, keys: Sequence[str]) -> None:
        """Delete bodies, durably; unknown ones are ignored."""
        if keys:
            await self._files.delete(keys)

    async def bodies(self) -> list[tuple[float, str, int]]:
        """All that are there, those that were used last at the end: when, key and size."""
        keys = [(ref.key, await self._files.path(ref.key)) async for ref in self._files.walk()]
        return await asyncio.to_thread(_by_use, keys)


def _touch(path: Path) -> int:
    """Note that a file was used, in its time of modification; its size, -1 if it is gone."""
    try:
        os.utime(path)
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def _read(path: Path, size: int) -> bytes | None:
    try:
        data = path.read_bytes() if path.stat().st_size == size else None
        os.utime(path)
    except FileNotFoundError:
        return None
    return data if data is not None and len(data) == size else None


def _by_use(files: list[tuple[str, Path]]) -> list[tuple[float, str, int]]:
    found = []
    for key, path in files:
        with suppress(FileNotFoundError):
            status = path.stat()
            found.append((status.st_mtime, key, status.st_size))
    return sorted(found)
