"""A write to MongoDB that is cut short at any of its commands is finished by the next opening."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator

import pytest
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog, NewInstance
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_model import CatalogModel
from tests.support.mongodb_wire import wire

BEFORE = [
    arrival(1),
    arrival(2, series="1.2.1.2", modality="MR"),
    # The study is this patient's as soon as the first instance is not there any more.
    arrival(3, patient="p2", series="1.2.1.3", patient_name="ROE"),
    arrival(4, patient="p3", study="1.2.4", series="1.2.4.1"),
]
STORED = [
    arrival(5, study="1.2.5", series="1.2.5.1"),
    arrival(1, patient="p3", study="1.2.4", series="1.2.4.2", sha256="new", modality="US"),
    arrival(2, series="1.2.1.2", sha256="new", patient="p9"),
    arrival(4, study="1.2.4", series="1.2.4.1", sha256="new", patient="p9"),
]


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[str]:
    name = f"recovery_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


def reset(uri: str, database: str) -> None:
    with MongoClient(uri) as client:
        for name in client[database].list_collection_names():
            if name != "meta":
                client[database][name].delete_many({})


async def check(uri: str, database: str, known: list[NewInstance], renamed: bool) -> CatalogModel:
    """The catalog follows from the instances that are there; answers the model of these."""
    catalog = MongoCatalog(uri, database)
    await catalog.open()
    try:
        by_key = {new.blob.key: new for new in known}
        with MongoClient(uri) as client:
            instances = list(client[database]["instances"].find({}).sort("arrival", 1))
            headers = {one["_id"] for one in client[database]["headers"].find({}, {"_id": 1})}
            assert client[database]["journal"].count_documents({}) == 0
            edits = {(Level(one["level"]), one["entity"]) for one in client[database]["edits"].find({})}
        assert len(headers) == len(instances)
        model = CatalogModel()
        model.store([by_key[one["blob_key"]] for one in instances])
        for level, entity in edits:
            model.edit(level, entity, {"patient_name": "EDITED"} if renamed else {"modality": "SR"}, "u", "t")
        for level in Level:
            assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
        wanted = (AnyOf("patient_name", ("EDITED",)),)
        for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
            assert await catalog.find(Query(level, wanted)) == model.find(Query(level, wanted))
        used = {one["blob_key"] for one in instances}
        garbage = set(await catalog.garbage())
        assert not garbage & used
        lost = {new.blob.key for new in BEFORE} - used
        assert lost <= garbage, "a file that was acknowledged is in use, or on the list"
        return model
    finally:
        await catalog.close()


async def store(catalog: Catalog) -> None:
    await catalog.store(STORED)


async def delete(catalog: Catalog) -> None:
    await catalog.delete(Level.STUDY, "1.2.1")


async def delete_first(catalog: Catalog) -> None:
    await catalog.delete(Level.INSTANCE, "1.9.1")


async def rename(catalog: Catalog) -> None:
    await catalog.edit(Level.PATIENT, "p1", {"patient_name": "EDITED"}, user="u", time="t")


async def clear(catalog: Catalog) -> None:
    await catalog.clear()


# A store of this kind takes some hundred commands; each is reached with a step of 1.
@pytest.mark.parametrize(("verb", "step"), [(store, 7), (delete, 2), (delete_first, 3), (rename, 2), (clear, 1)])
def test_cut_short(mongodb_uri: str, database: str, verb: Callable[[Catalog], Awaitable[None]], step: int) -> None:
    async def go() -> int:
        allowed = 0
        while True:
            reset(mongodb_uri, database)
            async with wire(mongodb_uri) as relay:
                catalog = MongoCatalog(relay.uri, database, transactions=False)
                await catalog.open()
                await catalog.store(BEFORE)
                relay.left = relay.passed + allowed
                try:
                    await verb(catalog)
                except Unavailable:
                    assert relay.cut
                finally:
                    await catalog.close()
                whole = not relay.cut
            if verb is clear:  # the files are in use still, though no instance tells of them
                if whole:
                    return allowed
            else:
                model = await check(mongodb_uri, database, [*BEFORE, *STORED], renamed=True)
                if whole:
                    if verb is store:
                        kept = {new.instance: new for new in (*BEFORE, *STORED)}
                        assert model.instances == kept
                    return allowed
            allowed += step

    assert asyncio.run(go()) > 1


def test_the_next_write_finishes_one_that_failed(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        async with wire(mongodb_uri) as relay:
            catalog = MongoCatalog(relay.uri, database, transactions=False)
            await catalog.open()
            await catalog.store(BEFORE)
            relay.left = relay.passed + 7
            with pytest.raises(Unavailable):
                await catalog.store(STORED)
            relay.left = None
            outcomes = await catalog.store(STORED)
            assert {outcome.status for outcome in outcomes} <= {"stored", "replaced", "duplicate"}
            await catalog.close()
        await check(mongodb_uri, database, [*BEFORE, *STORED], renamed=True)

    asyncio.run(go())


def test_a_cancelled_write_is_finished(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, database, transactions=False)
        await catalog.open()
        await catalog.store(BEFORE)
        task = asyncio.create_task(catalog.store(STORED))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await catalog.close()
        await check(mongodb_uri, database, [*BEFORE, *STORED], renamed=True)

    asyncio.run(go())


def test_a_server_that_is_not_there_is_unavailable() -> None:
    async def go() -> None:
        for uri in ("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=100", "mongodb://"):
            catalog = MongoCatalog(uri)
            with pytest.raises(Unavailable):
                await catalog.open()
            await catalog.close()

    asyncio.run(go())


def test_an_attribute_that_became_filterable_is_found(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.store(BEFORE)
        await catalog.close()
        gone = {"by_patient_name": "", "keys_patient_name": "", "by_instance_number": ""}
        with MongoClient(mongodb_uri) as client:  # as a version that did not have them left the database
            for name in ("patients", "studies", "series", "instances"):
                client[database][name].update_many({}, {"$unset": gone})
            client[database]["meta"].update_one({"_id": "schema"}, {"$set": {"fields": ["by_modality"]}})
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.close()
        await check(mongodb_uri, database, BEFORE, renamed=True)
        await catalog.open()
        for level in Level:
            page = await catalog.find(Query(level, (AnyOf("patient_name", ("doe^john",)),)))
            assert page.total == {Level.PATIENT: 2, Level.STUDY: 2, Level.SERIES: 4, Level.INSTANCE: 4}[level]
        assert (await catalog.find(Query(Level.INSTANCE, (AnyOf("instance_number", (3,)),)))).total == 1
        await catalog.close()

    asyncio.run(go())
