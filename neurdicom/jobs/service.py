"""Jobs: made, run a few at a time, listed, cancelled; and taken up again after a restart."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from neurdicom.catalog.base import Catalog
from neurdicom.coordination import Periodic
from neurdicom.errors import Conflict, NeurdicomError, Unavailable
from neurdicom.jobs.events import Feed
from neurdicom.jobs.execution import Execution
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, made_at, new_id, now
from neurdicom.jobs.lease import JobLease, JobLeases
from neurdicom.jobs.queue import Places
from neurdicom.jobs.results import ResultReader
from neurdicom.jobs.retention import KEEP_SECONDS, purge
from neurdicom.jobs.retry import Backoff
from neurdicom.jobs.runner import TRANSFERS, Runner
from neurdicom.jobs.store import JobStore
from neurdicom.security.access import Principal, check_self_or_admin

log = logging.getLogger(__name__)

#: Jobs of one user that are not over.
MAX_OPEN = 1000

#: Seconds between looks at what other servers have left or made.
WATCH_SECONDS = 10.0

#: Seconds between removals of old records.
PURGE_SECONDS = 3600.0

#: Seconds that a stopping server gives to the items under way.
_STOP_SECONDS = 5.0

#: Seconds until a lease without a record counts as one that a crash has left.
_ORPHANED_SECONDS = 60.0


class JobService:
    """The jobs of all servers on a catalog, some of which this one runs.

    Parameters
    ----------
    catalog : Catalog
    runners : Mapping[str, Runner]
        By kind of job.
    owner : str
        Name of this server, the same after a restart.
    backoff : Backoff
        When what failed is tried again.

    Attributes
    ----------
    results : ResultReader
        What came of the items of a job.
    feed : Feed
        News of jobs as they come.
    """

    def __init__(
        self, catalog: Catalog, runners: Mapping[str, Runner], *, owner: str, backoff: Backoff | None = None
    ) -> None:
        self._store = JobStore(catalog)
        self._leases = JobLeases(catalog, owner)
        self._runners = runners
        self._backoff = backoff or Backoff()
        self.results = ResultReader(self._store, runners)
        self.feed = Feed(self._store, self.results)
        self._places = Places()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._executions: dict[str, Execution] = {}
        self._cancelled: set[str] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._watcher: Periodic | None = None
        self._purge_due = 0.0
        self._closed = True

    # -- start and stop --------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take up what is not over, and keep watching for more."""
        self._closed = False
        await self._look()
        failure = "the jobs can't be looked after now"
        self._watcher = Periodic(self._watch, WATCH_SECONDS, failure, at_once=True)
        self._watcher.start()

    async def close(self) -> None:
        """Leave all jobs where they can be gone on with. Idempotent."""
        self._closed = True
        if self._watcher is not None:
            await self._watcher.stop()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        await self.feed.close()
        for execution in self._executions.values():
            execution.halt()
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=_STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

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
        self._enqueue(lease)
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
        if (ending := self._running.get(job)) is not None:
            await asyncio.wait([ending])
        # The lease first, for the same reason, but not to be taken before the record says that there is work.
        await self._leases.add(job, found.user_id, found.kind, not_before=time.time() + WATCH_SECONDS)
        found = await self._store.get(job)  # another retry may have come and gone meanwhile
        self._runners[found.kind].renew(found)
        found.reopen()
        await self._store.save(found)
        self.feed.publish(found.as_document())
        if (lease := await self._leases.admit(job)) is not None:
            self._enqueue(lease)
        log.info("job %s (%s) is run again", job, found.kind)
        return found

    async def get(self, job: str) -> Job:
        """One job. Raises `NotFound`."""
        return await self._store.get(job)

    async def find_open(self, kind: str, subject: str) -> Job | None:
        """A job of this subject that is not over."""
        for state in ("queued", "running"):
            found, _ = await self._store.list({"kind": kind, "subject": subject, "state": state}, limit=1)
            if found:
                return found[0]
        return None

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
            if job in self._executions:
                self._executions[job].cancel()
            elif job in self._running:
                self._cancelled.add(job)
            else:
                await self._cancel_waiting(job)
        return await self._store.get(job)

    async def _cancel_waiting(self, job: str) -> None:
        """End a job that nobody runs; one that another server runs is ended by that."""
        if await self._leases.take(job) is None:
            return
        found = await self._store.find(job)
        if found is not None and not found.is_over:
            found.end("cancelled")
            await self._store.save(found)
            self.feed.publish(found.as_document())
        await self._forget_items(job, found)
        await self._leases.remove(job)

    async def _forget_items(self, job: str, found: Job | None) -> None:
        if found is None or not (found.keeps_items and found.expanded):
            await self._store.remove_items(job)

    # -- running ---------------------------------------------------------------------------------------------

    def _enqueue(self, lease: JobLease) -> None:
        if self._closed or lease.job in self._places:
            return
        timer = self._timers.pop(lease.job, None)
        if timer is not None:
            timer.cancel()
        wait = lease.not_before - time.time()
        if wait > 0:
            again = JobLease(lease.job, lease.user, kind=lease.kind)
            self._timers[lease.job] = asyncio.get_running_loop().call_later(wait, self._enqueue, again)
            return
        runner = self._runners.get(lease.kind)
        self._places.put(TRANSFERS if runner is None else runner.lane, lease.user, lease.job)
        self._dispatch()

    def _dispatch(self) -> None:
        while not self._closed and (turn := self._places.take()) is not None:
            user, job = turn
            self._running[job] = asyncio.create_task(self._run(job, user))

    async def _run(self, job: str, user: str) -> None:
        again: JobLease | None = None
        kind = ""
        try:
            lease = await self._leases.take(job)
            if lease is not None:
                kind = lease.kind
                again = await self._run_taken(lease)
        except Unavailable as error:
            log.warning("job %s has to wait: %s", job, error)
            again = JobLease(job, user, not_before=time.time() + WATCH_SECONDS, kind=kind)
        except Exception:  # a fault of ours in one job must not take the others along
            log.exception("job %s failed", job)
            await self._fail(job)
        finally:
            self._executions.pop(job, None)
            self._cancelled.discard(job)
            self._running.pop(job, None)
            self._places.free(job)
            if again is not None:
                self._enqueue(again)
            self._dispatch()

    async def _run_taken(self, lease: JobLease) -> JobLease | None:
        """Run a job that is ours; the lease to go on with later, if it is not over."""
        found = await self._store.find(lease.job)
        if found is None:
            if time.time() - made_at(lease.job) > _ORPHANED_SECONDS:
                await self._store.remove_items(lease.job)
                await self._leases.remove(lease.job)
            else:
                await self._leases.release(lease.job)
            return None
        if found.retry_at is not None and found.retry_at > time.time() and not lease.cancel:
            await self._leases.release(found.id, not_before=found.retry_at)
            return JobLease(found.id, lease.user, not_before=found.retry_at, kind=lease.kind)
        runner = self._runners.get(found.kind)
        if runner is None:
            log.warning("job %s waits: this server does no jobs of the kind %r", found.id, found.kind)
            await self._leases.release(found.id, not_before=time.time() + KEEP_SECONDS)
            return None
        backoff = runner.backoff or self._backoff
        execution = self._executions[found.id] = Execution(self._store, runner, found, backoff, self.feed.publish)
        if lease.cancel or found.id in self._cancelled:
            execution.cancel()
        over = await execution.run()
        self._executions.pop(found.id, None)
        if over:
            await self._leases.remove(found.id)
            log.info(
                "job %s (%s) is over: %s, %d done, %d failed",
                found.id,
                found.kind,
                found.state,
                found.done,
                found.failed,
            )
            return None
        await self._leases.release(found.id, not_before=found.retry_at or 0.0)
        return JobLease(found.id, lease.user, not_before=found.retry_at or 0.0, kind=lease.kind)

    async def _fail(self, job: str) -> None:
        """End a job that met a fault of ours."""
        try:
            found = await self._store.find(job)
            if found is not None and not found.is_over:
                found.errors = [{"instance": None, "reason": "internal error; the log has it", "attempts": 1}]
                found.end("failed")
                await self._store.save(found)
                self.feed.publish(found.as_document())
            await self._forget_items(job, found)
            await self._leases.remove(job)
        except NeurdicomError as error:
            log.warning("job %s could not be ended: %s", job, error)

    # -- watching --------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        await self._renew()
        await self._look()
        if time.monotonic() >= self._purge_due:
            await purge(self._store)
            self._purge_due = time.monotonic() + PURGE_SECONDS

    async def _renew(self) -> None:
        """Hold what runs here, and heed what other servers ask of it."""
        for job in list(self._executions):
            lease = await self._leases.renew(job)
            execution = self._executions.get(job)
            if execution is None:
                continue  # over meanwhile
            if lease is None:
                log.warning("job %s was taken over by another server", job)
                execution.abandon()
                self._running[job].cancel()
            elif lease.cancel:
                execution.cancel()

    async def _look(self) -> None:
        """Let all that nobody runs wait here."""
        for lease in await self._leases.free():
            if lease.job not in self._timers:
                self._enqueue(lease)
