"""Holds on deletions: while a backup has one, no file is deleted that the copied catalog may name.

A hold is a lease in the catalog's documents, since the backup is another process than the server. The backup takes it
before it copies the catalog, and the server looks for one after the deletion in the catalog has been committed: either
the copy does not name the file, or the server finds the hold.
"""

import secrets
import time
from types import TracebackType
from typing import Final, Self

from neurdicom.catalog.documents import Documents
from neurdicom.coordination import LEASE_SECONDS, Leases, Periodic

#: Kind of the documents of holds.
KIND: Final = "deletion_hold"


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
