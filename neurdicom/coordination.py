"""Leases over the catalog's documents, periodic and background tasks, retries, and functions that run one at a time.

Owns no documents: each user of a lease names the kind of its documents. May import the catalog and what lies below it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from neurdicom.catalog.documents import Documents
from neurdicom.errors import NeurdicomError, Unavailable

log = logging.getLogger(__name__)

#: Seconds that a lease holds unless it is renewed.
LEASE_SECONDS: Final = 60.0

Document = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lease:
    """A server's hold on a document: the owner's name, and the end in seconds since the epoch."""

    owner: str | None
    until: float

    def is_free(self, owner: str, now: float) -> bool:
        """Tell whether a server may take the lease: it is free, has expired, or was that server's before."""
        return not self.owner or self.owner == owner or self.until < now


class Leases:
    """Leases on documents of one kind, as one server sees them.

    A lease consists of two members of a document. It is taken by a compare-and-swap, which only one of several servers
    wins, and expires unless it is renewed. Servers that share a catalog need clocks that agree within a few seconds.

    Parameters
    ----------
    documents : Documents
        Document store that holds the documents.
    kind : str
        Kind of the documents.
    owner : str
        Name of this server, the same after a restart: it may at once take a lease that it held when it died.
    seconds : float
        Duration of a lease.
    members : tuple of str
        Names of the two members: owner, and end in seconds since the epoch.
    nobody : str or None
        Value of the first member where nobody holds the lease.
    """

    def __init__(
        self,
        documents: Documents,
        kind: str,
        owner: str,
        *,
        seconds: float = LEASE_SECONDS,
        members: tuple[str, str] = ("owner", "until"),
        nobody: str | None = None,
    ) -> None:
        self._documents = documents
        self._kind = kind
        self._owner = owner
        self._seconds = seconds
        self._members = members
        self._nobody = nobody

    def of(self, document: Mapping[str, Any]) -> Lease:
        """Read the lease of a document."""
        owner, until = self._members
        return Lease(document[owner], document[until])

    def is_free(self, document: Mapping[str, Any]) -> bool:
        """Tell whether this server may take the lease of a document."""
        return self.of(document).is_free(self._owner, time.time())

    async def claim(self, key: str, document: Document) -> Document | None:
        """Take the lease of a document that was read before; None if it is held or the document has changed."""
        return await self._swap(key, document, self._held()) if self.is_free(document) else None

    async def take(self, key: str) -> Document | None:
        """Take a lease; None if another server holds it or there is no such document."""
        return await self._change(key, self.is_free, self._held)

    async def renew(self, key: str) -> Document | None:
        """Extend a lease; None if another server has taken it or the document is gone."""
        return await self._change(key, self._is_ours, self._held)

    async def release(self, key: str, **changes: Any) -> Document | None:
        """Release a lease and change other members in the same step; None if this server no longer holds it."""
        owner, until = self._members
        return await self._change(key, self._is_ours, lambda: {owner: self._nobody, until: 0.0, **changes})

    async def update(self, key: str, **changes: Any) -> Document | None:
        """Change members of a document, whoever holds its lease; None if there is no such document."""
        return await self._change(key, lambda _: True, lambda: changes)

    def _held(self) -> Document:
        owner, until = self._members
        return {owner: self._owner, until: time.time() + self._seconds}

    def _is_ours(self, document: Mapping[str, Any]) -> bool:
        return self.of(document).owner == self._owner

    async def _change(
        self, key: str, may: Callable[[Document], bool], changes: Callable[[], Mapping[str, Any]]
    ) -> Document | None:
        while (document := await self._documents.get(self._kind, key)) is not None and may(document):
            if (after := await self._swap(key, document, changes())) is not None:
                return after
        return None

    async def _swap(self, key: str, before: Document, changes: Mapping[str, Any]) -> Document | None:
        after = {**before, **changes}
        return after if await self._documents.swap(self._kind, key, before, after) else None


