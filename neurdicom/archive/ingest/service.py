"""The ingest service, the one way into the archive for every protocol: from bytes to a durable, findable instance.

An arrival is written to a spool file and hashed as it comes, parsed up to Pixel Data, and moved into the blob store
durably, by one thread; then it enters the catalog together with all that wait at the time, in one transaction. Only
then is it acknowledged.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.ingest.commit import CommitQueue, SenderOrder, SeriesActivity
from neurdicom.archive.ingest.recovery import Recovery, new_instance
from neurdicom.archive.ingest.result import IngestResult, refusal_error
from neurdicom.archive.ingest.strictness import LENIENT, Strictness, completed
from neurdicom.blobs.base import BlobStore, Spool
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import KEEP_ALL, StoreOutcome, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.coordination import BackgroundTasks
from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.errors import NeurdicomError, Unavailable, disk_failure

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

log = logging.getLogger(__name__)

#: Bytes of one arrival that are held in memory before they go to its spool file; a usual CT or MR image fits, and then
#: needs a thread only once.
HELD_BYTES = 1024 * 1024

#: Bytes of all arrivals together that are held in memory; beyond it, each goes to its spool file at once.
HELD_BYTES_IN_ALL = 32 * 1024 * 1024

_THREADS = 8


class ArrivalObserver(Protocol):
    """Observer of an arrival before it is stored; its methods run in a thread."""

    def on_header(self, header: Header) -> None:
        """Inspect the header; an exception refuses the file."""

    def on_unreadable(self, head: bytes) -> None:
        """Inspect the beginning of a file whose header can't be parsed."""


