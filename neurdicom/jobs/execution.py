"""Execution of a job: a pass over its items, whose progress is recorded in the catalog."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, cast

from neurdicom.coordination import Periodic
from neurdicom.errors import PeerFailed
from neurdicom.jobs.conclusion import PassEnd, StopRequest, conclude
from neurdicom.jobs.items import CHUNK, Chunk
from neurdicom.jobs.job import MAX_ERRORS, Job
from neurdicom.jobs.progress import InstanceCounts, PassProgress, number_of
from neurdicom.jobs.progress_writer import ProgressWriter, Published
from neurdicom.jobs.runner import Backoff, Item, ItemOutcome, Runner
from neurdicom.jobs.store import JobStore

log = logging.getLogger(__name__)

#: Temporary failures in a row after which the pass ends and the job waits.
_GIVE_UP_FOR_NOW: Final = 3


class Execution:
    """Execution of a job until it is over, has to wait, or is stopped.

    Finished items are not run again after a crash, except those of the last `save_seconds`.

    Parameters
    ----------
    store : JobStore
        Stores jobs.
    runner : Runner
        Does the items.
    job : Job
        The job.
    backoff : Backoff
        Waits between attempts.
    published : callable
        Called with the job's document whenever it was written.
    """

    def __init__(self, store: JobStore, runner: Runner, job: Job, backoff: Backoff, published: Published) -> None:
        self.job = job
        self._store = store
        self._runner = runner
        self._backoff = backoff
        self._stop: StopRequest | None = None
        self._stopping = asyncio.Event()
        self._writer = ProgressWriter(store, job, published)
        self._progress = PassProgress(job, backoff.attempts)
        self._rated = time.monotonic()

    def cancel(self) -> None:
        """End the job after the current item."""
        self._stop = StopRequest.CANCEL
        self._stopping.set()

    def halt(self) -> None:
        """Stop after the current item; the job resumes later."""
        self._stop = self._stop or StopRequest.HALT
        self._stopping.set()

    def abandon(self) -> None:
        """Stop writing progress: another server has taken the job over."""
        self._writer.abandon()

    async def run(self) -> bool:
        """Run the job; return whether it is over. If not, its `retry_at` says when to resume.

        Raises `Unavailable` when the catalog fails.
        """
        if self.job.is_over:
            await self._forget_items()
            return True
        self.job.begin()
        await self._writer.save_record()
        failure = f"the progress of job {self.job.id} could not be written"
        # Waits ten times as long as a write takes, so that progress does not load a slow catalog.
        saver = Periodic(self._save_with_rate, self._runner.save_seconds, failure, at_once=True, rest=10.0)
        try:
            async with saver:
                with self._runner.session(self.job):
                    error = await self._run_pass()
        finally:
            await self._writer.save()
        self._conclude(error)
        await self._writer.save_record()
        if self.job.is_over:
            await self._forget_items()
        return self.job.is_over

    async def _save_with_rate(self) -> None:
        now = time.monotonic()
        if now >= self._rated + 1.0:
            self._rated = now
            if self._progress.update_rate():
                self._writer.is_dirty = True
        await self._writer.save()

    async def _forget_items(self) -> None:
        if not (self.job.keeps_items and self.job.expanded):
            await self._store.remove_items(self.job.id)

    async def _run_pass(self) -> PeerFailed | None:
        """Run the remaining items; return the error of the node as a whole."""
        try:
            if not self.job.expanded:
                await self._expand()
            await self._recount()
            self._progress.begin()
            for number in range(self.job.chunks):
                if self._stop:
                    break
                chunk = self._writer.chunk = await self._store.chunk(self.job.id, number)
                try:
                    await self._run_chunk(chunk)
                finally:
                    await self._writer.save()
                    self._writer.chunk = None
        except PeerFailed as error:
            return error
        return None

    async def _expand(self) -> None:
        """Store the job's items in the catalog."""
        await self._store.remove_items(self.job.id)
        chunks, total = 0, 0
        self.job.summary = {}
        known = True
        waiting: list[Item] = []
        items = cast(AsyncGenerator[Item, None], self._runner.expand(self.job))
        async with aclosing(items):
            async for item in items:
                waiting.append(item)
                total += item.weight or 0
                known = known and item.weight is not None
                if len(waiting) == CHUNK:
                    await self._store.save_chunk(self.job.id, Chunk(chunks, [one.value for one in waiting]))
                    chunks += 1
                    waiting = []
                if self._stop:
                    return
        if waiting:
            await self._store.save_chunk(self.job.id, Chunk(chunks, [one.value for one in waiting]))
            chunks += 1
        self.job.chunks, self.job.total, self.job.expanded = chunks, total if known else None, True
        await self._writer.save_record()

    async def _recount(self) -> None:
        """Recompute the counts from the items, which are right after a crash; reopen those that are to run again."""
        job, progress = self.job, self._progress
        counts = InstanceCounts()
        errors: list[dict[str, Any]] = []
        for number in range(job.chunks):
            chunk = await self._store.chunk(job.id, number)
            if job.reopened and chunk.reopen():
                await self._store.save_chunk(job.id, chunk)
            counts = counts.plus(*chunk.count())
            errors += chunk.all_errors()[: MAX_ERRORS - len(errors)]
            progress.left += len(chunk.pending())
        progress.counts = counts
        job.errors = errors
        if job.keeps_items:
            await self._writer.log.open(job.finished_count)
            job.finished_count = self._writer.log.length
        progress.show()
        if job.reopened:
            job.reopened = False
            job.total = counts.done + counts.failed + progress.left
            await self._writer.save_record()

    async def _run_chunk(self, chunk: Chunk) -> None:
        todo = chunk.pending()
        if not todo:
            return
        in_a_row = 0
        outcomes = cast(
            AsyncGenerator[ItemOutcome, None],
            self._runner.run(self.job, [chunk.values[index] for index in todo], self._stopping),
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                self._take(chunk, todo[outcome.item], outcome)
                may_pass = outcome.final and outcome.failed and outcome.retryable and not outcome.done
                in_a_row = in_a_row + 1 if may_pass else 0
                if in_a_row == _GIVE_UP_FOR_NOW:
                    raise PeerFailed(outcome.failures[0].reason)

    def _take(self, chunk: Chunk, index: int, outcome: ItemOutcome) -> None:
        self._writer.is_dirty = True
        if self._progress.take(chunk, index, outcome) and self.job.keeps_items:
            self._writer.log.append(number_of(chunk, index))
            self.job.finished_count = self._writer.log.length

    def _conclude(self, error: PeerFailed | None) -> None:
        """Change the job as follows from the pass."""
        job, progress = self.job, self._progress
        if self._stop is not StopRequest.CANCEL:  # when cancelled, the progress of the current item counts
            progress.drop_live()
        end = PassEnd(
            self._stop,
            error,
            is_complete=job.expanded and not progress.left,
            done=job.done,
            failed=job.failed,
            has_advanced=progress.has_advanced,
            attempts=job.attempts,
            tried=progress.tried,
        )
        conclusion = conclude(end, self._backoff)
        conclusion.apply(job, left=progress.left, retry_reason=progress.retry_reason, now=time.time())
        if conclusion.delay is not None:
            log.info("job %s (%s) will be tried again: %s", job.id, job.kind, conclusion.error)
