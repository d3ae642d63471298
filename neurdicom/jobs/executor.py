"""The executor of the jobs whose leases this server holds."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from neurdicom.errors import INTERNAL_ERROR, NeurdicomError, Unavailable
from neurdicom.jobs.execution import Execution
from neurdicom.jobs.job import Job, made_at
from neurdicom.jobs.lease import JobLease, JobLeases
from neurdicom.jobs.runner import Backoff, Runner
from neurdicom.jobs.states import JobStateEvent
from neurdicom.jobs.store import JobStore

log = logging.getLogger(__name__)

#: Seconds after which a lease without a record counts as left by a crash.
_ORPHANED_SECONDS: Final = 60.0

#: Seconds until a job of an unknown kind is tried again.
_FOREIGN_SECONDS: Final = 30 * 86400.0


class JobExecutor:
    """Executor that runs jobs whose leases this server has taken, and ends or releases them.

    Parameters
    ----------
    store : JobStore
        Stores the jobs and their items.
    leases : JobLeases
        Leases of all jobs that are not over.
    runners : Mapping[str, Runner]
        Runners by kind of job.
    backoff : Backoff
        Waits between attempts, unless the runner has its own.
    published : callable
        Called with the document of a job whenever it was written.
    """

    def __init__(
        self,
        store: JobStore,
        leases: JobLeases,
        runners: Mapping[str, Runner],
        backoff: Backoff,
        published: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._store = store
        self._leases = leases
        self._runners = runners
        self._backoff = backoff
        self._published = published
        self._executions: dict[str, Execution] = {}
        self._cancelled: set[str] = set()

    async def run(self, lease: JobLease) -> JobLease | None:
        """Run a job unless another server does; return the lease to resume it with, or None when it is over.

        Raises `Unavailable` when the catalog fails.
        """
        try:
            taken = await self._leases.take(lease.job)
            return None if taken is None else await self._run(taken)
        except Unavailable:
            raise
        except Exception:  # a fault of ours in one job must not stop the others
            log.exception("job %s is ended as failed: internal error", lease.job)
            await self._fail(lease.job)
            return None
        finally:
            self._executions.pop(lease.job, None)
            self._cancelled.discard(lease.job)

    def cancel(self, job: str) -> None:
        """End a job that runs here after the current item, also when it is only about to begin."""
        if job in self._executions:
            self._executions[job].cancel()
        else:
            self._cancelled.add(job)

    async def cancel_waiting(self, job: str) -> None:
        """End a job that is not running; if another server runs it, that server ends it."""
        if await self._leases.take(job) is None:
            return
        found = await self._store.find(job)
        if found is not None and not found.is_over:
            await self._end(found, JobStateEvent.CANCELLED)
        await self._forget(job, found)

    def halt(self) -> None:
        """Stop all jobs after their current items; they resume later."""
        for execution in self._executions.values():
            execution.halt()

    async def renew_leases(self) -> AsyncIterator[str]:
        """Renew the leases of the jobs that run here, and cancel those whose cancellation another server has requested.

        Yields
        ------
        str
            Id of a job that another server has taken over, and that is to be stopped here at once.
        """
        for job in list(self._executions):
            lease = await self._leases.renew(job)
            execution = self._executions.get(job)
            if execution is None:
                continue  # over meanwhile
            if lease is None:
                log.warning("job %s was taken over by another server, and is abandoned here", job)
                execution.abandon()
                yield job
            elif lease.cancel:
                execution.cancel()

    async def _run(self, lease: JobLease) -> JobLease | None:
        found = await self._store.find(lease.job)
        if found is None:
            await self._drop_orphan(lease.job)
            return None
        if found.retry_at is not None and found.retry_at > time.time() and not lease.cancel:
            return await self._release(found, lease)
        runner = self._runners.get(found.kind)
        if runner is None:
            log.warning(
                "job %s can't be run by this server, which has no runner for the kind %r, and is left to another",
                found.id,
                found.kind,
            )
            await self._leases.release(found.id, not_before=time.time() + _FOREIGN_SECONDS)
            return None
        execution = Execution(self._store, runner, found, runner.backoff or self._backoff, self._published)
        self._executions[found.id] = execution
        if lease.cancel or found.id in self._cancelled:
            execution.cancel()
        is_over = await execution.run()
        self._executions.pop(found.id, None)
        if not is_over:
            return await self._release(found, lease)
        await self._leases.remove(found.id)
        counts = f"{found.done} done, {found.failed} failed"
        log.info("job %s (%s) is over: %s, %s", found.id, found.kind, found.state, counts)
        return None

    async def _release(self, found: Job, lease: JobLease) -> JobLease:
        not_before = found.retry_at or 0.0
        await self._leases.release(found.id, not_before=not_before)
        return replace(lease, not_before=not_before)

    async def _drop_orphan(self, job: str) -> None:
        """Delete a lease without a record, unless its record may still be written."""
        if time.time() - made_at(job) > _ORPHANED_SECONDS:
            await self._store.remove_items(job)
            await self._leases.remove(job)
        else:
            await self._leases.release(job)

    async def _fail(self, job: str) -> None:
        """End a job that met an internal error."""
        try:
            found = await self._store.find(job)
            if found is not None and not found.is_over:
                found.errors = [{"instance": None, "reason": INTERNAL_ERROR, "attempts": 1}]
                await self._end(found, JobStateEvent.FAILED)
            await self._forget(job, found)
        except NeurdicomError as error:
            log.warning("job %s could not be ended as failed: %s", job, error)

    async def _end(self, found: Job, event: JobStateEvent) -> None:
        found.end(event)
        await self._store.save(found)
        self._published(found.to_document())

    async def _forget(self, job: str, found: Job | None) -> None:
        """Delete the lease of an ended job, and its items unless the job's kind stores them."""
        if found is None or not (found.keeps_items and found.expanded):
            await self._store.remove_items(job)
        await self._leases.remove(job)