class IngestService:
    """Service that stores instances durably.

    Parameters
    ----------
    catalog : Catalog
        Open.
    blobs : BlobStore
        Open.
    activity : SeriesActivity, optional
        Observer of growing series.
    replaced : callable, optional
        Called with the outcome of an arrival that replaced other bytes, before it is acknowledged.
    policy : StorePolicy
        What is done with arrivals that meet others.
    garbage : GarbageCollector, optional
        Removes the files of replaced instances; made if none is given.
    strictness : Strictness
        What is refused of files that break the standard.

    Attributes
    ----------
    garbage : GarbageCollector
        Deletions use it, too.
    held : int
        Bytes of all arrivals together that are held in memory.
    """

    def __init__(
        self,
        catalog: Catalog,
        blobs: BlobStore,
        activity: SeriesActivity | None = None,
        replaced: Callable[[StoreOutcome], Awaitable[None]] | None = None,
        policy: StorePolicy = KEEP_ALL,
        garbage: GarbageCollector | None = None,
        strictness: Strictness = LENIENT,
    ) -> None:
        self._replaced = replaced
        self._catalog = catalog
        self._blobs = blobs
        self._threads = ThreadPoolExecutor(_THREADS, "ingest")
        self.garbage = GarbageCollector(catalog, blobs) if garbage is None else garbage
        self._queue = CommitQueue(catalog, self.garbage, activity, policy)
        self._recovery = Recovery(catalog, blobs, self.garbage, policy)
        self._background = BackgroundTasks("work after an arrival failed")
        self.strictness = strictness
        self.held = 0

    async def recover(self) -> None:
        """Finish the work of an earlier process that crashed; call it once, before the first arrival."""
        await self._recovery.run()

    async def close(self) -> None:
        """Wait for all arrivals that are being committed, and for the work given to `later`. Idempotent."""
        await self._background.drain()
        await self._queue.drain()
        await self.garbage.close()
        await asyncio.to_thread(self._threads.shutdown)

    def receive(
        self, name: str, order: SenderOrder | None = None, observer: ArrivalObserver | None = None
    ) -> "Arrival":
        """Begin to receive a file whose bytes come in pieces.

        Parameters
        ----------
        name : str
            Name of the file in its result.
        order : SenderOrder, optional
            Files with the same one enter the catalog in order.
        observer : ArrivalObserver, optional
            Inspects the header.
        """
        return Arrival(self, name, order or SenderOrder(), observer)

    async def store(
        self, spool: Spool, name: str, order: SenderOrder | None = None, observer: ArrivalObserver | None = None
    ) -> IngestResult:
        """Store a file that lies complete in a spool; the spool is used up, whatever happens.

        Parameters
        ----------
        spool : Spool
            The file.
        name : str
            Its name in the result.
        order : SenderOrder, optional
            Files with the same one enter the catalog in order.
        observer : ArrivalObserver, optional
            Inspects the header.

        Returns
        -------
        IngestResult
            Also for a file that can't be stored, with the reason.
        """
        return await self.finish(name, order or SenderOrder(), spool, (), observer)

    async def finish(
        self,
        name: str,
        order: SenderOrder,
        spool: Spool | None,
        rest: tuple[bytes | memoryview, ...],
        observer: ArrivalObserver | None = None,
    ) -> IngestResult:
        """Store a file whose last pieces are still in memory.

        Parameters
        ----------
        name : str
            Its name in the result.
        order : SenderOrder
            Files with the same one enter the catalog in order.
        spool : Spool or None
            The first pieces; None: all are in memory.
        rest : tuple of bytes-like
            The last pieces.
        observer : ArrivalObserver, optional
            Inspects the header.
        """
        return await self._enter(name, order, self.run(self._land, spool, rest, observer))

    async def adopt(self, name: str, file: Path, size: int, sha256: str, header: Header) -> IngestResult:
        """Store a file that another process has written to the spool folder, flushed and parsed; it is used up.

        Parameters
        ----------
        name : str
            Its name in the result.
        file : Path
            The file.
        size : int
            Its size in bytes.
        sha256 : str
            SHA-256 of its bytes, in hexadecimal.
        header : Header
            The parsed header.
        """
        return await self._enter(name, SenderOrder(), self.run(self._adopt, file, size, sha256, header))

    async def _enter(self, name: str, order: SenderOrder, landing: Awaitable[NewInstance]) -> IngestResult:
        """Store a file to the end even if the caller is cancelled, since it may be in place by then."""
        return await self._background.complete(self._enter_whole(name, order, landing))

    async def _enter_whole(self, name: str, order: SenderOrder, landing: Awaitable[NewInstance]) -> IngestResult:
        try:
            return await self._result(name, *await self._queue.put(landing, order))
        except NeurdicomError as error:
            return IngestResult.rejected(name, error)
        except Exception:  # a fault of ours with one file must not fail the others of an upload
            log.exception("the file %s could not be stored and is refused: internal error", name)
            return IngestResult.rejected(name, NeurdicomError("internal error: the file could not be stored"))

    async def _result(self, name: str, outcome: StoreOutcome, is_healed: bool) -> IngestResult:
        """Make the result of a file, and tell whom it concerns."""
        if outcome.status == "conflict":
            assert outcome.refusal is not None
            error = await refusal_error(self._catalog, outcome.refusal)
            log.warning("the file %s is refused: %s", name, error)
            return IngestResult.rejected(name, error, outcome.refusal)
        assert outcome.place is not None
        instance = outcome.place.instance
        if outcome.status == "kept":
            log.info("the file %s is dropped: the instance %s stays as it is (setting same_instance)", name, instance)
        elif outcome.status == "replaced" and self._replaced is not None:
            await self._replaced(outcome)
        return IngestResult(name, outcome.status, outcome.place, previous=outcome.previous, is_healed=is_healed)

    def _land(
        self, spool: Spool | None, rest: tuple[bytes | memoryview, ...], observer: ArrivalObserver | None
    ) -> NewInstance:
        """Write a file, parse it and move it into the blob store, in a thread. The spool is used up in any case."""
        spool = self.append(spool, rest)
        try:
            if not self.strictness.part10:
                spool = completed(spool, self._blobs.new_spool)
            header = _read(spool, observer)
            self.strictness.check(header)
            return new_instance(header, self._blobs.commit(spool), datetime.now(UTC))
        except OSError as error:
            raise disk_error(error) from error
        finally:
            spool.discard()

    def _adopt(self, file: Path, size: int, sha256: str, header: Header) -> NewInstance:
        """Move a parsed file into the blob store, in a thread."""
        try:
            return new_instance(header, self._blobs.adopt(file, size, sha256), datetime.now(UTC))
        except OSError as error:
            with suppress(OSError):  # it stays until the next start, then
                file.unlink(missing_ok=True)
            raise disk_error(error) from error

    def append(self, spool: Spool | None, pieces: tuple[bytes | memoryview, ...]) -> Spool:
        """Write pieces to a spool, made when there is none yet; blocks. Raises `Unavailable`, and drops the spool."""
        try:
            if spool is None:
                spool = self._blobs.new_spool()
            # Joining costs a copy, and saves releasing the interpreter lock for each piece.
            spool.write(b"".join(pieces) if len(pieces) > 1 else pieces[0] if pieces else b"")
        except OSError as error:
            if spool is not None:
                spool.discard()
            raise disk_error(error) from error
        return spool

    def later(self, work: Coroutine[None, None, None]) -> None:
        """Run work in the background; `close` waits for it."""
        self._background.start(work)

    async def run(
        self, function: Callable[Arguments, Returned], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Returned:
        """Run a blocking function in one of the threads of ingest, to its end even if the caller is cancelled.

        A spool that it returns is the caller's; it is discarded where the caller was cancelled.

        Parameters
        ----------
        function : callable
            The function.
        *args, **kwargs
            Its arguments; keyword arguments are not supported.
        """
        assert not kwargs
        running = asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._background.start(self._discard_returned(running))
            raise

    async def _discard_returned(self, running: Awaitable[object]) -> None:
        """Discard the spool that an abandoned call returns, and ignore its exception."""
        with suppress(NeurdicomError):
            if isinstance(returned := await running, Spool):
                await self.run(returned.discard)


class Inflow:
    """File whose bytes come in pieces, on their way to a spool; its methods are called one after another.

    Every inflow ends in `complete` or in `abort`.
    """

    def __init__(self, ingest: IngestService) -> None:
        self._ingest = ingest
        self._spool: Spool | None = None
        self._held: list[bytes | memoryview] = []
        self._held_bytes = 0

    async def write(self, data: bytes | memoryview) -> None:
        """Append a piece, in memory or on disk. Raises `Unavailable`, after discarding the file."""
        self._held.append(data)
        self._held_bytes += len(data)
        self._ingest.held += len(data)
        if self._held_bytes > HELD_BYTES or self._ingest.held > HELD_BYTES_IN_ALL:
            await self._spill()

    async def _spill(self) -> Spool:
        spool, rest = self._take()
        self._spool = await self._ingest.run(self._ingest.append, spool, rest)
        return self._spool

    def _take(self) -> tuple[Spool | None, tuple[bytes | memoryview, ...]]:
        spool, self._spool = self._spool, None
        pieces = tuple(self._held)
        self._ingest.held -= self._held_bytes
        self._held.clear()
        self._held_bytes = 0
        return spool, pieces

    async def complete(self) -> Spool:
        """Return the whole file as a spool, which the caller owns from now on. Raises `Unavailable`."""
        spool = await self._spill()
        self._spool = None
        return spool

    async def abort(self) -> None:
        """Discard the file. Idempotent."""
        spool, _ = self._take()
        if spool is not None:
            await self._ingest.run(spool.discard)


class Arrival(Inflow):
    """Instance that is arriving. Every arrival ends in `finish` or in `abort`."""

    def __init__(
        self, ingest: IngestService, name: str, order: SenderOrder, observer: ArrivalObserver | None = None
    ) -> None:
        super().__init__(ingest)
        self.name = name
        self._order = order
        self._observer = observer

    async def finish(self) -> IngestResult:
        """Store the instance, now that all its bytes have arrived."""
        spool, rest = self._take()
        return await self._ingest.finish(self.name, self._order, spool, rest, self._observer)


def _read(spool: Spool, observer: ArrivalObserver | None) -> Header:
    try:
        header = read_header(spool.descriptor, spool.head, spool.size)
    except NeurdicomError:
        if observer is not None:
            observer.on_unreadable(spool.head)
        raise
    if observer is not None:
        observer.on_header(header)
    return header


def disk_error(error: OSError) -> Unavailable:
    """Log that the data folder can't store a file, and make the error."""
    log.error("an arriving file could not be written to the data folder and is refused: %s", error)
    return disk_failure(error, "the server can't store the file")
