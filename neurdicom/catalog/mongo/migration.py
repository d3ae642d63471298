"""Migration of the documents of schema 1, in which a UID was all that named an entity.

Instances are brought along in the order of their arrival, a batch in a write. Patients, studies and series are made
anew from what their files say, which lies beside the headers. Edits come last, once all entities have keys.
"""

import zlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import UpdateOne

from neurdicom.catalog.mongo.edits import owner_members, rename_history
from neurdicom.catalog.mongo.entities import refresh_all
from neurdicom.catalog.mongo.plan import StoreStep
from neurdicom.catalog.mongo.schema import (
    MAX_PARTS,
    Document,
    collection,
    ensure_unique,
    instance_fields,
    is_migrating,
    record_finished,
)
from neurdicom.catalog.mongo.store import Arrivals
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.outcomes import KEEP_ALL
from neurdicom.catalog.records import MigrationProgress, NewInstance
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import is_key
from neurdicom.dicom.query.attributes import Level

Database = AsyncIOMotorDatabase[Document]
Use = Callable[[Callable[[Database], Coroutine[Any, Any, Any]]], Awaitable[Any]]
Write = Callable[[Callable[[UnitOfWork], Coroutine[Any, Any, Any]]], Awaitable[Any]]

_BATCH = 200
_FIELDS = ("patient", "study", "series", "arrival", "attributes", "blob_key", "size", "sha256", "received", "key")


async def bring_along(use: Use, write: Write, progress: Callable[[MigrationProgress], None]) -> None:
    """Bring all documents along, for `Catalog.migrate`; `use` and `write` run reads and writes on the database."""
    if not await use(is_migrating):
        return
    state: Document = await use(_begin)
    while done := await write(partial(_bring, after=state["after"])):
        state = {**state, "after": done[-1], "done": state["done"] + len(done)}
        progress(_progress(state))
    for edits in await use(_edits_of_before):
        await write(partial(_rename, edits=edits))
    await use(ensure_unique)
    state = await use(_finish)
    progress(_progress(state))


def _progress(state: Document) -> MigrationProgress:
    return MigrationProgress(state["done"], state["total"], tuple(state["findings"]))


async def _begin(database: Database) -> Document:
    """Read how far an interrupted migration came; a new one begins with deleting what is made anew."""
    found: Document | None = await database["meta"].find_one({"_id": "migration"})
    if found is not None:
        return found
    for level in Level.INSTANCE.above:
        await database[collection(level)].delete_many({})
    total = await database["instances"].count_documents({})
    state: Document = {"_id": "migration", "after": -1, "done": 0, "total": total, "findings": []}
    await database["meta"].insert_one(state)
    return state


async def _bring(unit: UnitOfWork, after: int) -> list[int]:
    """Bring the next instances along; return the numbers of their arrivals."""
    where = {"arrival": {"$gt": after}}
    cursor = unit["instances"].find(where, dict.fromkeys(_FIELDS, 1), session=unit.session)
    found = {one["arrival"]: one async for one in cursor.sort("arrival", 1).limit(_BATCH)}
    if not found:
        return []
    # An interrupted batch may have come to some of them.
    left = {number: one for number, one in found.items() if "key" not in one}
    headers = await unit.among("headers", [number * MAX_PARTS for number in left], "origin")
    origins = {one["_id"] // MAX_PARTS: one["origin"] for one in headers if "origin" in one}
    arrivals = {number: _arrival(one, origins.get(number)) for number, one in left.items()}
    if arrivals:
        await BroughtAlong(unit, arrivals, left).store()
    numbers = list(found)
    changes = {"$set": {"after": numbers[-1]}, "$inc": {"done": len(numbers)}}
    await unit["meta"].update_one({"_id": "migration"}, changes, session=unit.session)
    return numbers


def _arrival(instance: Document, origin: bytes | None) -> NewInstance:
    """Make the arrival that an instance was, from what its file says about the entities above."""
    said = orjson.loads(zlib.decompress(origin)) if origin else {"ids": {}, "attributes": {}}
    names = {level: said["ids"].get(level.value, instance[level.value]) for level in Level.INSTANCE.above}
    return NewInstance(
        names[Level.PATIENT],
        names[Level.STUDY],
        names[Level.SERIES],
        instance["_id"],
        said["attributes"],
        b"",
        BlobRef(instance["blob_key"], instance["size"], instance["sha256"]),
        instance["received"],
    )


class BroughtAlong(Arrivals):
    """Writer of instances that are there already, at the places that their own files tell.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    arrivals : Mapping[int, NewInstance]
        The arrivals that they were, by number.
    instances : Mapping[int, Document]
        Their documents by number.
    """

    def __init__(
        self, unit: UnitOfWork, arrivals: Mapping[int, NewInstance], instances: Mapping[int, Document]
    ) -> None:
        super().__init__(unit, arrivals, KEEP_ALL)
        self._instances = instances

    async def write_headers(self, steps: Sequence[StoreStep], instances: Sequence[Document]) -> None:
        """Leave the headers as they are."""

    async def _write_instances(self, instances: Sequence[Document], replaced: Document | None) -> None:
        names = ("key", "uid", "id", "patient", "study", "series", "above", "several", "origin")
        operations, numbers = [], []
        for one in instances:
            earlier = self._instances[one["arrival"]]
            fields = instance_fields(orjson.loads(earlier["attributes"]))
            changes = {"$set": {name: one[name] for name in names} | fields}
            operations.append(UpdateOne({"_id": earlier["_id"]}, changes))
            numbers.append(one["arrival"])
        await self.unit.bulk("instances", operations)
        # Later writes find what these files say among the origins.
        parts = [UpdateOne({"_id": number * MAX_PARTS}, {"$unset": {"origin": ""}}) for number in numbers]
        await self.unit.bulk("headers", parts)


async def _edits_of_before(database: Database) -> list[Document]:
    """List the edits that name their entities by UIDs."""
    found = [one async for one in database["edits"].find({})]
    return [one for one in found if one["level"] != Level.PATIENT.value and not is_key(one["entity"])]


async def _rename(unit: UnitOfWork, edits: Document) -> None:
    """Give edits the key of the entity that they are of; of several that is the earliest."""
    level, uid = Level(edits["level"]), edits["entity"]
    entities = await unit.all(collection(level), {"uid": uid}, "key", "uid", "id", "above", "arrival", "source")
    entities.sort(key=lambda one: int(one["arrival" if level is Level.INSTANCE else "source"]))
    findings = []
    if not entities:
        findings.append(f"edits of the {level} {uid} are kept, but there is no such {level}")
    elif len(entities) > 1:
        findings.append(
            f"the {level} {uid} is there {len(entities)} times, and whose its edits were can't be told: they are taken "
            f"to be of {entities[0]['key']}, the earliest"
        )
    if entities:
        first = entities[0]
        await unit.announce(Intent(touched={(level, first["_id"])}))
        await rename_history(unit, edits, owner_members(level, first))
        await refresh_all(unit, {(level, first["_id"])})
    if findings:
        changes = {"$addToSet": {"findings": {"$each": findings}}}
        await unit["meta"].update_one({"_id": "migration"}, changes, session=unit.session)


async def _finish(database: Database) -> Document:
    """Record that nothing is left to bring along; return how much was."""
    found: Document | None = await database["meta"].find_one({"_id": "migration"})
    await record_finished(database)
    await database["meta"].delete_one({"_id": "migration"})
    return found or {"done": 0, "total": 0, "findings": []}
