"""The scheduler of jobs on this server: fair between users, within the run slots of each class."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from neurdicom.errors import Unavailable
from neurdicom.fairness import RoundRobin
from neurdicom.jobs.lease import JobLease, JobLeases
from neurdicom.jobs.runner import JobClass

log = logging.getLogger(__name__)

#: Seconds that a job waits after a failure of the catalog.
_WAIT_SECONDS: Final = 10.0


class RunSlots:
    """Run slots, and the jobs that hold or wait for one, by class; users take turns."""

    def __init__(self) -> None:
        self._queues: dict[JobClass, RoundRobin[str]] = {}
        self._running: dict[str, tuple[JobClass, str]] = {}
        self._jobs: set[str] = set()

    def __contains__(self, job: str) -> bool:
        return job in self._jobs

    def put(self, job_class: JobClass, user: str, job: str) -> None:
        """Add a job that waits for a slot; one that waits already keeps its place.

        Parameters
        ----------
        job_class : JobClass
            Its class.
        user : str
            Id of the user whose job it is.
        job : str
            Id of the job.
        """
        self._jobs.add(job)
        self._queues.setdefault(job_class, RoundRobin()).append(user, job)

    def take(self) -> tuple[str, str] | None:
        """Give a free slot to the next job.

        Returns
        -------
        tuple of (user, job) or None
            None if there is no such job.
        """
        for job_class, queue in self._queues.items():
            running = Counter(user for of, user in self._running.values() if of == job_class)
            if running.total() >= job_class.at_once:
                continue
            user = next((user for user in queue.waiting_keys() if running[user] < job_class.of_one_user), None)
            if user is not None:
                job = queue.pop(user)
                self._running[job] = (job_class, user)
                return user, job
        return None

    def free(self, job: str) -> None:
        """Free the slot of a job."""
        self._running.pop(job, None)
        self._jobs.discard(job)


class JobScheduler:
    """Scheduler that queues the jobs that no server runs, and runs them here as slots become free.

    Parameters
    ----------
    leases : JobLeases
        Leases of all jobs that are not over.
    class_of : callable
        Returns the class of a kind of jobs.
    run : callable
        Takes the lease of a job and runs it; returns the lease to resume it with, or None.
    """

    def __init__(
        self,
        leases: JobLeases,
        class_of: Callable[[str], JobClass],
        run: Callable[[JobLease], Awaitable[JobLease | None]],
    ) -> None:
        self._leases = leases
        self._class_of = class_of
        self._run = run
        self._slots = RunSlots()
        self._queued: dict[str, JobLease] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._closed = True

    async def open(self) -> None:
        """Start, with the jobs that are not over."""
        self._closed = False
        await self.look()

    def stop(self) -> None:
        """Begin no further job. Idempotent."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def drain(self, seconds: float) -> None:
        """Wait for the running jobs; cancel those that do not end within `seconds`."""
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def look(self) -> None:
        """Queue every job without a live lease."""
        for lease in await self._leases.free():
            if lease.job not in self._timers:
                self.enqueue(lease)

    def enqueue(self, lease: JobLease) -> None:
        """Queue a job as soon as its time has come."""
        if self._closed or lease.job in self._slots:
            return
        timer = self._timers.pop(lease.job, None)
        if timer is not None:
            timer.cancel()
        wait = lease.not_before - time.time()
        if wait > 0:
            again = replace(lease, not_before=0.0)
            self._timers[lease.job] = asyncio.get_running_loop().call_later(wait, self.enqueue, again)
            return
        self._queued[lease.job] = lease
        self._slots.put(self._class_of(lease.kind), lease.user, lease.job)
        self._dispatch()

    def is_running(self, job: str) -> bool:
        """Tell whether a job runs here, or is just ending."""
        return job in self._running

    def cancel(self, job: str) -> None:
        """Cancel a job that runs here."""
        if job in self._running:
            self._running[job].cancel()

    async def wait_for(self, job: str) -> None:
        """Wait until a job does not run here any more."""
        if job in self._running:
            await asyncio.wait([self._running[job]])

    def _dispatch(self) -> None:
        while not self._closed and (turn := self._slots.take()) is not None:
            _, job = turn
            self._running[job] = asyncio.create_task(self._run_queued(self._queued.pop(job)))

    async def _run_queued(self, lease: JobLease) -> None:
        again: JobLease | None = None
        try:
            again = await self._run(lease)
        except Unavailable as error:
            log.warning("job %s could not be run, since the catalog failed, and is tried again: %s", lease.job, error)
            again = replace(lease, not_before=time.time() + _WAIT_SECONDS)
        finally:
            self._running.pop(lease.job, None)
            self._slots.free(lease.job)
            if again is not None:
                self.enqueue(again)
            self._dispatch()
