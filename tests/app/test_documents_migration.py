"""Documents that earlier versions wrote, with the UIDs of entities: they name these by their keys afterwards."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from neurdicom.app.documents_migration import migrate_documents
from neurdicom.app.migration import KIND as MIGRATION
from neurdicom.catalog.documents import DocumentQuery, IndexedDocument
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.catalog.terms import TermCondition
from neurdicom.jobs.items import Chunk
from neurdicom.jobs.job import Job, new_id
from neurdicom.jobs.states import JobState
from neurdicom.jobs.store import JobStore
from neurdicom.processing.result import KeptResult
from neurdicom.rules.growing import GrowingSeries
from tests.support.api import install
from tests.support.archive import ArchiveSite, archive
from tests.support.catalogs import opened, write_version_3
from tests.support.colliding import CollidingInstance, Collision, collision, instance
from tests.support.packages import package
from tests.support.server import Server

GONE = "1.2.3.4.5"


def sha256(one: CollidingInstance) -> str:
    return hashlib.sha256(one.file).hexdigest()


def result(id: str, *sources: CollidingInstance, **fields: Any) -> KeptResult:
    """The record of a result as it was before."""
    first = sources[0]
    own: dict[str, Any] = {
        "level": "instance",
        "entity": first.uid("instance"),
        "sources": [[one.uid("instance"), sha256(one)] for one in sources],
        "patient": first.patient,
        "study": first.uid("study"),
        "series": first.uid("series"),
    } | fields
    return KeptResult(
        id=id, tool_type="plugin", tool="p", name="P", version="1", digest="d" * 64, uses={}, params={}, frame=1,
        is_whole=False, created=f"2026-01-0{len(id)}", seconds=0.5, tag="t", kind="json", value={"v": 1}, value_size=7,
        **own,
    )  # fmt: skip


async def put_results(site: ArchiveSite, *records: KeptResult) -> None:
    documents = {one.id: IndexedDocument(one.to_document(), one.terms()) for one in records}
    await site.catalog.documents.put("result", documents)


async def get_result(site: ArchiveSite, id: str) -> KeptResult:
    document = await site.catalog.documents.get("result", id)
    assert document is not None
    return KeptResult.from_document(document)


async def found(site: ArchiveSite, name: str, value: str) -> list[str]:
    """Ids of the results that have a term, in the order of their creation."""
    query = DocumentQuery({}, [TermCondition(name, "=", (value,))], "creation")
    return [each["id"] for each in (await site.catalog.documents.query("result", query)).items]


@asynccontextmanager
async def stored(folder: Path, *files: CollidingInstance) -> AsyncIterator[ArchiveSite]:
    async with archive(folder) as site:
        for one in files:
            assert (await site.add(one.file)).status == "stored"
        yield site


def run(folder: Path, test: Callable[[ArchiveSite], Awaitable[None]], *files: CollidingInstance) -> None:
    async def go() -> None:
        async with stored(folder, *files) as site:
            await test(site)

    asyncio.run(go())


def check_keys(record: KeptResult, *sources: CollidingInstance) -> None:
    first = sources[0]
    assert [key for key, _ in record.sources] == [one.key("instance") for one in sources]
    assert (record.patient, record.study, record.series) == (first.patient, first.key("study"), first.key("series"))
    assert record.entity == first.key(record.level)


def test_results_are_of_the_file_that_they_were_computed_from(tmp_path: Path) -> None:
    made, derived = collision("PatientID"), instance()
    plain = instance()
    slices = [instance(StudyInstanceUID=plain.uid("study"), SeriesInstanceUID=plain.uid("series"),
                       PatientID=plain.dataset.PatientID) for _ in range(2)]  # fmt: skip
    place = {name: derived.uid(name) for name in ("instance", "series", "study")}
    of = {
        "a": result("a", made.first),
        "bb": result("bb", made.second, stored=[place], made=[derived.uid("instance"), GONE]),
        "ccc": result("ccc", *slices, level="series", entity=slices[0].uid("series")),
    }
    sources = {"a": [made.first], "bb": [made.second], "ccc": slices}

    async def test(site: ArchiveSite) -> None:
        await put_results(site, *of.values())
        counts: list[int] = []
        assert await migrate_documents(site.catalog, counts.append) == []
        assert counts[-1] == 3
        for id, expected in sources.items():
            check_keys(await get_result(site, id), *expected)
        second = await get_result(site, "bb")
        assert second.stored == [{name: derived.key(name) for name in place}]
        assert second.made == [derived.key("instance"), GONE]
        assert await found(site, "instance", made.first.key("instance")) == ["a"]
        assert await found(site, "study", made.second.key("study")) == ["bb"]
        assert await found(site, "stored", derived.key("series")) == ["bb"]
        assert await found(site, "kind", "json") == ["a", "bb", "ccc"], "the order of creation stays"
        assert await found(site, "instance", made.first.uid("instance")) == []
        before = await site.catalog.documents.query("result")
        assert await migrate_documents(site.catalog) == []
        assert await site.catalog.documents.query("result") == before

    run(tmp_path, test, *made.both, derived, plain, *slices)


def test_what_can_not_be_told_is_of_the_earliest_and_named(tmp_path: Path) -> None:
    made = collision("PatientID")
    lost = result("a", made.first, sources=[[made.first.uid("instance"), "0" * 64]])

    async def test(site: ArchiveSite) -> None:
        await put_results(site, lost)
        (finding,) = await migrate_documents(site.catalog)
        assert made.first.uid("instance") in finding
        assert made.first.key("instance") in finding
        assert "2 times" in finding
        check_keys(await get_result(site, "a"), made.first)

    run(tmp_path, test, *made.both)


def test_what_is_gone_stays_as_it_is(tmp_path: Path) -> None:
    there, gone = instance(), instance()
    records = result("a", gone), result("bb", there, gone)

    async def test(site: ArchiveSite) -> None:
        await put_results(site, *records)
        assert await migrate_documents(site.catalog) == []
        assert await get_result(site, "a") == records[0]
        second = await get_result(site, "bb")
        assert [key for key, _ in second.sources] == [there.key("instance"), gone.uid("instance")]
        assert await migrate_documents(site.catalog) == []

    run(tmp_path, test, there)


def job(id: str, kind: str, request: dict[str, Any], **fields: Any) -> Job:
    return Job(id=id, kind=kind, user="u", user_id="1", request=request, created="2026-01-01", **fields)


def items_of(made: Collision, other: CollidingInstance) -> Chunk:
    """Items of a processing job as they were before: one is done, one failed, one is of a whole series, one gone."""
    first = {"series": made.first.uid("series"), "instance": made.first.uid("instance"), "frame": None}
    failed = {"series": other.uid("series"), "instance": other.uid("instance"), "frame": 2}
    series = {"series": other.uid("series"), "instance": None, "frame": None}
    chunk = Chunk(0, [first, failed, series, first | {"series": GONE, "instance": GONE}], list("ooop"))
    chunk.results = {0: {"result": "a", "stored": [other.uid("instance")], "cached": False}}
    chunk.failures = {1: [[other.uid("instance"), "bad", "plugin_failed"]], 2: [[None, "bad", ""]]}
    return chunk


def test_jobs_and_their_items(tmp_path: Path) -> None:
    made, other = collision("PatientID"), instance()
    chunk = items_of(made, other)
    errors = [{"instance": uid, "reason": "bad", "attempts": 1} for uid in (other.uid("instance"), None, GONE)]
    jobs = [
        job("1", "process", {"plugin": "p", "studies": [made.first.uid("study"), other.uid("study")], "params": {}},
            chunks=1, expanded=True, keeps_items=True, errors=errors),
        job("2", "send", {"node": "n", "patients": [other.patient], "instances": [other.uid("instance")]}, chunks=1),
        job("3", "process", {"plugin": "p", "level": "series", "filters": {"modality": "CT"}}),
        job("4", "retrieve", {"level": "study", "ids": [{"StudyInstanceUID": other.uid("study")}]}, errors=errors),
    ]  # fmt: skip

    async def test(site: ArchiveSite) -> None:
        store = JobStore(site.catalog.documents)
        for each in jobs:
            await store.save(each)
        await store.save_chunk("1", chunk)
        await store.save_chunk("2", Chunk(0, [other.uid("instance"), GONE]))
        (finding, *more) = await migrate_documents(site.catalog)
        assert len(more) == 1, "the study, and the instance"
        assert made.first.uid("study") in f"{finding} {more[0]}"
        after = [await store.get(each.id) for each in jobs]
        assert after[0].request["studies"] == [made.first.key("study"), other.key("study")]
        assert [each["instance"] for each in after[0].errors] == [other.key("instance"), None, GONE]
        assert after[1].request == jobs[1].request | {"instances": [other.key("instance")]}
        assert after[2:] == jobs[2:]
        items = await store.chunk("1", 0)
        place = {"series": other.key("series"), "instance": other.key("instance")}
        assert items.values == [
            {"series": made.first.key("series"), "instance": made.first.key("instance"), "frame": None},
            place | {"frame": 2},
            place | {"instance": None, "frame": None},
            {"series": GONE, "instance": GONE, "frame": None},
        ]
        assert items.results == {0: {"result": "a", "stored": [other.key("instance")], "cached": False}}
        assert items.failures == {1: [[other.key("instance"), "bad", "plugin_failed"]], 2: [[None, "bad", ""]]}
        assert items.states == list("ooop")
        assert (await store.chunk("2", 0)).values == [other.key("instance"), GONE]
        assert await migrate_documents(site.catalog) == []

    run(tmp_path, test, *made.both, other)


def test_growing_series_and_runs(tmp_path: Path) -> None:
    made, other = collision("PatientID"), instance()
    growing = [GrowingSeries(one.uid("series"), "epoch", "here", 1.5) for one in (made.first, other)]
    runs = [{"series": uid, "time": "2026-01-01", "job": None, "error": "bad"} for uid in (other.uid("series"), GONE)]

    async def test(site: ArchiveSite) -> None:
        documents = site.catalog.documents
        await documents.put("growing_series", {one.series: IndexedDocument(one.to_document()) for one in growing})
        await documents.put("rule", {"r": {"id": "r"}, "s": {"id": "s"}})
        await documents.put("rule_runs", {"r": {"count": 7, "runs": runs}})
        (finding,) = await migrate_documents(site.catalog)
        assert made.first.uid("series") in finding
        found = {each["series"]: each for each in (await documents.query("growing_series")).items}
        assert found.keys() == {made.first.key("series"), other.key("series")}
        assert found[other.key("series")] == growing[1].to_document() | {"series": other.key("series")}
        assert await documents.get("growing_series", other.uid("series")) is None
        log = await documents.get("rule_runs", "r")
        assert log == {"count": 7, "runs": [runs[0] | {"series": other.key("series")}, runs[1]]}
        assert await migrate_documents(site.catalog) == []

    run(tmp_path, test, *made.both, other)


@pytest.mark.parametrize("count", [250])
def test_pages(tmp_path: Path, count: int) -> None:
    """More records than a page has are all brought along, and what was begun goes on where it stopped."""
    one = instance()
    records = [result(f"{number:06}", one) for number in range(count)]

    async def test(site: ArchiveSite) -> None:
        await put_results(site, *records)
        documents = site.catalog.documents

        class Interrupted(Exception):
            """The process ends."""

        put, calls = documents.put, 0

        async def put_once(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise Interrupted
            await put(*arguments)

        documents.put = put_once  # type: ignore[method-assign, assignment]
        with pytest.raises(Interrupted):
            await migrate_documents(site.catalog)
        documents.put = put  # type: ignore[method-assign]
        assert 0 < len(await found(site, "instance", one.key("instance"))) < count
        counts: list[int] = []
        await migrate_documents(site.catalog, counts.append)
        assert 0 < counts[-1] < count
        assert len(await found(site, "instance", one.key("instance"))) == count
        assert await found(site, "kind", "json") == [record.id for record in records]

    run(tmp_path, test, one)


def test_at_the_start_of_a_server(tmp_path: Path) -> None:
    """A data folder of version 0.1.0 with a study of two patients, of which the second had the later files' results.

    File 1 is the first patient's, 2 the second's; both lay in the first's study 1.2.1. See `VERSION_3`.
    """
    folder = tmp_path / "data"
    write_version_3(folder)
    with Server(folder) as server:
        install(server.client, package(plugin_guid="p"))
    of = {
        number: KeptResult(
            id=f"{number}" * 64, tool_type="plugin", tool="p", name="P", version="1", digest="d" * 64, uses={},
            params={}, level="instance", entity=f"1.9.{number}", sources=[[f"1.9.{number}", f"sha-{number}"]], frame=1,
            is_whole=False, created=f"2026-01-0{number}", seconds=0.5, tag="t", kind="json", value={"v": number},
            value_size=7, patient="p1", study="1.2.1", series="1.2.1.1" if number == 1 else "1.2.1.2",
        )
        for number in (1, 2)
    }  # fmt: skip
    old = new_id()
    items = Chunk(0, [{"series": "1.2.1.2", "instance": "1.9.2", "frame": None}], ["o"])

    async def put_documents() -> None:
        async with opened(lambda: SqliteCatalog(folder / "catalog.sqlite")) as catalog:
            documents = {one.id: IndexedDocument(one.to_document(), one.terms()) for one in of.values()}
            await catalog.documents.put("result", documents)
            await JobStore(catalog.documents).save(
                job(old, "process", {"plugin": "p", "series": ["1.2.1.2"], "params": {}}, chunks=1, expanded=True,
                    keeps_items=True, total=1, done=1, state=JobState.DONE)
            )  # fmt: skip
            await JobStore(catalog.documents).save_chunk(old, items)
            assert await catalog.documents.delete(MIGRATION, "documents") == 1

    asyncio.run(put_documents())
    with Server(folder) as server:
        studies = server.client.get("/api/studies", params={"study_instance_uid": "1.2.1"}).json()
        (first,), (second,) = ([each for each in studies if each["patient"] == p] for p in ("p1", "p2"))
        for number, study in ((1, first), (2, second)):
            (shown,) = server.client.get("/api/results", params={"study": study["key"]}).json()
            assert (shown["id"], shown["patient"], shown["study"]) == (of[number].id, study["patient"], study["id"])
            assert shown["instances"] == [f"1.9.{number}"]
        assert first["id"] != second["id"]
        shown_job = server.client.get(f"/api/jobs/{old}").json()
        assert shown_job["request"]["series"] == ["1.2.1.2"]
        (item,) = server.client.get(f"/api/jobs/{old}/results").json()
        assert (item["series"], item["instance"]) == ("1.2.1.2", "1.9.2")


def test_nothing(tmp_path: Path) -> None:
    async def test(site: ArchiveSite) -> None:
        assert await migrate_documents(site.catalog) == []
        assert await site.catalog.documents.get("result", generate_uid()) is None

    run(tmp_path, test)
