"""Documents of edits that a version without histories wrote are read, undone and rewritten."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from pymongo import MongoClient

from neurdicom.catalog.mongo import MongoCatalog, schema
from neurdicom.dicom.query.attributes import Level
from neurdicom.testing.arrivals import arrival, arrival_of, place_of


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[str]:
    name = f"edits_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


def set_back(uri: str, database: str) -> None:
    """Leave of each document what schema 2 had."""
    with MongoClient(uri) as client:
        edits = client[database]["edits"]
        for document in list(edits.find({})):
            for one in document["fields"].values():
                del one["before"], one["id"]
            del document["history"]
            edits.replace_one({"_id": document["_id"]}, document)
        client[database]["meta"].update_one({"_id": "schema"}, {"$set": {"version": 2}})


def test_edits_of_before(mongodb_uri: str, database: str) -> None:
    first = arrival_of(1)

    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.store([first])
        for value in (7, 8):
            await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": value}, user="u", time=f"t{value}")
            await catalog.edit(Level.STUDY, "1.2.1", {"study_id": f"S{value}"}, user="u", time=f"t{value}")
        await catalog.close()
        set_back(mongodb_uri, database)
        await catalog.open()
        assert not await catalog.needs_migration()
        [number], [study] = await catalog.history(Level.INSTANCE, "1.9.1"), await catalog.history(Level.STUDY, "1.2.1")
        assert (number.value, number.before, study.value, study.before) == (8, None, "S8", None)
        assert await catalog.history(Level.INSTANCE, "1.9.1") == [number]
        # The study goes to another patient, and one more edit lies above: the ids stay.
        await catalog.store([arrival_of(2, "A")])
        await catalog.edit(Level.INSTANCE, "1.9.1", {"instance_number": 9}, user="u", time="t9")
        below, above = await catalog.history(Level.INSTANCE, "1.9.1")
        assert (below.id, above.before, below.entity) == (number.id, 8, place_of(arrival_of(1, "A")).instance)
        assert [edit.id for edit in await catalog.history(Level.STUDY, "1.2.1")] == [study.id]
        for edit in (below, above):
            assert await catalog.undo(Level.INSTANCE, "1.9.1", edit.id)
        assert await catalog.undo(Level.STUDY, "1.2.1", study.id)
        instance, shown = await catalog.get(Level.INSTANCE, "1.9.1"), await catalog.get(Level.STUDY, "1.2.1")
        assert instance is not None
        assert shown is not None
        assert (instance["instance_number"], shown["study_id"]) == (1, None)
        await catalog.close()

    asyncio.run(go())
    with MongoClient(mongodb_uri) as client:
        meta = client[database]["meta"].find_one({"_id": "schema"})
        assert meta is not None
        assert meta["version"] == schema.VERSION
        assert client[database]["edits"].count_documents({}) == 0


def test_an_edit_of_before_is_undone_by_its_id(mongodb_uri: str, database: str) -> None:
    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        await catalog.store([arrival(1)])
        await catalog.edit(Level.PATIENT, "p1", {"patient_name": "N", "patient_sex": "F"}, user="u", time="t")
        await catalog.close()
        set_back(mongodb_uri, database)
        await catalog.open()
        name, sex = await catalog.history(Level.PATIENT, "p1")
        assert (name.field, sex.field) == ("patient_name", "patient_sex")
        assert await catalog.undo(Level.PATIENT, "p1", name.id)
        assert not await catalog.undo(Level.PATIENT, "p1", name.id)
        [left] = await catalog.history(Level.PATIENT, "p1")
        assert (left, left.id) == (sex, sex.id)
        study = await catalog.get(Level.STUDY, "1.2.1")
        assert study is not None
        assert (study["patient_name"], study["patient_sex"]) == ("DOE^JOHN", "F")
        await catalog.close()

    asyncio.run(go())
