"""Results whose sources are moved and deleted at the same time."""

import asyncio
from pathlib import Path

from neurdicom.catalog.moves import MovedSeries
from neurdicom.coordination import RetryQueue
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_files import ResultFiles
from neurdicom.processing.result_records import ResultRecords
from neurdicom.processing.result_sources import SourceObserver
from neurdicom.processing.results_aside import ResultsAside
from neurdicom.testing.arrivals import arrival, place_of
from tests.support.archive import archive

TRASH = "trash/1"


def test_a_result_follows_its_source_to_the_trash_also_where_that_was_moved_just_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, new = stored.catalog, arrival(1)
            await catalog.store([new])
            place = place_of(new)
            result = KeptResult(
                id="r", tool_type="plugin", tool="p", name="P", version="1", digest="d", uses={}, params={},
                level="instance", entity="1.9.1", sources=[[place.instance, new.blob.sha256]], frame=1, is_whole=False,
                created="2026", seconds=0.5, tag="t", kind="json",
                patient=place.patient, study=place.study, series=place.series,
            )  # fmt: skip
            records = ResultRecords(catalog.documents)
            await records.put([result])
            retries = RetryQueue()
            files = ResultFiles(tmp_path / "results", retries, limit=1 << 20)
            observer = SourceObserver(catalog, records, files, asyncio.Lock(), retries)
            await catalog.delete(Level.STUDY, place.study, aside=TRASH)
            parents = place.series, place.study, place.patient
            await observer.on_moved([MovedSeries(place.series, *parents, parents)])
            assert await records.find("r") is not None, "whoever deletes the source sets it aside"
            await observer.on_set_aside(Level.STUDY, place.study, TRASH)
            assert await records.find("r") is None
            kept = [one async for page, _ in ResultsAside(catalog.documents).pages(TRASH) for one in page]
            assert [one.id for one in kept] == ["r"]

    asyncio.run(test())
