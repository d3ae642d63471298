"""Migration of jobs and their items that earlier versions wrote, which name entities by their UIDs."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from neurdicom.catalog.documents import DocumentQuery, Documents
from neurdicom.catalog.key_finder import KeyFinder
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job
from neurdicom.jobs.store import JOBS, JobStore

#: Kinds of jobs that name entities of this archive; others name what lies at a node.
_KINDS: Final = frozenset({"process", "send"})

#: Lists of ids in a request.
_LISTS: Final = {"studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}

_PAGE: Final = 100


async def migrate_jobs(documents: Documents, finder: KeyFinder) -> int:
    """Bring all jobs and their items to keys, one after the other; return how many documents were changed.

    Parameters
    ----------
    documents : Documents
        Has the jobs.
    finder : KeyFinder
        Finds the keys.
    """
    store = JobStore(documents)
    pages = DocumentQuery(after="", limit=_PAGE, counted=False)
    count = 0
    while found := (await documents.query(JOBS, pages)).items:
        pages = replace(pages, after=found[-1]["id"])
        for job in map(Job.from_document, found):
            if job.kind in _KINDS:
                for number in range(job.chunks):
                    count += await _migrate_chunk(store, job, number, finder)
                count += await _migrate_job(store, job, finder)
    return count


async def _migrate_job(store: JobStore, job: Job, finder: KeyFinder) -> bool:
    """Bring the record of a job to keys; return whether it was changed."""
    before = job.to_document()
    for name, level in _LISTS.items():
        if job.request.get(name):
            keys = await finder.keys(level, job.request[name])
            job.request = {**job.request, name: [keys.get(uid, uid) for uid in job.request[name]]}
    notes = [*job.errors, *job.warnings]
    instances = await _instances(finder, (note["instance"] for note in notes))
    job.errors, job.warnings = ([_renamed(note, instances) for note in each] for each in (job.errors, job.warnings))
    if job.to_document() == before:
        return False
    await store.save(job)
    return True


async def _migrate_chunk(store: JobStore, job: Job, number: int, finder: KeyFinder) -> bool:
    """Bring some items of a job to keys; return whether they were changed."""
    try:
        chunk = await store.chunk(job.id, number)
    except NotFound:  # a job that is over may have lost its items
        return False
    before = chunk.to_document()
    places = {uid: place for (uid, _), place in (await finder.places((uid, None) for uid in _named(chunk))).items()}
    instances = {uid: place.instance for uid, place in places.items()}
    whole = [one["series"] for one in chunk.values if isinstance(one, Mapping) and one.get("instance") is None]
    series = await finder.keys(Level.SERIES, whole)
    values: list[Any] = []
    for one in chunk.values:
        if not isinstance(one, Mapping):
            values.append(instances.get(one, one))
        elif (place := places.get(one["instance"] or "")) is not None:
            values.append({**one, "instance": place.instance, "series": place.series})
        else:
            values.append({**one, "series": series.get(one["series"], one["series"])})
    chunk.values = values
    chunk.failures = {
        index: [[None if uid is None else instances.get(uid, uid), *rest] for uid, *rest in each]
        for index, each in chunk.failures.items()
    }
    chunk.results = {
        index: {**each, "stored": [instances.get(uid, uid) for uid in each.get("stored", ())]}
        for index, each in chunk.results.items()
    }
    if chunk.to_document() == before:
        return False
    await store.save_chunk(job.id, chunk)
    return True


def _named(chunk: Chunk) -> list[str]:
    """List the instances that a chunk names."""
    values = [one["instance"] if isinstance(one, Mapping) else one for one in chunk.values]
    failed = [one[0] for each in chunk.failures.values() for one in each]
    stored = [uid for each in chunk.results.values() for uid in each.get("stored", ())]
    return [uid for uid in (*values, *failed, *stored) if uid]


async def _instances(finder: KeyFinder, uids: Iterable[str | None]) -> dict[str, str]:
    return await finder.keys(Level.INSTANCE, {uid for uid in uids if uid})


def _renamed(note: dict[str, Any], instances: Mapping[str, str]) -> dict[str, Any]:
    return {**note, "instance": instances.get(note["instance"], note["instance"])}
