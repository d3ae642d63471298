"""Which server runs a job: one at a time, also where several share a catalog.

A job that is not over has a lease, a small document. A server takes it by a swap, which only one of several can win,
and renews it while the job runs; when it stops doing so, another one may take it. Servers that share a catalog need
clocks that agree within a few seconds.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from neurdicom.catalog.base import Catalog
from neurdicom.errors import Conflict

_KIND = "job_lease"

#: Seconds that a lease holds; it is renewed several times within.
LEASE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Who runs a job.

    Attributes
    ----------
    job : str
    user : str
        Id of the user whose job it is.
    owner : str or None
        The server that runs it; None while it waits.
    until, not_before : float
        When the owner's hold ends, and when the job may be run at all; seconds since the epoch.
    cancel : bool
        The job is to end.
    kind : str
        That of the job; empty in leases that earlier versions made.
    """

    job: str
    user: str
    owner: str | None = None
    until: float = 0.0
    not_before: float = 0.0
    cancel: bool = False
    kind: str = ""

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read a lease's document."""
        return cls(**document)

    def as_document(self) -> dict[str, Any]:
        """A copy of it as JSON, the same as the document that it was read from."""
        document = asdict(self)
        if not self.kind:
            del document["kind"]
        return document

    def is_free(self, owner: str) -> bool:
        """Whether this server may take it: nobody holds it, or an earlier process of this server does."""
        return self.owner in (None, owner) or self.until < time.time()


class Leases:
    """The leases of all jobs that are not over, as one server sees them.

    Parameters
    ----------
    catalog : Catalog
    owner : str
        The server's name, the same after a restart: what it held when it died it takes back at once.
    """

    def __init__(self, catalog: Catalog, owner: str) -> None:
        self._catalog = catalog
        self._owner = owner

    async def add(self, job: str, user: str, kind: str, *, not_before: float = 0.0) -> Lease:
        """Let a job be run by whichever server takes it. Raises `Conflict` while it has a lease already."""
        lease = Lease(job, user, not_before=not_before, kind=kind)
        if not await self._catalog.add_document(_KIND, job, lease.as_document()):
            raise Conflict("the job is about to run, or about to end; ask again in a moment")
        return lease

    async def all(self) -> list[Lease]:
        """Every lease, in the order of the jobs."""
        return [Lease.from_document(document) for document in await self._catalog.find_documents(_KIND)]

    async def find(self, job: str) -> Lease | None:
        """The lease of a job, None if it is over."""
        document = await self._catalog.get_document(_KIND, job)
        return None if document is None else Lease.from_document(document)

    async def take(self, job: str) -> Lease | None:
        """Take a job; None if another server holds it, or if it is over."""
        while (lease := await self.find(job)) is not None and lease.is_free(self._owner):
            taken = replace(lease, owner=self._owner, until=time.time() + LEASE_SECONDS)
            if await self._swap(lease, taken):
                return taken
        return None

    async def renew(self, job: str) -> Lease | None:
        """Hold a job on; None if another server has taken it. The answer may say that it is to end."""
        while (lease := await self.find(job)) is not None and lease.owner == self._owner:
            renewed = replace(lease, until=time.time() + LEASE_SECONDS)
            if await self._swap(lease, renewed):
                return renewed
        return None

    async def release(self, job: str, *, not_before: float = 0.0) -> None:
        """Give up a job that is not over."""
        while (lease := await self.find(job)) is not None and lease.owner == self._owner:
            if await self._swap(lease, replace(lease, owner=None, until=0.0, not_before=not_before)):
                return

    async def admit(self, job: str) -> Lease | None:
        """Let a job that is not to be run yet be run now; None if it is over."""
        while (lease := await self.find(job)) is not None:
            admitted = replace(lease, not_before=0.0)
            if await self._swap(lease, admitted):
                return admitted
        return None

    async def cancel(self, job: str) -> Lease | None:
        """Ask whoever runs the job, or will, to end it; None if it is over."""
        while (lease := await self.find(job)) is not None:
            asked = replace(lease, cancel=True, not_before=0.0)
            if await self._swap(lease, asked):
                return asked
        return None

    async def remove(self, job: str) -> None:
        """The job is over."""
        await self._catalog.delete_document(_KIND, job)

    async def _swap(self, before: Lease, after: Lease) -> bool:
        return await self._catalog.swap_document(_KIND, before.job, before.as_document(), after.as_document())