class Periodic:
    """A task that repeats its work until it is stopped; it logs errors and continues.

    Parameters
    ----------
    work : callable
        Coroutine function to repeat.
    seconds : float
        Pause between the end of one run and the start of the next.
    failure : str
        Beginning of the log line when the work fails.
    at_once : bool
        Start with the work instead of a pause.
    rest : float
        Shortest pause as a multiple of the time that the work took.
    """

    def __init__(
        self,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        failure: str,
        *,
        at_once: bool = False,
        rest: float = 0.0,
    ) -> None:
        self._work = work
        self._seconds = seconds
        self._failure = failure
        self._at_once = at_once
        self._rest = rest
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task, unless it is running."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    def cancel(self) -> None:
        """Cancel the work without waiting for its end. Idempotent."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """Cancel the work and wait until it has ended. Idempotent."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        pause = 0.0 if self._at_once else self._seconds
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self._work()
            except NeurdicomError as error:
                log.warning("%s: %s", self._failure, error)
            except Exception:  # a defect; the next run may succeed
                log.exception("%s", self._failure)
            pause = max(self._seconds, self._rest * (time.monotonic() - began))


class RetryQueue:
    """Queue of work that a disk or the catalog has refused: tried again until it succeeds, in the order of its arrival.

    What is queued was committed before, so that the next start does what is left at the end.

    Parameters
    ----------
    seconds : float
        Pause before the first further attempt; each pause is twice the one before, up to `longest`.
    longest : float
        Longest pause.
    """

    def __init__(self, seconds: float = 1.0, longest: float = 30.0) -> None:
        self._seconds = seconds
        self._longest = longest
        self._waiting: dict[Callable[[], Awaitable[None]], str] = {}
        self._changes = asyncio.Lock()
        self._background = BackgroundTasks("work could not be tried again; the next start does it")

    async def attempt(self, what: str, work: Callable[[], Awaitable[None]]) -> bool:
        """Do something now, or later if it is refused; return whether it is done.

        Parameters
        ----------
        what : str
            What is not done then, for the log.
        work : callable
            Coroutine function; it may be called repeatedly, also after it was cut short.
        """
        try:
            await work()
        except (OSError, Unavailable) as error:
            self.put(what, work, error)
            return False
        return True

    def put(self, what: str, work: Callable[[], Awaitable[None]], error: OSError | Unavailable) -> None:
        """Queue what was refused.

        Parameters
        ----------
        what : str
            What is not done, for the log.
        work : callable
            Coroutine function, as in `attempt`.
        error : OSError or Unavailable
            Why it was refused.
        """
        log.warning("%s, which is tried again: %s", what, error)
        if not self._waiting:
            self._background.start(self._try_again())
        self._waiting[work] = what

    async def catch_up(self) -> None:
        """Do everything that was refused before. Raises `OSError`, `Unavailable` where it is refused again."""
        async with self._changes:
            for work, what in list(self._waiting.items()):
                try:
                    await work()
                except (OSError, Unavailable):
                    raise
                except NeurdicomError as error:  # as of what was deleted meanwhile
                    log.warning("%s, which is not tried again: %s", what, error)
                except Exception:  # a defect
                    log.exception("%s, which is not tried again", what)
                self._waiting.pop(work, None)

    async def close(self) -> None:
        """Stop trying. Idempotent."""
        await self._background.close()

    async def _try_again(self) -> None:
        pause = self._seconds
        while self._waiting:
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._longest)
            with suppress(OSError, Unavailable):
                await self.catch_up()


class SerialThread:
    """Thread for functions that take long to compute: one at a time, so that the event loop waits for one alone."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a function when those before it have ended; one whose caller is cancelled before that is not begun.

        Parameters
        ----------
        work : callable
            The function.
        *arguments
            Its arguments.

        Returns
        -------
        T
            What it returns; what it raises is raised.
        """
        await self._free.acquire()
        running = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
        running.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(running)  # a thread can't be cancelled, and the next one waits for it


class BackgroundTasks:
    """Tasks of an object that no caller awaits; the references here keep them from being collected.

    Parameters
    ----------
    failure : str
        Beginning of the log line when a task fails.
    """

    def __init__(self, failure: str = "background work failed") -> None:
        self._failure = failure
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine as a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def complete(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine as a task and return its result; it runs to its end even if the caller is cancelled."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait until all tasks have ended, those that start meanwhile too; a calling task does not wait for itself."""
        while others := self._tasks - {asyncio.current_task()}:
            await asyncio.wait(others)

    async def close(self, grace: float = 0.0) -> None:
        """Wait `grace` seconds for the tasks, and cancel those that have not ended. Idempotent."""
        if grace:
            with suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self.drain()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self.drain()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, NeurdicomError):  # as where the disk is full; of a defect, the log has the traceback
            log.warning("%s: %s", self._failure, error)
        else:
            log.error("%s", self._failure, exc_info=error)
