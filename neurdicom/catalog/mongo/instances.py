"""Headers and locations of instances, with the edits that apply to them."""

import asyncio
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.claims import transfer_syntax_of
from neurdicom.catalog.mongo.edits import EFFECTIVE, as_edits, edits_key, in_order
from neurdicom.catalog.mongo.entities import latest_studies
from neurdicom.catalog.mongo.origins import MovedOrigin
from neurdicom.catalog.mongo.references import one_of, only, referred
from neurdicom.catalog.mongo.schema import Document, header_ids, natural_keys
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.records import DescribedInstance, Edit, Located, Location
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.query.attributes import Level

Database = AsyncIOMotorDatabase[Document]

_AT_ONCE = 200
#: Members that tell which edits apply.
_EDITED_BY = ("key", "uid", "patient", "above", "also", "natural", "moved", "origin")
_PLACES = (*_EDITED_BY, "id", "arrival", "blob_key", "size", "sha256", "layout")
_FIELDS = (*_EDITED_BY, "arrival", "parts", "layout")


async def described(database: Database, level: Level, entity: str, after: str, budget: int) -> list[DescribedInstance]:
    """List headers and edits of the instances below an entity, for `Catalog.described`."""
    found = await one_of(UnitOfWork(database, None), level, entity)
    rows: list[tuple[Document, bytes]] = []
    size, more = 0, found is not None
    while found is not None and more and size < budget:
        where: dict[str, Any] = {"_id" if level is Level.INSTANCE else level.value: found["_id"], "key": {"$gt": after}}
        cursor = database["instances"].find(where, dict.fromkeys(_FIELDS, 1)).sort("key", 1).limit(_AT_ONCE)
        instances = [one async for one in cursor]
        more = len(instances) == _AT_ONCE
        after = instances[-1]["key"] if instances else after
        for instance, header in await _headers(database, instances):
            rows.append((instance, header))
            size += len(header)
            if size >= budget:
                break
    return await _described(database, rows)


async def samples(database: Database, level: Level, entities: Sequence[str]) -> dict[str, DescribedInstance]:
    """Look up an instance of each entity, for `Catalog.samples`."""
    unit = UnitOfWork(database, None)
    sources: dict[str, int] = {}
    for reference, named in (await referred(unit, level, entities)).items():
        one = only(level, reference, named)
        if one is not None and level is Level.PATIENT:
            [latest] = await latest_studies(unit, one["_id"], 1)
            sources[reference] = latest["source"]
        elif one is not None:
            sources[reference] = one["arrival" if level is Level.INSTANCE else "source"]
    found = await unit.among("instances", set(sources.values()), *_FIELDS, by="arrival")
    arrivals = {one["key"]: one["arrival"] for one in found}
    described = await _described(database, await _headers(database, found))
    of = {arrivals[one.instance]: one for one in described}
    return {reference: of[source] for reference, source in sources.items() if source in of}


async def located(database: Database, level: Level, entity: str) -> list[Located]:
    """List the locations and edits of all instances below an entity, for `Catalog.locate_all`."""
    unit = UnitOfWork(database, None)
    if level is Level.INSTANCE:
        one = await one_of(unit, level, entity, *_PLACES)
        found = [one] if one else []
    else:
        above = await one_of(unit, level, entity)
        found = await unit.all("instances", {level.value: above["_id"]}, *_PLACES) if above else []
        found.sort(key=lambda each: str(each["key"]))
    edits = await _edits(database, found)
    return await asyncio.to_thread(_located, found, edits)


async def digests(database: Database, instances: Sequence[str]) -> dict[str, str]:
    """Look up the SHA-256 of the files of instances, for `Catalog.digests`."""
    found = await referred(UnitOfWork(database, None), Level.INSTANCE, instances, "sha256")
    ones = {reference: only(Level.INSTANCE, reference, named) for reference, named in found.items()}
    return {reference: one["sha256"] for reference, one in ones.items() if one}


def _located(found: Sequence[Document], edits: Sequence[tuple[Edit, ...]]) -> list[Located]:
    return [
        Located(
            Location(
                one["key"],
                BlobRef(one["blob_key"], one["size"], one["sha256"]),
                orjson.loads(one["layout"]),
                bool(own),
                one["above"]["study"],
                one["above"]["series"],
            ),
            own,
        )
        for one, own in zip(found, edits, strict=True)
    ]


async def _described(database: Database, rows: Sequence[tuple[Document, bytes]]) -> list[DescribedInstance]:
    edits = await _edits(database, [one for one, _ in rows])
    return [
        DescribedInstance(
            one["above"]["study"], one["above"]["series"], one["key"], header, own, transfer_syntax_of(one["layout"])
        )
        for (one, header), own in zip(rows, edits, strict=True)
    ]


async def _edits(database: Database, instances: Sequence[Document]) -> list[tuple[Edit, ...]]:
    """List the edits that apply to instances: those of moves, then those of the patient, down to their own."""
    chains = [_keys(one) for one in instances]
    wanted = {edits_key(level, key) for chain in chains for level, keys in chain.items() for key in keys}
    cursor = database["edits"].find({"_id": {"$in": list(wanted)}}, dict.fromkeys(EFFECTIVE, 1))
    found = {one["_id"]: as_edits(one) async for one in cursor}
    placing = await _placing(database, {one["origin"] for one in instances if "moved" in one})
    if not found and not placing:
        return [() for _ in instances]
    return await asyncio.to_thread(
        lambda: [
            (*placing.get(str(one.get("origin")), ()), *_applying(chain, found))
            for one, chain in zip(instances, chains, strict=True)
        ]
    )


def _keys(instance: Document) -> dict[Level, list[str]]:
    """List the keys of an instance and of the entities above it, the patient's first."""
    also = instance.get("also", {})
    above = {Level(level): [key, *also.get(level, ())] for level, key in instance["above"].items()}
    return {Level.PATIENT: [instance["patient"]], **above, Level.INSTANCE: natural_keys(Level.INSTANCE, instance)}


def _applying(chain: Mapping[Level, list[str]], found: Mapping[str, list[Edit]]) -> Iterator[Edit]:
    for level, keys in chain.items():
        edits = in_order([found.get(edits_key(level, key), []) for key in keys])
        yield from edits if len(keys) == 1 else (replace(edit, entity=keys[0]) for edit in edits)


async def _placing(database: Database, origins: Collection[str]) -> dict[str, tuple[Edit, ...]]:
    """Look up the edits by which files say where moves placed them, by origin."""
    if not origins:
        return {}
    found = await UnitOfWork(database, None).among("origins", origins, "moved")
    moved = {one["_id"]: MovedOrigin.from_origin(one) for one in found}
    return {origin: one.edits for origin, one in moved.items() if one is not None}


async def _headers(database: Database, instances: Sequence[Document]) -> list[tuple[Document, bytes]]:
    ids = [part for one in instances for part in header_ids(one)]
    parts = database["headers"].find({"_id": {"$in": ids}}, {"data": 1})
    data = {one["_id"]: one["data"] async for one in parts}
    return await asyncio.to_thread(_unpacked, instances, data)


def _unpacked(instances: Sequence[Document], data: Mapping[int, bytes]) -> list[tuple[Document, bytes]]:
    # A header that was replaced since the instances were listed is left out, as one that was deleted.
    return [
        (
            one,
            zlib.decompress(b"".join(data[part] for part in header_ids(one))),
        )
        for one in instances
        if all(part in data for part in header_ids(one))
    ]
