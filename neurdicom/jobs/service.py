"""Jobs: made, listed, cancelled and retried; all servers on a catalog share them."""

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from neurdicom.catalog.documents import Documents
from neurdicom.coordination import Periodic
from neurdicom.errors import Conflict
from neurdicom.jobs.events import JobEvents
from neurdicom.jobs.executor import JobExecutor
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, JobState, new_id, now
from neurdicom.jobs.lease import JobLeases
from neurdicom.jobs.results import ResultReader
from neurdicom.jobs.runner import TRANSFERS, Backoff, JobClass, Runner
from neurdicom.jobs.scheduler import JobScheduler
from neurdicom.jobs.store import JobStore, purge
from neurdicom.security.access import Principal, check_self_or_admin

log = logging.getLogger(__name__)

#: Jobs of one user that are not over.
MAX_OPEN: Final = 1000

#: Seconds between looks at what other servers have left or made.
WATCH_SECONDS = 10.0

#: Seconds between removals of old records.
_PURGE_SECONDS: Final = 3600.0

#: Seconds that a stopping server gives to the items under way.
_STOP_SECONDS: Final = 5.0


class JobService:
    """The jobs of all servers on a catalog, some of which this one runs.

    Parameters
    ----------
    documents : Documents
        Keeps the jobs.
    runners : Mapping[str, Runner]
        By kind of job.
    owner : str
        Name of this server, the same after a restart.
    backoff : Backoff
        When what failed is tried again.

    Attributes
    ----------
    results : ResultReader
        Results of the items of a job.
    events : JobEvents
        Events of jobs as they come.
    """

    def __init__(
        self, documents: Documents, runners: Mapping[str, Runner], *, owner: str, backoff: Backoff | None = None
    ) -> None:
        self._store = JobStore(documents)
        self._runners = runners
        self._leases = JobLeases(documents, owner)
        self.results = ResultReader(self._store, runners)
        self.events = JobEvents(self._store, self.results)
        self._executor = JobExecutor(self._store, self._leases, runners, backoff or Backoff(), self.events.publish)
        self._scheduler = JobScheduler(self._leases, self._class_of, self._executor.run)
        self._periodic: list[Periodic] = []

    def _class_of(self, kind: str) -> JobClass:
        return self._runners[kind].job_class if kind in self._runners else TRANSFERS

    # -- start and stop --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what is not over, and keep watching for more."""
        await self._scheduler.open()
        failure = "the jobs can't be looked after now"
        self._periodic = [
            Periodic(self._watch, WATCH_SECONDS, failure, at_once=True),
            Periodic(partial(purge, self._store), _PURGE_SECONDS, failure, at_once=True),
        ]
        for periodic in self._periodic:
            periodic.start()

    async def close(self) -> None:
        """Leave all jobs where they can be resumed. Idempotent."""
        self._scheduler.stop()
        for periodic in self._periodic:
            await periodic.stop()
        await self.events.close()
        self._executor.halt()
        await self._scheduler.drain(_STOP_SECONDS)

    async def _watch(self) -> None:
        async for job in self._executor.renew_leases():
            self._scheduler.cancel(job)
        await self._scheduler.look()

    # -- verbs -----------------------------------------------------------------------------------------------

    async def submit(
        self,
        kind: str,
        request: dict[str, Any],
        *,
        by: Principal,
        total: int | None = None,
        subject: str = "",
        item: Any = None,
        delay: float = 0.0,
    ) -> Job:
        """Make a job, which runs as soon as it is its turn.

        Parameters
        ----------
        kind : str
            Which runner does it.
        request : dict
            What it is asked for; small, since it is written again with the progress.
        by : Principal
            Whose it is.
        total : int, optional
            How many instances there are to be, where that is known.
        subject : str
            What `find_open` is to find it by.
        item : JSON, optional
            Its only item, where there is nothing to expand.
        delay : float
            Seconds until it is run at the earliest.

        Raises
        ------
        Conflict
            The user has too many already.
        """
        await self._check_open_jobs(by)
        job = Job(id=new_id(), kind=kind, user=by.email, user_id=by.id, request=request, created=now(), total=total)
        job.subject, job.keeps_items = subject, self._runners[kind].keeps_items
        # The lease goes first: a record without one would never be run.
        lease = await self._leases.add(job.id, by.id, kind, not_before=time.time() + delay if delay else 0.0)
        if item is not None:
            await self._store.save_chunk(job.id, Chunk(0, [item]))
            job.chunks, job.expanded = 1, True
        await self._store.save(job)
        self._scheduler.enqueue(lease)
        log.info("job %s (%s) was made by %s", job.id, kind, by.email)
        return job

    async def _check_open_jobs(self, by: Principal) -> None:
        opened = await self._leases.count_of(by.id)
        if opened >= MAX_OPEN:
            raise Conflict(f"{by.email} has {opened} jobs that are not over; {MAX_OPEN} are the limit")

    async def retry(self, job: str, *, by: Principal) -> Job:
        """Let a job that is over run again, over what failed and what it did not come to.

        Raises
        ------
        NotFound
        Forbidden
            It is another user's, and the caller is no administrator.
        Conflict
            It is not over, there is nothing to run again, or its items were not kept.
        """
        found = await self._store.get(job)
        check_self_or_admin(by, found.user_id)
        if not found.is_over:
            raise Conflict(f"the job is {found.state}; only what is over can be tried again")
        if not found.keeps_items:
            raise Conflict(f"the items of a job of the kind {found.kind!r} are not kept; make a new job")
        if found.expanded and not found.failed and found.done == found.total:
            raise Conflict("nothing failed, and nothing is left")
        await self._check_open_jobs(by)
        self._runners[found.kind].renew(found)
        await self._scheduler.wait_for(job)
        # The lease first, for the same reason, but not to be taken before the record says that there is work.
        await self._leases.add(job, found.user_id, found.kind, not_before=time.time() + WATCH_SECONDS)
        found = await self._store.get(job)  # another retry may have come and gone meanwhile
        self._runners[found.kind].renew(found)
        found.reopen()
        await self._store.save(found)
        self.events.publish(found.to_document())
        if (lease := await self._leases.admit(job)) is not None:
            self._scheduler.enqueue(lease)
        log.info("job %s (%s) is run again", job, found.kind)
        return found

    async def get(self, job: str) -> Job:
        """One job. Raises `NotFound`."""
        return await self._store.get(job)

    async def find_open(self, kind: str, subject: str) -> Job | None:
        """A job of this subject that is not over."""
        for state in (JobState.QUEUED.value, JobState.RUNNING.value):
            found = await self._store.newest({"kind": kind, "subject": subject, "state": state})
            if found is not None:
                return found
        return None

    async def newest(self, where: Mapping[str, str]) -> Job | None:
        """The latest of the jobs whose fields are these."""
        return await self._store.newest(where)

    async def list(
        self, where: Mapping[str, str], *, limit: int, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[Job], int]:
        """A page of the jobs of a `state` or a `kind`, by when they were made, and how many there are."""
        return await self._store.list(where, limit=limit, offset=offset, newest_first=newest_first)

    async def cancel_or_remove(self, job: str, *, by: Principal | None) -> Job | None:
        """Cancel a job that is not over, after the item under way, or forget one that is.

        Returns
        -------
        Job or None
            The job, which may still be running; None if it was forgotten.

        Raises
        ------
        NotFound
        Forbidden
            It is another user's, and the caller is no administrator.
        """
        found = await self._store.get(job)
        check_self_or_admin(by, found.user_id)
        if found.is_over:
            await self._store.remove(job)
            return None
        if await self._leases.cancel(job) is not None:
            if self._scheduler.is_running(job):
                self._executor.cancel(job)
            else:
                await self._executor.cancel_waiting(job)
        return await self._store.get(job)
