"""Studies that jobs are to work on, which the quota deletes last."""

import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from neurdicom.archive.selection import MANY, Selection
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import StudyHolding
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import NeurdicomError
from neurdicom.jobs import Job, JobQueue
from neurdicom.jobs.states import JobState

#: Seconds for which the items of jobs are not read again.
_KEEP_SECONDS: Final = 10.0

#: Most series and instances that are kept in memory; where jobs have more, all studies count as used.
_MOST: Final = 200_000
_PAGE: Final = 100


class JobStudyUse:
    """Index of the studies that unfinished jobs are to work on.

    Parameters
    ----------
    catalog : Catalog
        Has the instances of studies.
    queue : JobQueue
        Has the jobs.
    left_out : collection of str
        Kinds of jobs that go on as well without a study.
    """

    def __init__(self, catalog: Catalog, queue: JobQueue, left_out: Collection[str] = ()) -> None:
        self._catalog = catalog
        self._store = queue.store
        self._left_out = left_out
        self._names: set[str] = set()
        self._selections: list[Selection] = []
        self._until = 0.0

    async def is_used(self, study: StudyHolding) -> bool:
        """Tell whether an unfinished job is to work on a study."""
        if time.monotonic() >= self._until:
            await self._read()
            self._until = time.monotonic() + _KEEP_SECONDS
        if len(self._names) > _MOST:
            return True
        if self._names:
            names = {study.study, uid_of(study.study)}
            for located in await self._catalog.locate_all(Level.STUDY, study.study):
                instance = located.location.instance
                names |= {located.location.series, instance, uid_of(instance)}
            if not names.isdisjoint(self._names):
                return True
        for selection in self._selections:
            if await self._selects(selection, study):
                return True
        return False

    async def _selects(self, selection: Selection, study: StudyHolding) -> bool:
        """Tell whether a selection names a study or anything in it."""
        for level, conditions in selection.queries():
            within = AnyOf("patient", (study.patient,)) if level is Level.PATIENT else AnyOf("study", (study.study,))
            if (await self._catalog.find(Query(level, (*conditions, within), limit=1, counted=False))).items:
                return True
        return False

    async def _read(self) -> None:
        """Read the selections and open items of all unfinished jobs."""
        self._names, self._selections = set(), []
        for state in (JobState.RUNNING, JobState.QUEUED):
            offset, total = 0, 1
            while offset < total:
                jobs, total = await self._store.list({"state": state.value}, limit=_PAGE, offset=offset)
                for job in jobs:
                    await self._add(job)
                offset += _PAGE

    async def _add(self, job: Job) -> None:
        if job.kind in self._left_out:
            return
        if not job.expanded:
            self._add_selection(job.request)
            return
        for number in range(job.chunks):
            if len(self._names) > _MOST:
                return
            try:
                chunk = await self._store.chunk(job.id, number)
            except NeurdicomError:  # the job has ended meanwhile
                return
            for index in chunk.pending():
                self._names.update(_names_in(chunk.values[index]))

    def _add_selection(self, request: Mapping[str, Any]) -> None:
        """Add the selection of a job that has not listed its items yet; requests to other servers have none."""
        if "filters" in request or any(request.get(name) for name in MANY):
            try:
                self._selections.append(Selection.from_document(request))
            except NeurdicomError:  # the job fails with it
                return


def _names_in(item: Any) -> list[str]:
    """List the names in an item of a job: keys, or UIDs to retrieve or to commit."""
    if isinstance(item, str):
        return item.split()
    ids = item.get("ids")
    if ids is not None:
        return [uid_of(ids["StudyInstanceUID"])] if "StudyInstanceUID" in ids else []
    # One name stands for all instances of a series, so that large jobs take little memory.
    return [name for name in (item.get("series") or item.get("instance"),) if name]
