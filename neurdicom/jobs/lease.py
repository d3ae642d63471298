"""Leases of jobs: one server at a time runs a job, also where several share a catalog.

A job that is not over has a small document with a lease; a server holds it while it runs the job.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from neurdicom.catalog.documents import Documents
from neurdicom.coordination import LEASE_SECONDS, Leases
from neurdicom.errors import Conflict

_KIND = "job_lease"


@dataclass(frozen=True, slots=True)
class JobLease:
    """Document of a job that is not over.

    Attributes
    ----------
    job : str
        Id of the job.
    user : str
        Id of the user whose job it is.
    owner : str or None
        The server that runs it; None while it waits.
    until, not_before : float
        Time at which the owner's lease ends, and earliest time at which the job may run; seconds since the epoch.
    cancel : bool
        Whether the job is to end.
    kind : str
        Kind of the job; empty in leases that earlier versions made.
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
        """Read a document of the catalog."""
        return cls(**document)

    def to_document(self) -> dict[str, Any]:
        """Return the lease as a document of the catalog."""
        return asdict(self)


class JobLeases:
    """Leases of all jobs that are not over, as one server sees them.

    Parameters
    ----------
    documents : Documents
        Stores the leases.
    owner : str
        The server's name, the same after a restart, so that it takes back at once what it held when it died.
    seconds : float
        Duration of a lease; it is renewed several times within.
    """

    def __init__(self, documents: Documents, owner: str, *, seconds: float = LEASE_SECONDS) -> None:
        self._documents = documents
        self._leases = Leases(documents, _KIND, owner, seconds=seconds)

    async def add(self, job: str, user: str, kind: str, *, not_before: float = 0.0) -> JobLease:
        """Add a lease, so that any server may run the job.

        Parameters
        ----------
        job : str
            Id of the job.
        user : str
            Id of the user whose job it is.
        kind : str
            Kind of the job.
        not_before : float
            Earliest time to run it, in seconds since the epoch.

        Raises
        ------
        Conflict
            The job has a lease already.
        """
        lease = JobLease(job, user, not_before=not_before, kind=kind)
        if not await self._documents.add(_KIND, job, lease.to_document()):
            raise Conflict("the job is just being started or ended; try again in a moment")
        return lease

    async def free(self) -> list[JobLease]:
        """List the leases that this server may take, in the order of the jobs."""
        documents = (await self._documents.query(_KIND)).items
        return [JobLease.from_document(document) for document in documents if self._leases.is_free(document)]

    async def count_of(self, user: str) -> int:
        """Count a user's jobs that are not over."""
        return sum(document["user"] == user for document in (await self._documents.query(_KIND)).items)

    async def take(self, job: str) -> JobLease | None:
        """Take the lease of a job; None if another server holds it, or if the job is over."""
        return _lease(await self._leases.take(job))

    async def renew(self, job: str) -> JobLease | None:
        """Renew the lease of a job; None if another server has taken it. The lease may say that the job is to end."""
        return _lease(await self._leases.renew(job))

    async def release(self, job: str, *, not_before: float = 0.0) -> None:
        """Release the lease of a job that is not over."""
        await self._leases.release(job, not_before=not_before)

    async def admit(self, job: str) -> JobLease | None:
        """Allow a job that waits for its time to run now; None if it is over."""
        return _lease(await self._leases.update(job, not_before=0.0))

    async def cancel(self, job: str) -> JobLease | None:
        """Request the end of a job, wherever it runs; None if it is over."""
        return _lease(await self._leases.update(job, cancel=True, not_before=0.0))

    async def remove(self, job: str) -> None:
        """Delete the lease of a job that is over."""
        await self._documents.delete(_KIND, job)


def _lease(document: Mapping[str, Any] | None) -> JobLease | None:
    return None if document is None else JobLease.from_document(document)
