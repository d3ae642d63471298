"""The store of jobs and their items, in the catalog."""

import time
from collections.abc import Mapping
from typing import Any

from neurdicom.catalog.documents import DocumentQuery, Documents
from neurdicom.errors import NotFound
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, made_at

#: Kind of the documents of jobs.
JOBS = "job"

_ITEMS = "job_items"
_LOGS = "job_log"

#: Most entries in one document of a log.
LOG_PAGE = 2000

#: Seconds that records of jobs that are over are kept, and most records in all.
KEEP_SECONDS = 30 * 86400.0
KEEP_RECORDS = 10_000


class JobStore:
    """Store of the documents of jobs: `job` by id, `job_items` and `job_log` by id and number."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def save(self, job: Job) -> None:
        """Write a job's record."""
        await self._documents.put(JOBS, {job.id: job.to_document()})

    async def save_progress(self, record: Mapping[str, Any], items: Mapping[str, Any] | None) -> None:
        """Write the document of some of a job's items, then the job's own."""
        if items is not None:
            await self._documents.put(_ITEMS, {_key(record["id"], items["number"]): items})
        await self._documents.put(JOBS, {record["id"]: record})

    async def find(self, job: str) -> Job | None:
        """Return a job by id, or None."""
        document = await self._documents.get(JOBS, job)
        return None if document is None else Job.from_document(document)

    async def get(self, job: str) -> Job:
        """Return a job by id. Raises `NotFound`."""
        found = await self.find(job)
        if found is None:
            raise NotFound(f"there is no job {job!r}")
        return found

    async def log_page(self, job: str, number: int) -> list[int]:
        """Return a page of a job's log; empty where the log is shorter."""
        document = await self._documents.get(_LOGS, _key(job, number))
        return [] if document is None else list(document["items"])

    async def save_log_page(self, job: str, number: int, items: list[int]) -> None:
        """Write a page of a job's log.

        Parameters
        ----------
        job : str
            Id of the job.
        number : int
            Number of the page, from 0.
        items : list of int
            Its entries, at most `LOG_PAGE`.
        """
        await self._documents.put(_LOGS, {_key(job, number): {"items": items}})

    async def list(
        self, where: Mapping[str, str], *, limit: int, offset: int = 0, newest_first: bool = True
    ) -> tuple[list[Job], int]:
        """List a page of the jobs with given fields.

        Parameters
        ----------
        where : Mapping[str, str]
            Fields that must have these values.
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
        query = DocumentQuery(where, limit=limit, offset=offset, descending=newest_first)
        page = await self._documents.query(JOBS, query)
        return [Job.from_document(document) for document in page.items], page.total

    async def newest(self, where: Mapping[str, str]) -> Job | None:
        """Find the newest job whose fields have these values, without counting the others; None if there is none."""
        page = await self._documents.query(JOBS, DocumentQuery(where, limit=1, descending=True, counted=False))
        return Job.from_document(page.items[0]) if page.items else None

    async def remove(self, job: str) -> bool:
        """Delete a job with its items; return False if it is unknown."""
        await self.remove_items(job)
        return bool(await self._documents.delete(JOBS, job))

    async def save_chunk(self, job: str, chunk: Chunk) -> None:
        """Write a chunk of a job's items."""
        await self._documents.put(_ITEMS, {_key(job, chunk.number): chunk.to_document()})

    async def chunk(self, job: str, number: int) -> Chunk:
        """Return a chunk of a job's items. Raises `NotFound`."""
        document = await self._documents.get(_ITEMS, _key(job, number))
        if document is None:
            raise NotFound(f"the part {number} of the items of the job {job} is gone")
        return Chunk.from_document(document)

    async def remove_items(self, job: str) -> None:
        """Delete a job's items and its log, the last first, so that a second try after a failure finds all."""
        for kind in (_LOGS, _ITEMS):
            number = 0
            while await self._documents.get(kind, _key(job, number)) is not None:
                number += 1
            for each in reversed(range(number)):
                await self._documents.delete(kind, _key(job, each))


async def purge(store: JobStore) -> None:
    """Delete the oldest jobs that are over, past `KEEP_SECONDS` and `KEEP_RECORDS`."""
    kept = 0
    while True:
        page, total = await store.list({}, limit=100, offset=kept, newest_first=False)
        for job in page:
            too_old = time.time() - made_at(job.id) > KEEP_SECONDS
            if job.is_over and (too_old or total > KEEP_RECORDS):
                await store.remove(job.id)
                total -= 1
            elif not too_old and total <= KEEP_RECORDS:
                return
            else:
                kept += 1
        if not page:
            return


def _key(job: str, number: int) -> str:
    return f"{job}/{number:06}"
