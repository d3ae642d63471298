"""Studies count as used while an unfinished job names them, by ids, filters or UIDs."""

import asyncio
from typing import Any

import pytest

from neurdicom.catalog.records import StudyHolding
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.jobs import Job, JobQueue
from neurdicom.jobs.items import Chunk
from neurdicom.processing import study_use
from neurdicom.processing.study_use import JobStudyUse
from neurdicom.security.access import Principal
from neurdicom.testing.arrivals import arrival, place_of

FIRST = arrival(1)
OTHER = arrival(2, patient="p2", study="1.2.2", series="1.2.2.1", modality="MR")
PLACE = place_of(FIRST)
BY = Principal("1", "a@example.org", is_admin=False)


async def used(catalog: SqliteCatalog, queue: JobQueue) -> list[bool]:
    """Whether each of the two studies is used."""
    use = JobStudyUse(catalog, queue, left_out=("verify",))
    holdings = [StudyHolding(place_of(new).study, new.patient, new.blob.size, new.received) for new in (FIRST, OTHER)]
    return [await use.is_used(holding) for holding in holdings]


def of_job(tmp_path: Any, kind: str, request: dict[str, Any], *items: Any) -> list[bool]:
    """Whether the two studies are used while there is a job, of which the items are known if there are any."""

    async def go() -> list[bool]:
        catalog = SqliteCatalog(tmp_path / "catalog.sqlite")
        await catalog.open()
        try:
            await catalog.store([FIRST, OTHER])
            queue = JobQueue(catalog.documents, "here")
            assert await used(catalog, queue) == [False, False]
            job = await queue.submit(kind, request, by=BY)
            if items:
                await expand(queue, job, items)
            return await used(catalog, queue)
        finally:
            await catalog.close()

    return asyncio.run(go())


async def expand(queue: JobQueue, job: Job, items: Any) -> None:
    """Write the items of a job, after one of the other study that is over."""
    over = place_of(OTHER).instance
    await queue.store.save_chunk(job.id, Chunk(0, [over, *items], ["o", *"p" * len(items)]))
    job.chunks, job.expanded = 1, True
    await queue.store.save(job)


@pytest.mark.parametrize(
    "request_of_job",
    [
        {"studies": [PLACE.study]},
        {"series": [PLACE.series]},
        {"instances": [PLACE.instance]},
        {"patients": ["p1"]},
        {"level": "series", "filters": {"modality": "CT"}},
        {"level": "patients", "filters": {"patient_id": "P1"}},
    ],
)
def test_what_a_new_job_selects(tmp_path: Any, request_of_job: dict[str, Any]) -> None:
    assert of_job(tmp_path, "process", request_of_job) == [True, False]


@pytest.mark.parametrize(
    "item",
    [
        PLACE.instance,
        {"series": PLACE.series, "instance": PLACE.instance, "frame": 1},
        {"series": PLACE.series, "instance": None, "frame": None},
        {"level": Level.STUDY.value, "ids": {"StudyInstanceUID": FIRST.study}},
        f"1.2.840.10008.5.1.4.1.1.2 {FIRST.instance}\n1.2.840.10008.5.1.4.1.1.2 1.9.77",
    ],
)
def test_what_is_left_of_a_job(tmp_path: Any, item: Any) -> None:
    assert of_job(tmp_path, "process", {"studies": [place_of(OTHER).study]}, item) == [True, False]


def test_other_jobs(tmp_path: Any) -> None:
    assert of_job(tmp_path, "verify", {"studies": [PLACE.study]}) == [False, False]
    assert of_job(tmp_path / "retrieve", "retrieve", {"node": "x", "level": "study", "ids": []}) == [False, False]


def test_jobs_of_very_many_items_use_everything(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_use, "_MOST", 3)
    many = [f"1.9.{number}~00000000" for number in range(9)]
    assert of_job(tmp_path, "send", {"studies": []}, *many) == [True, True]
