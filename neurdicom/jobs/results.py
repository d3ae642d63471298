"""Results of a job's items, read from the catalog for the API."""

from collections.abc import Mapping
from typing import Any

from neurdicom.jobs.items import CHUNK, Chunk
from neurdicom.jobs.job import Job
from neurdicom.jobs.runner import Runner
from neurdicom.jobs.store import LOG_PAGE, JobStore


class ResultReader:
    """Reader of the items of jobs that keep them, for the API."""

    def __init__(self, store: JobStore, runners: Mapping[str, Runner]) -> None:
        self._store = store
        self._runners = runners

    async def page(
        self, job: str, *, limit: int, offset: int = 0, state: str | None = None
    ) -> tuple[list[dict[str, Any]], int]:
        """List a page of a job's items in their order. Raises `NotFound` where there is no such job.

        Parameters
        ----------
        job : str
            Id of the job; one that keeps no items has none.
        limit, offset : int
            Size and start of the page.
        state : {"pending", "done", "failed"}, optional
            Only items in this state.

        Returns
        -------
        items : list of dict
            The page.
        total : int
            Number of all items, or of those in the state.
        """
        found = await self._store.get(job)
        if not (found.keeps_items and found.expanded):
            return [], 0
        total = found.total or 0
        if state is None:
            return await self._slice(found, offset, limit), total
        counts = {"done": found.done, "failed": found.failed, "pending": total - found.done - found.failed}
        return await self._of_state(found, state, offset, limit), counts[state]

    async def _slice(self, job: Job, offset: int, limit: int) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        for number in range(offset // CHUNK, min(job.chunks, (offset + limit - 1) // CHUNK + 1)):
            chunk = await self._store.chunk(job.id, number)
            first = max(0, offset - number * CHUNK)
            last = min(len(chunk.values), offset + limit - number * CHUNK)
            described += [self.describe(job, chunk, index) for index in range(first, last)]
        return described

    async def _of_state(self, job: Job, state: str, offset: int, limit: int) -> list[dict[str, Any]]:
        described: list[dict[str, Any]] = []
        for number in range(job.chunks):
            chunk = await self._store.chunk(job.id, number)
            found = [index for index in range(len(chunk.values)) if chunk.state(index) == state]
            described += [self.describe(job, chunk, index) for index in found[offset : offset + limit - len(described)]]
            offset = max(0, offset - len(found))
            if len(described) == limit:
                break
        return described

    async def finished(self, job: Job, start: int, end: int) -> list[tuple[int, dict[str, Any]]]:
        """List the items in a range of a job's log.

        An item that is just being run again is left out: a later entry has it.

        Parameters
        ----------
        job : Job
            The job.
        start, end : int
            Range of entries, the end excluded.

        Returns
        -------
        list of (int, dict)
            Number of the next entry, and the item.
        """
        numbers: list[int] = []
        for page in range(start // LOG_PAGE, (end - 1) // LOG_PAGE + 1):
            entries = await self._store.log_page(job.id, page)
            numbers += entries[max(0, start - page * LOG_PAGE) : end - page * LOG_PAGE]
        chunks = {number: await self._store.chunk(job.id, number) for number in {each // CHUNK for each in numbers}}
        return [
            (position, self.describe(job, chunks[number // CHUNK], number % CHUNK))
            for position, number in enumerate(numbers, start + 1)
            if chunks[number // CHUNK].state(number % CHUNK) != "pending"
        ]

    def describe(self, job: Job, chunk: Chunk, index: int) -> dict[str, Any]:
        """Describe one item for the API: its state, and its result or its error.

        Parameters
        ----------
        job : Job
            The job.
        chunk : Chunk
            The chunk of the item.
        index : int
            Index of the item in it.
        """
        runner = self._runners.get(job.kind)
        value = chunk.values[index]
        state = chunk.state(index)
        error: dict[str, Any] | None = None
        if index in chunk.failures:
            _, reason, *code = chunk.failures[index][0]
            error = {"code": code[0] if code and code[0] else "error", "detail": reason}
            error["attempts"] = chunk.attempts.get(index, 1)
        result = chunk.results.get(index) if state == "done" else None
        what = {"item": value} if runner is None else runner.describe(value, result)
        return {"number": chunk.number * CHUNK + index, **what, "state": state, "error": error}
