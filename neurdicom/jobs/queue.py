"""The queue of jobs: new ones are recorded in the catalog, and the service of this server pulls them from here.

It knows no runner, so what submits jobs needs none of the parts that run them.
"""

import asyncio
import logging
import time
from typing import Any, Final

from neurdicom.catalog.documents import Documents
from neurdicom.errors import Conflict
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, new_id, now
from neurdicom.jobs.lease import JobLease, JobLeases
from neurdicom.jobs.states import JobState
from neurdicom.jobs.store import JobStore
from neurdicom.security.access import Principal

log = logging.getLogger(__name__)

#: Most jobs of one user that are not over.
MAX_OPEN: Final = 1000


class JobQueue:
    """Queue of the jobs of all servers on a catalog.

    Parameters
    ----------
    documents : Documents
        Stores the jobs.
    owner : str
        Name of this server, the same after a restart.

    Attributes
    ----------
    store : JobStore
        Stores the jobs and their items.
    leases : JobLeases
        Leases of all jobs that are not over.
    """

    def __init__(self, documents: Documents, owner: str) -> None:
        self.store = JobStore(documents)
        self.leases = JobLeases(documents, owner)
        self._announced: asyncio.Queue[JobLease] = asyncio.Queue()

    async def submit(
        self,
        kind: str,
        request: dict[str, Any],
        *,
        by: Principal,
        keeps_items: bool = False,
        total: int | None = None,
        subject: str = "",
        item: Any = None,
        delay: float = 0.0,
    ) -> Job:
        """Make a job and queue it.

        Parameters
        ----------
        kind : str
            Kind, which selects the runner.
        request : dict
            Request to the runner; small, since it is rewritten with the progress.
        by : Principal
            The user whose job it is.
        keeps_items : bool
            Whether the items stay when the job is over; see `Runner.keeps_items`.
        total : int, optional
            Number of instances, where known.
        subject : str
            Key by which `find_open` is to find it.
        item : JSON, optional
            Its only item, where there is nothing to expand.
        delay : float
            Least seconds until it runs.

        Raises
        ------
        Conflict
            The user has too many jobs already.
        """
        await self.check_open_jobs(by)
        job = Job(id=new_id(), kind=kind, user=by.email, user_id=by.id, request=request, created=now(), total=total)
        job.subject, job.keeps_items = subject, keeps_items
        # The lease goes first: a record without one would never be run.
        lease = await self.leases.add(job.id, by.id, kind, not_before=time.time() + delay if delay else 0.0)
        if item is not None:
            await self.store.save_chunk(job.id, Chunk(0, [item]))
            job.chunks, job.expanded = 1, True
        await self.store.save(job)
        self.announce(lease)
        log.info("job %s (%s) was made by %s", job.id, kind, by.email)
        return job

    async def check_open_jobs(self, by: Principal) -> None:
        """Check that a user may have another job. Raises `Conflict` if there are `MAX_OPEN` that are not over."""
        opened = await self.leases.count_of(by.id)
        if opened >= MAX_OPEN:
            raise Conflict(f"{by.email} has {opened} jobs that are not over; at most {MAX_OPEN} are allowed")

    async def find_open(self, kind: str, subject: str) -> Job | None:
        """Find a job of a kind and subject that is not over; None if there is none."""
        for state in (JobState.QUEUED.value, JobState.RUNNING.value):
            found = await self.store.newest({"kind": kind, "subject": subject, "state": state})
            if found is not None:
                return found
        return None

    def announce(self, lease: JobLease) -> None:
        """Announce a job that may run to the service of this server, which would otherwise find it at its next look."""
        self._announced.put_nowait(lease)

    async def next(self) -> JobLease:
        """Wait for a job that may run, and return its lease."""
        return await self._announced.get()
