"""The service of jobs: they are run, listed, cancelled and retried; all servers on a catalog share them."""

import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Final

from neurdicom.coordination import Periodic
from neurdicom.jobs.events import JobEvents
from neurdicom.jobs.executor import JobExecutor
from neurdicom.jobs.job import Job
from neurdicom.jobs.queue import JobQueue
from neurdicom.jobs.results import ResultReader
from neurdicom.jobs.runner import TRANSFERS, Backoff, JobClass, Runner
from neurdicom.jobs.scheduler import JobScheduler
from neurdicom.jobs.store import purge
from neurdicom.security.access import Principal, check_self_or_admin

log = logging.getLogger(__name__)

#: Seconds between looks for jobs that other servers have made or abandoned.
WATCH_SECONDS = 10.0

#: Seconds between deletions of old records.
_PURGE_SECONDS: Final = 3600.0

#: Seconds that items under way have to finish when the server stops.
_STOP_SECONDS: Final = 5.0


class JobService:
    """Service of the jobs of all servers on a catalog, some of which this one runs.

    Parameters
    ----------
    queue : JobQueue
        The jobs that are not over; new ones are pulled from it.
    runners : Mapping[str, Runner]
        Runners by kind of job.
    backoff : Backoff
        Waits between attempts.

    Attributes
    ----------
    results : ResultReader
        Results of the items of a job.
    events : JobEvents
        Events of jobs as they come.
    """

    def __init__(self, queue: JobQueue, runners: Mapping[str, Runner], *, backoff: Backoff | None = None) -> None:
        self._queue = queue
        self._store = queue.store
        self._leases = queue.leases
        self._runners = runners
        self.results = ResultReader(self._store, runners)
        self.events = JobEvents(self._store, self.results)
        self._executor = JobExecutor(self._store, self._leases, runners, backoff or Backoff(), self.events.publish)
        self._scheduler = JobScheduler(self._leases, self._class_of, self._executor.run)
        self._periodic: list[Periodic] = []

    def _class_of(self, kind: str) -> JobClass:
        return self._runners[kind].job_class if kind in self._runners else TRANSFERS

    # -- start and stop --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Resume the jobs that are not over, and watch for new ones."""
        await self._scheduler.open()
        failure = "the jobs in the catalog can't be checked now"
        self._periodic = [
            Periodic(self._pull, 0.0, "a new job is not begun yet", at_once=True),
            Periodic(self._watch, WATCH_SECONDS, failure, at_once=True),
            Periodic(partial(purge, self._store), _PURGE_SECONDS, failure, at_once=True),
        ]
        for periodic in self._periodic:
            periodic.start()

    async def close(self) -> None:
        """Stop all jobs so that they can be resumed. Idempotent."""
        self._scheduler.stop()
        for periodic in self._periodic:
            await periodic.stop()
        await self.events.close()
        self._executor.halt()
        await self._scheduler.drain(_STOP_SECONDS)

    async def _pull(self) -> None:
        self._scheduler.enqueue(await self._queue.next())

    async def _watch(self) -> None:
        async for job in self._executor.renew_leases():
            self._scheduler.cancel(job)
        await self._scheduler.look()

    # -- verbs -----------------------------------------------------------------------------------------------

    async def retry(self, job: str, *, by: Principal) -> Job:
        """Queue a job that is over again, for its failed and remaining items.

        Raises
        ------
        NotFound
            There is no such job.
        Forbidden
            It is another user's, and the caller is no administrator.
        Conflict
            It is not over, there is nothing to run again, or its items were not kept.
        """
        found = await self._store.get(job)
        check_self_or_admin(by, found.user_id)
        found.check_reopen()
        await self._queue.check_open_jobs(by)
        self._runners[found.kind].renew(found)
        await self._scheduler.wait_for(job)
        # The lease first, for the same reason, but it can't be taken before the record says that there is work.
        await self._leases.add(job, found.user_id, found.kind, not_before=time.time() + WATCH_SECONDS)
        found = await self._store.get(job)  # another retry may have run meanwhile
        self._runners[found.kind].renew(found)
        found.reopen()
        await self._store.save(found)
        self.events.publish(found.to_document())
        if (lease := await self._leases.admit(job)) is not None:
            self._queue.announce(lease)
        log.info("job %s (%s) was queued again", job, found.kind)
        return found

    async def get(self, job: str) -> Job:
        """Return a job. Raises `NotFound`."""
        return await self._store.get(job)

    async def newest(self, where: Mapping[str, str]) -> Job | None:
        """Find the newest job whose fields have these values; None if there is none."""
        return await self._store.newest(where)

    async def list(
        self, where: Mapping[str, str], *, limit: int, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[Job], int]:
        """List a page of the jobs.

        Parameters
        ----------
        where : Mapping[str, str]
            Fields that must have these values: `state`, `kind`, `subject`.
        limit, offset : int
            Size and start of the page.
        newest_first : bool
            Order, by the time of creation.

        Returns
        -------
        jobs : list of Job
            The page.
        total : int
            Number of all such jobs.
        """
        return await self._store.list(where, limit=limit, offset=offset, newest_first=newest_first)

    async def cancel_or_remove(self, job: str, *, by: Principal | None) -> Job | None:
        """Cancel a job that is not over, after the current item, or forget one that is.

        Returns
        -------
        Job or None
            The job, which may still be running; None if it was forgotten.

        Raises
        ------
        NotFound
            There is no such job.
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
