"""Headers and locations of instances, with the edits that apply to them."""

import asyncio
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.base import DescribedInstance, Edit, Located, Location
from neurdicom.catalog.claims import applying_edits, described_instances
from neurdicom.catalog.mongo.entities import as_edits, edits_key
from neurdicom.catalog.mongo.schema import Document, collection, header_ids
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level

Database = AsyncIOMotorDatabase[Document]

_AT_ONCE = 200
_PLACES = dict.fromkeys(("patient", "study", "series", "blob_key", "size", "sha256", "layout"), 1)
_FIELDS = dict.fromkeys(("patient", "study", "series", "arrival", "parts"), 1)


async def described(database: Database, level: Level, entity: str, after: str, budget: int) -> list[DescribedInstance]:
    """List headers and edits of the instances below an entity, for `Catalog.described`."""
    rows: list[tuple[list[str], bytes]] = []
    size, more = 0, True
    while more and size < budget:
        where: dict[str, Any] = {"_id": {"$gt": after}}
        if level is Level.INSTANCE:
            where["_id"] = {"$gt": after, "$eq": entity}
        else:
            where[level.value] = entity
        cursor = database["instances"].find(where, _FIELDS).sort("_id", 1).limit(_AT_ONCE)
        found = [one async for one in cursor]
        more = len(found) == _AT_ONCE
        after = found[-1]["_id"] if found else after
        for chain, header in await _headers(database, found):
            rows.append((chain, header))
            size += len(header)
            if size >= budget:
                break
    return await _described(database, rows)


async def samples(database: Database, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
    """Look up the earliest instance of each entity, for `Catalog.samples`."""
    wanted = {"_id": {"$in": list(entities)}}
    if level is Level.INSTANCE:
        found = [one async for one in database["instances"].find(wanted, _FIELDS)]
        shown = {one["_id"]: one["_id"] for one in found}
    else:
        sources = {one["source"]: one["_id"] async for one in database[collection(level)].find(wanted, {"source": 1})}
        found = [one async for one in database["instances"].find({"arrival": {"$in": list(sources)}}, _FIELDS)]
        shown = {one["_id"]: sources[one["arrival"]] for one in found}
    described = await _described(database, await _headers(database, found))
    return {shown[one.instance]: one for one in described}


async def located(database: Database, level: Level, entity: str) -> list[Located]:
    """List the locations and edits of all instances below an entity, for `Catalog.locate_all`."""
    where = {"_id" if level is Level.INSTANCE else level.value: entity}
    found = [one async for one in database["instances"].find(where, _PLACES).sort("_id", 1)]
    chains = [[*(one[level.value] for level in Level.INSTANCE.above), one["_id"]] for one in found]
    edits = await _edits(database, chains)
    return await asyncio.to_thread(_located, found, applying_edits(chains, edits))


def _located(found: Sequence[Document], edits: Sequence[tuple[Edit, ...]]) -> list[Located]:
    return [
        Located(
            Location(
                one["_id"],
                BlobRef(one["blob_key"], one["size"], one["sha256"]),
                orjson.loads(one["layout"]),
                bool(own),
                one["study"],
                one["series"],
            ),
            own,
        )
        for one, own in zip(found, edits, strict=True)
    ]


async def _described(database: Database, rows: Sequence[tuple[list[str], bytes]]) -> list[DescribedInstance]:
    edits = await _edits(database, [chain for chain, _ in rows])
    return await asyncio.to_thread(described_instances, rows, edits)


async def _edits(database: Database, chains: Sequence[Sequence[str]]) -> list[Edit]:
    keys = {edits_key(at, one) for chain in chains for at, one in zip(Level, chain, strict=True)}
    cursor = database["edits"].find({"_id": {"$in": list(keys)}})
    return [edit async for one in cursor for edit in as_edits(one)]


async def _headers(database: Database, instances: Sequence[Document]) -> list[tuple[list[str], bytes]]:
    ids = [part for one in instances for part in header_ids(one)]
    parts = database["headers"].find({"_id": {"$in": ids}}, {"data": 1})
    data = {one["_id"]: one["data"] async for one in parts}
    return await asyncio.to_thread(_unpacked, instances, data)


def _unpacked(instances: Sequence[Document], data: Mapping[int, bytes]) -> list[tuple[list[str], bytes]]:
    # A header that was replaced since the instances were listed is left out, as one that was deleted.
    return [
        (
            [*(one[level.value] for level in Level.INSTANCE.above), one["_id"]],
            zlib.decompress(b"".join(data[part] for part in header_ids(one))),
        )
        for one in instances
        if all(part in data for part in header_ids(one))
    ]
