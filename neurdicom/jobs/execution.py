"""One job being run: over its items, writing down what became of them."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, Literal, cast

from neurdicom.coordination import Periodic
from neurdicom.errors import PeerFailed
from neurdicom.jobs.items import CHUNK, Chunk
from neurdicom.jobs.job import MAX_ERRORS, Job
from neurdicom.jobs.log import Log
from neurdicom.jobs.pace import Pace
from neurdicom.jobs.retry import Backoff
from neurdicom.jobs.runner import Item, Outcome, Runner
from neurdicom.jobs.store import JobStore

log = logging.getLogger(__name__)

#: Failures that may pass, one after the other, after which a node is left alone for a while.
_GIVE_UP_FOR_NOW = 3


class Execution:
    """Runs a job until it is over, has to wait, or is told to stop.

    Items that are over are not run again, whenever the process ends: at most those of the last second are.

    Parameters
    ----------
    store : JobStore
    runner : Runner
    job : Job
    backoff : Backoff
    saved : Callable[[Job], None]
        Is told the job's document whenever it was written down.
    """

    def __init__(
        self, store: JobStore, runner: Runner, job: Job, backoff: Backoff, saved: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self.job = job
        self._store = store
        self._runner = runner
        self._backoff = backoff
        self._saved = saved
        self._stop: Literal["cancel", "halt"] | None = None
        self._stopping = asyncio.Event()
        self._log = Log(store, job.id)
        self._pace: Pace | None = None
        self._rated = time.monotonic()
        self._chunk: Chunk | None = None
        self._live: Outcome | None = None
        self._counted = (0, 0, 0)
        self._left = 0
        self._progress = False
        self._dirty = False
        self._abandoned = False
        self._tried = 0
        self._retry_reason: str | None = None
        self._saving = asyncio.Lock()

    def cancel(self) -> None:
        """End the job after the item under way."""
        self._stop = "cancel"
        self._stopping.set()

    def halt(self) -> None:
        """Leave the job, after the item under way, to be gone on with later."""
        self._stop = self._stop or "halt"
        self._stopping.set()

    def abandon(self) -> None:
        """Write nothing any more: the job is another server's."""
        self._abandoned = True

    async def run(self) -> bool:
        """Run it; whether it is over. If not, the job's `retry_at` says when to go on.

        Raises `Unavailable` when the catalog fails.
        """
        if self.job.is_over:
            await self._forget_items()
            return True
        self.job.begin()
        await self._save_record()
        failure = f"the progress of job {self.job.id} could not be written"
        # Rests ten times as long as a write takes: a catalog that is slow has other things to do, too.
        saver = Periodic(self._save_rated, self._runner.save_seconds, failure, at_once=True, rest=10.0)
        try:
            async with saver:
                with self._runner.session(self.job):
                    error = await self._work()
        finally:
            await self._save()
        self._conclude(error)
        await self._save_record()
        if self.job.is_over:
            await self._forget_items()
        return self.job.is_over

    async def _forget_items(self) -> None:
        if not (self.job.keeps_items and self.job.expanded):
            await self._store.remove_items(self.job.id)

    async def _work(self) -> PeerFailed | None:
        try:
            if not self.job.expanded:
                await self._expand()
            await self._count()
            self._pace = Pace(time.monotonic(), self.job.done + self.job.failed)
            for number in range(self.job.chunks):
                if self._stop:
                    break
                self._chunk = await self._store.chunk(self.job.id, number)
                try:
                    await self._run_chunk(self._chunk)
                finally:
                    await self._save()
                    self._chunk = None
        except PeerFailed as error:
            return error
        return None

    # -- items -----------------------------------------------------------------------------------------------

    async def _expand(self) -> None:
        """Write the items down."""
        await self._store.remove_items(self.job.id)
        chunks, total = 0, 0
        self.job.told = {}
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
        await self._save_record()

    async def _count(self) -> None:
        """Take the counts from the items, which are the truth after a crash; reopen those that are to run again."""
        counted = [0, 0, 0]
        errors: list[dict[str, Any]] = []
        for number in range(self.job.chunks):
            chunk = await self._store.chunk(self.job.id, number)
            if self.job.reopened and chunk.reopen():
                await self._store.save_chunk(self.job.id, chunk)
            counted = [sum(pair) for pair in zip(counted, chunk.count(), strict=True)]
            errors += chunk.all_errors()[: MAX_ERRORS - len(errors)]
            self._left += len(chunk.pending())
        self._counted = (counted[0], counted[1], counted[2])
        self.job.errors = errors
        if self.job.keeps_items:
            await self._log.open(self.job.settled)
            self.job.settled = self._log.length
        self._show()
        if self.job.reopened:
            self.job.reopened = False
            self.job.total = sum(self._counted[:2]) + self._left
            await self._save_record()

    async def _run_chunk(self, chunk: Chunk) -> None:
        todo = chunk.pending()
        if not todo:
            return
        in_a_row = 0
        outcomes = cast(
            AsyncGenerator[Outcome, None],
            self._runner.run(self.job, [chunk.values[index] for index in todo], self._stopping),
        )
        async with aclosing(outcomes):
            async for outcome in outcomes:
                in_a_row = in_a_row + 1 if self._take(chunk, todo[outcome.item], outcome) else 0
                if in_a_row == _GIVE_UP_FOR_NOW:
                    raise PeerFailed(outcome.failures[0].reason)

    def _take(self, chunk: Chunk, index: int, outcome: Outcome) -> bool:
        """Note an outcome; whether it is a failure that may pass."""
        self._dirty = True
        self._progress = self._progress or outcome.done > 0
        if not outcome.final:
            self._live = outcome
            self._show()
            if self._left == 1 and outcome.total is not None:
                self.job.total = sum(self._counted[:2]) + outcome.total
            return False
        self._live = None
        if chunk.settle(index, outcome, attempts=self._backoff.attempts):
            self._left -= 1
            if self.job.keeps_items:
                self._log.append(chunk.number * CHUNK + index)
                self.job.settled = self._log.length
            done, failed, warned = self._counted
            self._counted = (done + outcome.done, failed + outcome.failed, warned + outcome.warned)
            if outcome.failed:
                self.job.errors += chunk.errors(index)[: MAX_ERRORS - len(self.job.errors)]
            warnings = [{"instance": one.instance, "reason": one.reason} for one in outcome.warnings]
            self.job.warnings += warnings[: MAX_ERRORS - len(self.job.warnings)]
        else:
            self._tried = max(self._tried, chunk.attempts[index])
            self._retry_reason = str(chunk.errors(index)[0]["reason"])
        self._show()
        return bool(outcome.failed and outcome.retryable and not outcome.done)

    def _show(self) -> None:
        """Give the job its counts, with those of an item that is under way."""
        live = self._live or Outcome(0)
        done, failed, warned = self._counted
        self.job.done, self.job.failed, self.job.warned = done + live.done, failed + live.failed, warned + live.warned
        if self._pace is not None:
            self._pace.note(time.monotonic(), self.job.done + self.job.failed)

    # -- how it goes on --------------------------------------------------------------------------------------

    def _conclude(self, error: PeerFailed | None) -> None:
        """Decide whether the job is over, and how."""
        job = self.job
        if self._stop == "cancel":
            job.end("cancelled")  # what came of an item under way counts
            return
        self._live = None
        self._show()
        if self._stop == "halt":
            job.wait()
        elif job.expanded and not self._left and error is None:
            job.total = job.done + job.failed
            job.end("failed" if job.failed and not job.done else "done")
        else:
            self._try_again(error or PeerFailed("some instances were not answered for"))

    def _try_again(self, error: PeerFailed) -> None:
        job = self.job
        job.attempts = 0 if self._progress else job.attempts + 1
        if error.retryable and job.attempts < self._backoff.attempts:
            delay = self._backoff.delay(max(1, job.attempts, self._tried), error.retry_after)
            job.wait(time.time() + delay, self._retry_reason or str(error))
            log.info("job %s (%s) is tried again later: %s", job.id, job.kind, error)
            return
        job.failed = max(job.failed + self._left, (job.total or 0) - job.done, 1)
        error_of_all = {"instance": None, "reason": str(error), "attempts": max(1, job.attempts)}
        job.errors = [error_of_all, *job.errors][:MAX_ERRORS]
        job.end("failed")

    # -- writing down ----------------------------------------------------------------------------------------

    async def _save_rated(self) -> None:
        now = time.monotonic()
        if self._pace is not None and now >= self._rated + 1.0:
            self._rated = now
            if (rate := self._pace.rate(now)) != self.job.rate:
                self.job.rate, self._dirty = rate, True
        await self._save()

    async def _save(self) -> None:
        """Write what changed: first the log, then the items, which the counts follow from, then the counts."""
        async with self._saving:
            if not self._dirty or self._abandoned:
                return
            self._dirty = False
            # All as it is at this moment: what is over by then must be in the log, whenever the process ends.
            items = None if self._chunk is None else self._chunk.as_document()
            record = self.job.as_document()
            try:
                await self._log.save()
                await self._store.save_progress(record, items)
            except BaseException:
                self._dirty = True
                raise
        self._saved(record)

    async def _save_record(self) -> None:
        record = self.job.as_document()
        await self._store.save_progress(record, None)
        self._saved(record)
