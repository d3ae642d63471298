"""A database that version 0.1.0 left is brought along whole, also when it is killed at any command.

`schema_1.json` has its documents: what it made of `FILES`, stored one by one, and `EDITS`. Of the files 4 and 5, which
have one SOP Instance UID, it kept the later one.
"""

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from bson import json_util
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog, migration, schema
from neurdicom.catalog.records import MigrationProgress
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Query
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival, arrival_of, place_of
from neurdicom.testing.catalog_model import CatalogModel
from tests.support.mongodb_wire import wire

FILES = [
    arrival(1, study_description="HEAD"),
    # Another patient's study of the same UID, of which the first patient had both series.
    arrival(2, patient="p2", patient_name="ROE^JANE", series="1.2.1.2", modality="MR", study_description="KNEE"),
    # A series of the same UID in another study of another patient.
    arrival(3, patient="p2", patient_name="ROE^JANE", study="1.2.3", modality="US"),
    arrival(4, instance="1.9.90"),
    arrival(5, patient="p3", study="1.2.5", series="1.2.5.1", instance="1.9.90", patient_name="LAST"),
    # A study whose files say more and more about its patient.
    arrival_of(6, study="1.2.6", series="1.2.6.1", patient_name="UNNAMED"),
    arrival_of(7, "A", study="1.2.6", series="1.2.6.2", modality="CR"),
    arrival_of(8, "A", "X", study="1.2.6", series="1.2.6.1", patient_birth_date="19500101"),
    arrival(9, patient="p1", study="1.2.9", series="1.2.9.1", study_date="20200101", patient_name="MAIDEN"),
    arrival(10, study_description="HEAD AGAIN", series_description="axial"),
]
# The headers of that version's tests.
for _number, _new in enumerate(FILES, 1):
    FILES[_number - 1] = replace(_new, header=f'{{"number": {_number}, "sha": "sha-{_number}"}}'.encode())
LEFT = [new for new in FILES if new.blob.key != "blob-4-sha-4"]
#: What was edited, by level and the file whose entity now has the edit: the earliest of its UID.
EDITS = [
    (Level.PATIENT, 1, {"patient_sex": "F"}),
    (Level.STUDY, 1, {"study_description": "EDITED STUDY"}),
    (Level.SERIES, 1, {"series_description": "EDITED SERIES"}),
    (Level.SERIES, 7, {"modality": "SR"}),
    (Level.INSTANCE, 10, {"image_comments": "EDITED"}),
]


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[str]:
    name = f"migration_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "_BATCH", 2)


def fill(uri: str, database: str) -> None:
    """Write the documents that 0.1.0 left."""
    found = json_util.loads(Path(__file__).with_name("schema_1.json").read_text(encoding="utf-8"))
    with MongoClient(uri) as client:
        for name in client[database].list_collection_names():
            client[database][name].delete_many({})
        for name, documents in found.items():
            client[database][name].insert_many(documents)


def expected() -> CatalogModel:
    model = CatalogModel()
    model.store(LEFT)
    for level, number, changes in EDITS:
        place = next(place_of(new) for new in FILES if new.blob.key == f"blob-{number}-sha-{number}")
        assert model.edit(level, place.key(level), changes, "u", "2024-02-03T04:05:06Z")
    # That version did not keep what was there before.
    for edits in model.changes.values():
        edits[:] = [replace(edit, before=None) for edit in edits]
    return model


async def check(catalog: Catalog) -> None:
    """The catalog answers as the model of the files that are left."""
    model = expected()
    for level in Level:
        assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
        for name in ("UNNAMED", "MAIDEN", "ROE^JANE", "DOE^JOHN"):
            query = Query(level, (AnyOf("patient_name", (name,)),))
            assert await catalog.find(query) == model.find(query)
        for new in LEFT:
            key = place_of(new).key(level)
            assert await catalog.keys(level, key) == model.keys(level, key)
            assert await catalog.locate_all(level, key) == model.locate_all(level, key)
            assert await catalog.described(level, key) == model.described(level, key)
    assert await catalog.conflicts() == model.conflicts()
    assert set(await catalog.garbage()) >= {"blob-4-sha-4"}
    assert await catalog.documents.get("things", "one") == {"a": 1}


@pytest.mark.parametrize("transactions", [False, True])
def test_a_database_of_before(mongodb_uri: str, database: str, transactions: bool) -> None:
    async def go() -> None:
        fill(mongodb_uri, database)
        catalog = MongoCatalog(mongodb_uri, database, transactions=transactions)
        await catalog.open()
        try:
            assert await catalog.needs_migration()
            with MongoClient(mongodb_uri) as client:
                known = client[database]["meta"].find_one({"_id": "schema"})
            assert known is not None
            assert known["version"] == schema.VERSION > 1, "a program of before would go on"
            told: list[MigrationProgress] = []
            await catalog.migrate(told.append)
            assert not await catalog.needs_migration()
            assert [one.done for one in told] == [2, 4, 6, 8, 9, 9]
            assert {one.total for one in told} == {len(LEFT)}
            assert len(told[-1].findings) == 2
            assert all("1.2.1" in finding and "2 times" in finding for finding in told[-1].findings)
            await check(catalog)
            later: list[MigrationProgress] = []
            await catalog.migrate(later.append)
            assert not later
            # What was brought along takes part in what comes after.
            model = expected()
            more = [arrival(11, patient="p9", study="1.2.5", series="1.2.5.1", instance="1.9.90"), FILES[3], FILES[0]]
            assert await catalog.store(more) == model.store(more)
            assert await catalog.delete(Level.PATIENT, "p1") == model.delete(Level.PATIENT, "p1")
            for level in Level:
                assert await catalog.find(Query(level, limit=None)) == model.find(Query(level, limit=None))
        finally:
            await catalog.close()
        await catalog.open()
        assert not await catalog.needs_migration()
        await catalog.close()

    asyncio.run(go())


def test_a_killed_migration_goes_on(mongodb_uri: str, database: str) -> None:
    async def go() -> int:
        allowed, left = 0, []
        while True:
            fill(mongodb_uri, database)
            async with wire(mongodb_uri) as relay:
                catalog = MongoCatalog(relay.uri, database, transactions=False)
                await catalog.open()
                relay.left = relay.passed + allowed
                try:
                    await catalog.migrate(lambda _: None)
                except Unavailable:
                    assert relay.cut
                finally:
                    await catalog.close()
                whole = not relay.cut
            catalog = MongoCatalog(mongodb_uri, database)
            await catalog.open()
            try:
                left.append(await catalog.needs_migration())
                await catalog.migrate(lambda _: None)
                await check(catalog)
            finally:
                await catalog.close()
            if whole:
                assert all(left[:-2])  # the last command may be one that only tidies up
                return allowed
            allowed += 13

    assert asyncio.run(go()) > 13


def test_a_write_that_the_earlier_version_left_half_done(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        fill(mongodb_uri, database)
        entry = {
            "_id": "half",
            "touched": ["patient:p1", "study:1.2.9"],
            "keys": [],
            "arrivals": [],
            "delete": ["study", "1.2.9"],
            "clear": False,
        }
        with MongoClient(mongodb_uri) as client:
            client[database]["journal"].insert_one(entry)
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.migrate(lambda _: None)
        assert await catalog.get(Level.STUDY, "1.2.9") is None
        assert "blob-9-sha-9" in await catalog.garbage()
        patient = await catalog.get(Level.PATIENT, "p1")
        assert patient is not None
        assert patient["studies_count"] == 1
        await catalog.close()

    asyncio.run(go())
