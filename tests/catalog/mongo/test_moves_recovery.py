"""Recovery of moves, and of writes in a catalog with moves, that are interrupted after any of their commands."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

import pytest
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.moves import Move, MoveRequest, demographics_of
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import Unavailable
from neurdicom.testing.arrivals import arrival, arrival_of
from neurdicom.testing.catalog_moving import MovingModel
from neurdicom.testing.move_requests import JANE, again_after, merge, series_to, split, study_to
from tests.support.mongodb_wire import wire

_NONE = arrival_of(50, study="1.2.8").patient
#: Two patients with studies, series and instances of the same UIDs; others; and a study that names nobody.
BEFORE = [
    arrival(1, study_id="one"),
    arrival(2),
    arrival(3, patient="p2", instance="1.9.1", series_description="three", **JANE),
    arrival(4, patient="p2", study_id="four", **JANE),
    arrival(5, study="1.2.2", series="2.5", instance="1.9.1"),
    arrival(6, study="1.2.2", series="1.2.1.1", modality="MR"),
    arrival(7, patient="p3", study="1.2.7", series="2.7"),
    arrival_of(8, study="1.2.8", series="2.8"),
    arrival_of(9, study="1.2.8", series="2.9"),
    arrival_of(10, study="1.2.8", series="2.10"),
]
EDITS = [
    (Level.STUDY, key_of("1.2.1", "p1"), {"study_description": "EDITED"}),
    (Level.INSTANCE, key_of("1.9.1", "p1", "1.2.1", "1.2.1.1"), {"image_comments": "EDITED"}),
]
#: Key of the instance that has the same SOP Instance UID.
BESIDE = key_of("1.9.1", "p2", "1.2.1", "1.2.1.1")
#: Moves before the write that is interrupted.
MOVED: list[MoveRequest] = [
    merge("p1", "p2", "first", from_now_on=True),
    series_to("1.2.7", "2.5", "series"),
    series_to(key_of("1.2.8", _NONE), "2.7", "taken"),
    split(["2.10"], "2.25.10", "off"),
]
#: Of a file that is displaced, of one that is shown, beside one that was moved, of a new study, and of another series.
STORED = [
    arrival(1, sha256="new"),
    arrival(3, patient="p2", instance="1.9.1", sha256="new"),
    arrival(11, patient="p2", instance="1.9.2"),
    arrival(12, study="1.2.9", series="2.12", modality="US"),
    arrival(13, patient="p2", study="1.2.2", series="1.2.1.1", instance="1.9.6"),
]
#: The bytes of a file that is displaced, once more.
AGAIN = [again_after(14, BEFORE[0])]
#: The first tells whose a study is, to which a series was moved, and which another was split off.
TAKEOVER = [arrival_of(15, "A", study="1.2.8", series="2.8"), arrival_of(16, study="1.2.8", series="2.9")]
REQUESTS = [
    merge("p2", "p3", "second"),
    study_to("p9", key_of("1.2.1", "p1"), "second", patient_id="P9"),
    series_to("1.2.2", key_of("1.2.1.1", "p2", "1.2.1"), "second"),
    split([key_of("2.9", _NONE, "1.2.8")], edit="second"),
    MoveRequest("second", Level.STUDY, ("1.2.7",), "p2", demographics_of({"patient_id": "P2", "patient_name": "NEW"})),
]
Verb = Callable[[Catalog | MovingModel], Awaitable[object] | object]


@pytest.fixture
def database(mongodb_uri: str) -> Iterator[str]:
    name = f"moves_{uuid.uuid4().hex[:12]}"
    yield name
    with MongoClient(mongodb_uri) as client:
        client.drop_database(name)


async def prepare(catalog: Catalog | MovingModel) -> None:
    await done(catalog.store(BEFORE))
    for level, key, changes in EDITS:
        await done(catalog.edit(level, key, changes, user="u", time="t"))
    for request in MOVED:
        await done(catalog.move(request))


async def done(work: object) -> object:
    return await work if isinstance(work, Awaitable) else work


def by_subject(move: Move) -> tuple[str, str]:
    return move.edit, move.subject


def model_of(used: set[str], edits: set[str], request: MoveRequest | None) -> MovingModel:
    """The model of what a write left: a move and its undo whole, stored files one by one, a deletion whole."""
    model = MovingModel()
    asyncio.run(prepare(model))
    for edit in {each.edit for each in MOVED} - edits:
        model.undo_move(edit)
    model.store([new for new in (*STORED, *AGAIN, *TAKEOVER) if new.blob.key in used])
    if request is not None and request.edit in edits:
        model.move(request)
    if not {new.blob.key for new in BEFORE} <= used | {new.blob.key for new in BEFORE[:1] + BEFORE[2:3]}:
        model.delete(Level.STUDY, "1.2.1")
    return model


async def check(uri: str, database: str, request: MoveRequest | None) -> tuple[set[str], set[str]]:
    """The catalog follows from the files and moves that are there; returns the keys of blobs, and the edits."""
    catalog = MongoCatalog(uri, database)
    await catalog.open()
    try:
        with MongoClient(uri) as client:
            files = [*client[database]["instances"].find({}), *client[database]["displaced"].find({})]
            edits = {one["_id"] for one in client[database]["moves"].find({})}
            headers = {one["_id"] for one in client[database]["headers"].find({}, {"_id": 1})}
            origins = {one["_id"] for one in client[database]["origins"].find({}, {"_id": 1})}
            assert client[database]["journal"].count_documents({}) == 0
        assert len(headers) == len(files)
        assert origins == {one["origin"] for one in files}
        used = {one["blob_key"] for one in files}
        model = await asyncio.to_thread(model_of, used, edits, request)
        assert used == model.blobs()
        assert not set(await catalog.garbage()) & used
        assert {new.blob.key for new in BEFORE} - used <= set(await catalog.garbage())
        held = sorted(await catalog.holdings(100), key=lambda one: (one.received, one.study))
        assert (held, await catalog.stored_bytes()) == (model.holdings(), sum(one.bytes for one in held))
        for level in Level:
            page = await catalog.find(Query(level, limit=None))
            assert page == model.find(Query(level, limit=None))
            for entity in page.items:
                key = entity["key"]
                assert set(await catalog.keys(level, key)) == set(model.keys(level, key))
                assert await catalog.locate_all(level, key) == model.locate_all(level, key)
                moves = sorted(await catalog.moves(level, key), key=by_subject)
                assert moves == sorted(model.moves_of(level, key), key=by_subject)
                if level is Level.INSTANCE:
                    assert await catalog.displaced(key) == model.displaced(key)
        assert await catalog.conflicts() == model.conflicts()
        return used, edits
    finally:
        await catalog.close()


def cut_short(uri: str, database: str, verb: Verb, step: int, request: MoveRequest | None = None) -> None:
    """Cut a write short after each of its commands, or every few; once it is whole it has done what it should."""

    async def go() -> int:
        allowed = 0
        while True:
            with MongoClient(uri) as client:
                client.drop_database(database)
            async with wire(uri) as relay:
                catalog = MongoCatalog(relay.uri, database, transactions=False)
                await catalog.open()
                await prepare(catalog)
                relay.left = relay.passed + allowed
                try:
                    await done(verb(catalog))
                except Unavailable:
                    assert relay.cut
                finally:
                    await catalog.close()
                whole = not relay.cut
            await check(uri, database, request)
            if whole:
                return allowed
            allowed += step

    assert asyncio.run(go()) > 1


@pytest.mark.parametrize("request_", REQUESTS, ids=["merge", "study", "series", "split", "demographics"])
def test_a_move_that_is_cut_short(mongodb_uri: str, database: str, request_: MoveRequest) -> None:
    cut_short(mongodb_uri, database, lambda catalog: catalog.move(request_), 17, request_)


@pytest.mark.parametrize("edit", [each.edit for each in MOVED])
def test_an_undo_that_is_cut_short(mongodb_uri: str, database: str, edit: str) -> None:
    cut_short(mongodb_uri, database, lambda catalog: catalog.undo_move(edit), 17)


@pytest.mark.parametrize("files", [STORED, AGAIN, TAKEOVER], ids=["stored", "again", "takeover"])
def test_a_store_where_something_was_moved_that_is_cut_short(
    mongodb_uri: str, database: str, files: list[NewInstance]
) -> None:
    cut_short(mongodb_uri, database, lambda catalog: catalog.store(files), 23 if len(files) > 1 else 5)


def test_a_deletion_where_something_was_moved_that_is_cut_short(mongodb_uri: str, database: str) -> None:
    cut_short(mongodb_uri, database, lambda catalog: catalog.delete(Level.STUDY, "1.2.1"), 7)


def test_an_edit_of_a_displaced_file_leaves_the_other_with_it(mongodb_uri: str, database: str) -> None:
    async def go(allowed: int) -> bool:
        async with wire(mongodb_uri) as relay:
            catalog = MongoCatalog(relay.uri, database, transactions=False)
            await catalog.open()
            await catalog.store([arrival(1), arrival(3, patient="p2", instance="1.9.1")])
            await catalog.edit(Level.INSTANCE, EDITS[1][1], {"image_comments": "EDITED"}, user="u", time="t")
            await catalog.move(merge("p1", "p2"))
            relay.left = relay.passed + allowed
            with suppress(Unavailable):
                await catalog.undo_move("m")
            await catalog.close()
        catalog = MongoCatalog(mongodb_uri, database)
        await catalog.open()
        shown = {one["key"]: one["image_comments"] for one in (await catalog.find(Query(Level.INSTANCE))).items}
        await catalog.close()
        assert shown in ({EDITS[1][1]: "EDITED", BESIDE: None}, {BESIDE: "EDITED"}), allowed
        return relay.cut

    for allowed in range(0, 1000, 2):
        if not asyncio.run(go(allowed)):
            return
        with MongoClient(mongodb_uri) as client:
            client.drop_database(database)


def test_a_study_whose_move_was_cut_short_is_one_study(mongodb_uri: str, database: str) -> None:
    """It may be in two places until the move is finished, which a lookup by its UID does."""

    async def go() -> int:
        allowed = 0
        while True:
            with MongoClient(mongodb_uri) as client:
                client.drop_database(database)
            async with wire(mongodb_uri) as relay:
                catalog = MongoCatalog(relay.uri, database, transactions=False)
                await catalog.open()
                await catalog.store(BEFORE[:2])
                relay.left = relay.passed + allowed
                with suppress(Unavailable):
                    await catalog.move(study_to("p2", "1.2.1", **JANE))
                whole = not relay.cut
                relay.mend()
                assert await catalog.get(Level.STUDY, "1.2.1") is not None
                await catalog.close()
            if whole:
                return allowed
            allowed += 4

    assert asyncio.run(go()) > 1
