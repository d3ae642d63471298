"""Results whose sources are moved, deleted or replaced, also where a server died meanwhile."""

import asyncio
from dataclasses import replace
from pathlib import Path

from neurdicom.catalog.moves import MovedSeries
from neurdicom.catalog.outcomes import StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.coordination import RetryQueue
from neurdicom.dicom.query.attributes import Level
from neurdicom.processing.result import KeptResult, Representation
from neurdicom.processing.result_files import ResultFiles
from neurdicom.processing.result_records import ResultRecords
from neurdicom.processing.result_sources import SourceObserver
from neurdicom.processing.results_aside import ResultsAside
from neurdicom.testing.arrivals import arrival, place_of
from tests.support.api import install, upload
from tests.support.archive import archive
from tests.support.files import dicom_file
from tests.support.packages import package
from tests.support.server import Server

TRASH = "trash/1"
PLUGIN = """
class Plugin:
    def process(self, ds=None, **parameters): return ds.pixel_array * 2.0
"""


def result_of(source: NewInstance) -> KeptResult:
    place = place_of(source)
    return KeptResult(
        id="r", tool_type="plugin", tool="p", name="P", version="1", digest="d", uses={}, params={},
        level="instance", entity="1.9.1", sources=[[place.instance, source.blob.sha256]], frame=1, is_whole=False,
        created="2026", seconds=0.5, tag="t", kind="json",
        patient=place.patient, study=place.study, series=place.series,
    )  # fmt: skip


def test_a_result_follows_its_source_to_the_trash_also_where_that_was_moved_just_before(tmp_path: Path) -> None:
    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, new = stored.catalog, arrival(1)
            await catalog.store([new])
            place = place_of(new)
            result = result_of(new)
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


def test_a_result_that_is_set_aside_twice_at_a_place_leaves_no_file(tmp_path: Path) -> None:
    """It was computed again, since its source was there again, and that was deleted before the first came back."""

    async def test() -> None:
        async with archive(tmp_path) as stored:
            catalog, new = stored.catalog, arrival(1)
            await catalog.store([new])
            place = place_of(new)
            records, retries = ResultRecords(catalog.documents), RetryQueue()
            files = ResultFiles(tmp_path / "results", retries, limit=1 << 20)
            await files.open()
            observer = SourceObserver(catalog, records, files, asyncio.Lock(), retries)
            await catalog.delete(Level.STUDY, place.study, aside=TRASH)
            for data in (b"first", b"again"):
                image = Representation(meta={"kind": "image"}, size=len(data), data=data)
                result = replace(result_of(new), kind="image", representations={"png": image})
                await records.put(await files.write_all([result], []))
                await observer.on_set_aside(Level.STUDY, place.study, TRASH)
            [path] = [path for path in (tmp_path / "results" / "objects").rglob("*") if path.is_file()]
            assert path.read_bytes() == b"again"
            await files.close()

    asyncio.run(test())


def test_results_of_a_version_that_a_killed_server_has_not_recorded(tmp_path: Path) -> None:
    """The replacement is committed; neither the version nor its results are in the trash before the next start."""
    first, second = dicom_file(1, ImageComments="first"), dicom_file(1, ImageComments="second")

    async def replace_it() -> None:
        """Store other bytes, as a server that died right after the transaction."""
        async with archive(tmp_path / "data", policy=StorePolicy(keep_versions=True)) as stored:
            assert (await stored.add(second)).status == "replaced"

    with Server(tmp_path / "data") as server:
        install(server.client, package(PLUGIN))
        id = upload(server.client, first)["id"]
        before = server.client.get(f"/api/instances/{id}/process/by_plugin/test.plugin")
        assert before.status_code == 200, before.text
        assert len(server.client.get("/api/results").json()) == 1  # writes those that wait
        server.kill()
    asyncio.run(replace_it())
    with Server(tmp_path / "data") as server:
        assert server.client.get("/api/results").json() == []
        _, version = server.client.get(f"/api/instances/{id}/versions").json()
        assert server.client.post(f"/api/instances/{id}/versions/{version['sha256']}/restore").status_code == 200
        again = server.client.get(f"/api/instances/{id}/process/by_plugin/test.plugin")
        assert (again.headers["X-Cache"], again.headers["X-Result-Id"]) == ("hit", before.headers["X-Result-Id"])
