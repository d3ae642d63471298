"""A write to MongoDB that is cut short at any of its commands is finished by the next opening."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

import pytest
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query, Value
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_model import CatalogModel
from tests.support.mongodb_wire import wire

BEFORE = [
    arrival(1),
    arrival(2, series="1.2.1.2", modality="MR"),
    # The same study of another patient, with a series and an instance of the same UIDs.
    arrival(3, patient="p2", series="1.2.1.2", patient_name="ROE", instance="1.9.2"),
    arrival(4, patient="p3", study="1.2.4", series="1.2.4.1"),
    arrival_of(5, study="1.2.6", series="1.2.6.1"),
    arrival_of(6, study="1.2.6", series="1.2.6.2", study_date="20230101", modality="US"),
]
STORED = [
    arrival(7, study="1.2.5", series="1.2.5.1"),
    arrival(1, sha256="new", modality="US", patient_name="DOE^JACK"),
    arrival(2, series="1.2.1.2", sha256="new"),
    arrival(4, patient="p3", study="1.2.4", series="1.2.4.1", sha256="new", study_description="LATER"),
]
#: The study of p3 is another patient's, too; then a series and an instance of it are in other places.
CONFLICTS = [
    arrival(8, patient="p2", study="1.2.4", series="1.2.4.1", instance="1.9.4"),
    arrival(9, patient="p4", study="1.2.8", series="1.2.4.1", instance="1.9.9"),
    arrival(10, patient="p4", study="1.2.8", series="1.2.8.1", instance="1.9.1"),
]
#: Two files that each say more about the patient of a study.
TAKEOVERS = [
    arrival_of(11, "A", study="1.2.6", series="1.2.6.1"),
    arrival_of(12, "A", "X", study="1.2.6", series="1.2.6.3", modality="CR"),
]
ALL = [*BEFORE, *STORED, *CONFLICTS, *TAKEOVERS]
EditedEntities = list[tuple[Level, int, dict[str, Value]]]
#: What is edited before, by level and the number of an instance in it.
EDITS: EditedEntities = [
    (Level.STUDY, 5, {"study_description": "EDITED"}),
    (Level.SERIES, 6, {"series_description": "EDITED"}),
    (Level.INSTANCE, 6, {"image_comments": "EDITED"}),
    (Level.SERIES, 3, {"modality": "SR"}),
]
RESTORED = "RESTORED"
Verb = Callable[[Catalog], Awaitable[None]]


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


def key_of_number(level: Level, number: int) -> str:
    return next(place_of(new) for new in ALL if new.blob.key.startswith(f"blob-{number}-")).key(level)


async def prepare(catalog: Catalog) -> None:
    await catalog.store(BEFORE)
    for level, number, changes in EDITS:
        assert await catalog.edit(level, key_of_number(level, number), changes, user="u", time="t")


def model_of(used: set[str], name: str | None, verb: Verb | None, edits: EditedEntities) -> CatalogModel:
    """The model of what a write left: stored instances one by one, a deletion whole, an edit whole."""
    model = CatalogModel()
    model.store(BEFORE)
    for level, number, changes in edits:
        model.edit(level, key_of_number(level, number), changes, "u", "u" if RESTORED in changes.values() else "t")
    model.store([new for new in (*STORED, *CONFLICTS, *TAKEOVERS) if new.blob.key in used])
    if verb in DELETED and not {new.blob.key for new in BEFORE} <= used:
        model.delete(*DELETED[verb])
    if name is not None:
        model.edit(Level.PATIENT, "p1", {"patient_name": name}, "u", "t")
    return model


async def edits_left(catalog: Catalog, verb: Verb | None) -> EditedEntities:
    """What undoing left, or restoring brought back: of each entity all or nothing."""
    if verb not in (undo, restore_edits):
        return EDITS
    found: EditedEntities = []
    for level, number, _ in EDITS:
        history = await catalog.history(level, key_of_number(level, number))
        found += [(level, number, {edit.field: edit.value}) for edit in history]
    return found


async def check(uri: str, database: str, verb: Verb | None = None) -> set[str]:
    """The catalog follows from the instances that are there; returns the keys of their blobs."""
    catalog = MongoCatalog(uri, database)
    await catalog.open()
    try:
        with MongoClient(uri) as client:
            instances = list(client[database]["instances"].find({}))
            headers = {one["_id"] for one in client[database]["headers"].find({}, {"_id": 1})}
            origins = {one["_id"] for one in client[database]["origins"].find({}, {"_id": 1})}
            assert client[database]["journal"].count_documents({}) == 0
            renamed = client[database]["edits"].count_documents({"_id": "patient:p1"})
        assert len(headers) == len(instances)
        assert origins == {one["origin"] for one in instances}
        used = {one["blob_key"] for one in instances}
        model = model_of(used, "EDITED" if renamed else None, verb, await edits_left(catalog, verb))
        assert used == {new.blob.key for new in model.instances.values()}
        held = sorted(await catalog.holdings(100), key=lambda one: (one.received, one.study))
        assert (held, await catalog.stored_bytes()) == (model.holdings(), sum(one.bytes for one in held))
        for level in Level:
            assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
            for name in ("EDITED", "DOE^JOHN", "ROE"):
                query = Query(level, (AnyOf("patient_name", (name,)),))
                assert await catalog.find(query) == model.find(query)
            for number in range(1, 13):
                key = key_of_number(level, number)
                assert await catalog.keys(level, key) == model.keys(level, key)
                assert await catalog.locate_all(level, key) == model.locate_all(level, key)
        assert await catalog.conflicts() == model.conflicts()
        garbage = set(await catalog.garbage())
        assert not garbage & used
        lost = {new.blob.key for new in BEFORE} - used
        assert lost <= garbage, "a file that was acknowledged is in use, or on the list"
        return used
    finally:
        await catalog.close()


async def store(catalog: Catalog) -> None:
    await catalog.store(STORED)


async def make_conflicts(catalog: Catalog) -> None:
    await catalog.store(CONFLICTS)


async def take_over(catalog: Catalog) -> None:
    await catalog.store(TAKEOVERS)


async def delete(catalog: Catalog) -> None:
    await catalog.delete(*DELETED[delete])


async def delete_one_of_two(catalog: Catalog) -> None:
    await catalog.delete(*DELETED[delete_one_of_two])


async def delete_first(catalog: Catalog) -> None:
    await catalog.delete(*DELETED[delete_first])


async def delete_patient(catalog: Catalog) -> None:
    await catalog.delete(*DELETED[delete_patient])


async def rename(catalog: Catalog) -> None:
    await catalog.edit(Level.PATIENT, "p1", {"patient_name": "EDITED"}, user="u", time="t")


async def undo(catalog: Catalog) -> None:
    for level, number, _ in EDITS:
        key = key_of_number(level, number)
        for edit in await catalog.history(level, key):
            assert await catalog.undo(level, key, edit.id)


async def restore_edits(catalog: Catalog) -> None:
    kept = [edit for level, number, _ in EDITS for edit in await catalog.history(level, key_of_number(level, number))]
    await catalog.restore_edits([replace(edit, id=f"restored-{edit.id}", value=RESTORED, time="u") for edit in kept])


async def clear(catalog: Catalog) -> None:
    await catalog.clear()


DELETED: dict[Verb, tuple[Level, str]] = {
    delete: (Level.STUDY, "1.2.6"),
    delete_one_of_two: (Level.INSTANCE, key_of_number(Level.INSTANCE, 3)),
    delete_first: (Level.INSTANCE, "1.9.1"),
    delete_patient: (Level.PATIENT, "p1"),
}
STORES: dict[Verb, list[NewInstance]] = {store: STORED, make_conflicts: CONFLICTS, take_over: TAKEOVERS}


# A store of this kind takes some hundred commands; each is reached with a step of 1.
@pytest.mark.parametrize(
    ("verb", "step"),
    [
        (store, 11),
        (make_conflicts, 7),
        (take_over, 7),
        (delete, 5),
        (delete_one_of_two, 5),
        (delete_first, 5),
        (delete_patient, 5),
        (rename, 2),
        (undo, 3),
        (restore_edits, 3),
        (clear, 1),
    ],
)
def test_cut_short(mongodb_uri: str, database: str, verb: Verb, step: int) -> None:
    async def go() -> int:
        allowed = 0
        while True:
            reset(mongodb_uri, database)
            async with wire(mongodb_uri) as relay:
                catalog = MongoCatalog(relay.uri, database, transactions=False)
                await catalog.open()
                await prepare(catalog)
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
                used = await check(mongodb_uri, database, verb)
                if whole:
                    assert {new.blob.key for new in STORES.get(verb, ())} <= used
                    return allowed
            allowed += step

    assert asyncio.run(go()) > 1


def test_the_next_write_finishes_one_that_failed(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        async with wire(mongodb_uri) as relay:
            catalog = MongoCatalog(relay.uri, database, transactions=False)
            await catalog.open()
            await prepare(catalog)
            relay.left = relay.passed + 11
            with pytest.raises(Unavailable):
                await catalog.store(STORED)
            relay.left = None
            outcomes = await catalog.store(STORED)
            assert {outcome.status for outcome in outcomes} <= {"stored", "replaced", "duplicate"}
            await catalog.close()
        await check(mongodb_uri, database)

    asyncio.run(go())


def test_a_cancelled_write_is_finished(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, database, transactions=False)
        await catalog.open()
        await prepare(catalog)
        task = asyncio.create_task(catalog.store(STORED))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await catalog.close()
        await check(mongodb_uri, database)

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
        await prepare(catalog)
        counts = {}
        for level in Level:
            counts[level] = (await catalog.find(Query(level, (AnyOf("patient_name", ("doe^john",)),)))).total
        await catalog.close()
        gone = {"by_patient_name": "", "keys_patient_name": "", "by_instance_number": ""}
        with MongoClient(mongodb_uri) as client:  # as a version that did not have them left the database
            for name in ("patients", "studies", "series", "instances"):
                client[database][name].update_many({}, {"$unset": gone})
            client[database]["meta"].update_one({"_id": "schema"}, {"$set": {"fields": ["by_modality"]}})
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.close()
        await check(mongodb_uri, database)
        await catalog.open()
        for level in Level:
            page = await catalog.find(Query(level, (AnyOf("patient_name", ("doe^john",)),)))
            assert page.total == counts[level] > 1
        assert (await catalog.find(Query(Level.INSTANCE, (AnyOf("instance_number", (3,)),)))).total == 1
        await catalog.close()

    asyncio.run(go())
