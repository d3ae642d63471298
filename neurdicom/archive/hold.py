"""Holds on deletions: while a backup has one, no file is deleted that the copied catalog may name.

A hold is a lease in the catalog's documents, since the backup is another process than the server. The backup takes it
before it copies the catalog, and the server looks for one after the deletion in the catalog has been committed: either
the copy does not name the file, or the server finds the hold.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Final, Self

from neurdicom.catalog.documents import Documents
from neurdicom.coordination import LEASE_SECONDS, BackgroundTasks, Leases, Periodic

#: Kind of the documents of holds.
KIND: Final = "deletion_hold"

#: Seconds between two looks at a hold that deletions wait for.
POLL_SECONDS = 2.0


async def are_deletions_held(documents: Documents) -> bool:
    """Tell whether a backup holds deletions; a hold of a killed backup ends with its lease."""
    now = time.time()
    return any(hold["until"] > now for hold in (await documents.query(KIND)).items)


class DeletionHold:
    """A hold on deletions for as long as the context lasts, renewed meanwhile.

    Parameters
    ----------
    documents : Documents
        Documents of the catalog, opened.
    seconds : float
        Duration of the lease, which is what a killed backup leaves.

    Attributes
    ----------
    was_lost : bool
        True if the lease ended before it was renewed: files may have been deleted since.
    """

    def __init__(self, documents: Documents, *, seconds: float = LEASE_SECONDS) -> None:
        self._documents = documents
        self._key = secrets.token_hex(8)
        self._seconds = seconds
        self._leases = Leases(documents, KIND, self._key, seconds=seconds)
        self._until = 0.0
        self._renewal = Periodic(self._renew, seconds / 4, "the hold on deletions could not be renewed")
        self.was_lost = False

    async def __aenter__(self) -> Self:
        now = time.time()
        ended = [hold["owner"] for hold in (await self._documents.query(KIND)).items if hold["until"] < now]
        await self._documents.delete(KIND, *ended)
        self._until = now + self._seconds
        await self._documents.add(KIND, self._key, {"owner": self._key, "until": self._until})
        self._renewal.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._renewal.stop()
        if time.time() > self._until:
            self.was_lost = True
        await self._documents.delete(KIND, self._key)

    async def _renew(self) -> None:
        renewed = await self._leases.renew(self._key)
        if renewed is None or self._until < time.time():
            self.was_lost = True
        if renewed is not None:
            self._until = renewed["until"]


class DelayedDeletion:
    """Deletion that waits in the background until a time has passed and no backup holds deletions.

    Parameters
    ----------
    documents : Documents
        Documents of the catalog, opened.
    delete : callable
        Deletes all that waits.
    failure : str
        Beginning of the log line when it fails.
    """

    def __init__(self, documents: Documents, delete: Callable[[], Awaitable[None]], failure: str) -> None:
        self._documents = documents
        self._delete = delete
        self._is_waiting = False
        self._background = BackgroundTasks(failure)

    def start(self, seconds: float = 0.0) -> None:
        """Delete after at least some seconds, unless a deletion is waiting already."""
        if not self._is_waiting:
            self._is_waiting = True
            self._background.start(self._run(seconds))

    async def close(self) -> None:
        """Stop waiting. Idempotent."""
        await self._background.close()

    async def _run(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            while await are_deletions_held(self._documents):  # noqa: ASYNC110 - another process ends it
                await asyncio.sleep(POLL_SECONDS)
        finally:
            self._is_waiting = False
        await self._delete()
