"""Group commit: arrivals that wait at the same time share one flush and one transaction."""

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field

from neurdicom.blobs.base import BlobRef, BlobStore, Spool
from neurdicom.catalog.base import Catalog, NewInstance, Outcome
from neurdicom.dicom.header import Header
from neurdicom.errors import NeurdicomError, Unavailable

log = logging.getLogger(__name__)

#: Arrivals in one group; more would make the first of them wait for nothing.
GROUP = 128

#: Seconds after which a transaction of unknown outcome has ended in one way or the other.
UNKNOWN_SECONDS = 120.0


@dataclass(slots=True)
class _Waiting:
    spool: Spool
    header: Header
    received: str
    outcome: "asyncio.Future[Outcome]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def new_instance(self, ref: BlobRef) -> NewInstance:
        patient, study, series, instance = self.header.ids
        return NewInstance(
            patient,
            study,
            series,
            instance,
            self.header.attributes,
            self.header.json,
            ref,
            self.received,
            self.header.layout.as_dict(),
        )

    def settle(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # who waited may have gone
            self.outcome.set_result(outcome)

    def fail(self, error: BaseException) -> None:
        if not self.outcome.done():
            self.outcome.set_exception(error)
            self.outcome.exception()  # nobody may be waiting any more


class CommitQueue:
    """Puts arrivals into the blob store and the catalog, in groups and in order.

    While the catalog works on a group, the blob store works on the next.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._waiting: list[_Waiting] = []
        self._runner: asyncio.Task[None] | None = None
        self._entering: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._unknown: dict[str, float] = {}

    async def put(self, spool: Spool, header: Header, received: str) -> Outcome:
        """Store one arrival; the spool is used up. Cancelling the caller does not take it back.

        Raises
        ------
        Unavailable
            The disk or the catalog failed; the arrival is not stored.
        NeurdicomError
            The catalog refused this arrival.
        """
        waiting = _Waiting(spool, header, received)
        self._waiting.append(waiting)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return await waiting.outcome

    async def drain(self) -> None:
        """Wait until all is done."""
        while tasks := [task for task in (self._runner, self._entering, *self._background) if task is not None]:
            await asyncio.wait(tasks)
            self._entering = None

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:GROUP], self._waiting[GROUP:]
                refs = await self._keep(group)
                if self._entering is not None:
                    await asyncio.wait([self._entering])
                self._entering = asyncio.create_task(self._enter(group, refs)) if refs else None
        finally:
            self._runner = None

    async def _keep(self, group: list[_Waiting]) -> list[BlobRef]:
        """Move a group into the blob store; empty when that failed."""
        try:
            return await self._blobs.commit([waiting.spool for waiting in group])
        except Exception as error:
            log.exception("a group of %d files could not be moved into the blob store", len(group))
            failure = Unavailable(f"the server can't keep the file: {getattr(error, 'strerror', None) or error}")
            for waiting in group:
                await asyncio.to_thread(waiting.spool.discard)
                waiting.fail(failure)
            return []

    async def _enter(self, group: list[_Waiting], refs: Sequence[BlobRef]) -> None:
        """Enter a group into the catalog, and acknowledge it."""
        arrivals = [waiting.new_instance(ref) for waiting, ref in zip(group, refs, strict=True)]
        try:
            outcomes = await self._catalog.store(arrivals)
        except Exception as error:  # whatever it is, those who wait must learn of it
            await self._after_failure(group, arrivals, error)
            return
        await self._acknowledge(group, outcomes)

    async def _acknowledge(self, group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        unused = [outcome.unused for outcome in outcomes if outcome.unused is not None]
        if unused:
            await self._delete(unused)
        for waiting, outcome in zip(group, outcomes, strict=True):
            waiting.settle(outcome)
        if self._unknown:
            self._later(self._settle_unknown())

    async def _delete(self, keys: list[str]) -> None:
        """Delete blobs that the catalog lists as garbage; what fails stays listed, for the next start."""
        try:
            await self._blobs.delete(keys)
        except OSError as error:
            log.warning("%d replaced files stay until the next start: %s", len(keys), error)
            return
        self._later(self._catalog.forget_garbage(keys))

    def _later(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(_logged(work))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # -- when the catalog fails ------------------------------------------------------------------------------

    async def _after_failure(self, group: list[_Waiting], arrivals: list[NewInstance], error: Exception) -> None:
        """Find who is to blame: the backend, or one arrival of the group.

        Nothing is tried twice before the catalog has said that the first time left nothing, since a second entry
        of the same blob would pass for a duplicate of itself.
        """
        log.error("the catalog did not take a group of %d: %r", len(group), error)
        if isinstance(error, Unavailable):
            self._give_up(group, arrivals, error)
            return
        try:
            known = await self._catalog.known_blobs([arrival.blob.key for arrival in arrivals])
        except NeurdicomError as second:
            self._give_up(group, arrivals, second)
            return
        for waiting, arrival in zip(group, arrivals, strict=True):
            if arrival.blob.key in known:
                waiting.settle(Outcome("stored"))
            elif len(group) == 1:
                await self._discard(arrival.blob.key)
                waiting.fail(error)
            else:
                await self._enter([waiting], [arrival.blob])

    def _give_up(self, group: list[_Waiting], arrivals: list[NewInstance], error: Exception) -> None:
        now = time.monotonic()
        self._unknown |= {arrival.blob.key: now for arrival in arrivals}
        failure = error if isinstance(error, NeurdicomError) else Unavailable(f"the catalog failed: {error}")
        for waiting in group:
            waiting.fail(failure)

    async def _settle_unknown(self) -> None:
        """Delete the files of old transactions that, as is known by now, did not happen."""
        now = time.monotonic()
        due = [key for key, since in self._unknown.items() if now - since > UNKNOWN_SECONDS]
        known = await self._catalog.known_blobs(due) if due else set()
        for key in due:
            if key not in known:
                await self._discard(key)
            self._unknown.pop(key, None)

    async def _discard(self, key: str) -> None:
        try:
            await self._blobs.delete([key])
        except OSError as error:
            log.warning("the file %s stays though nothing refers to it: %s", key, error)


async def _logged(work: Coroutine[None, None, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("work after a commit failed; the next start does it")
