"""Storing, editing and deleting: the steps of one write, in an order that recovery can finish.

Instances are each written in one step, and what lies above follows; a blob becomes garbage only when no instance
refers to it any more.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import orjson
from pymongo import InsertOne, UpdateOne

from neurdicom.catalog.base import NewInstance, Outcome
from neurdicom.catalog.mongo.entities import (
    as_edits,
    build,
    edits_key,
    edits_of,
    modalities_fields,
    refresh,
    refresh_all,
)
from neurdicom.catalog.mongo.schema import HEADER_PART, MAX_PARTS, Document, collection, search_fields
from neurdicom.catalog.mongo.unit import Intent, Unit
from neurdicom.catalog.projection import Origin, to_json, with_edits
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.errors import TooLarge

_ABOVE = (Level.PATIENT, Level.STUDY, Level.SERIES)


class Store:
    """The storing of some arrivals, numbered from `first` on."""

    def __init__(self, unit: Unit, arrivals: Sequence[NewInstance], first: int) -> None:
        self._unit = unit
        self._arrivals = arrivals
        self._first = first
        self._pending: list[tuple[int, NewInstance, Origin]] = []

    async def run(self) -> list[Outcome]:
        """Store them in order."""
        fields = ("sha256", "blob_key", "arrival", "parts", *_ABOVE)
        wanted = {new.instance for new in self._arrivals}
        known = {one["_id"]: one for one in await self._unit.among("instances", wanted, *fields)}
        await self._unit.announce(self._intent(known.values()))
        outcomes = []
        for number, new in enumerate(self._arrivals, self._first):
            old = known.get(new.instance)
            if old is not None and old["sha256"] == new.blob.sha256:
                unused = new.blob.key if new.blob.key != old["blob_key"] else None
                await add_garbage(self._unit, [unused] if unused else [])
                outcomes.append(Outcome("duplicate", unused))
                continue
            self._pending.append((number, new, Origin.from_arrival(new)))
            if old is None:
                outcomes.append(Outcome("stored"))
            else:
                outcomes.append(await self._replace(number, new))
            known[new.instance] = {"sha256": new.blob.sha256, "blob_key": new.blob.key}
        await self._flush()
        return outcomes

    def _intent(self, known: Iterable[Document]) -> Intent:
        numbers = range(self._first, self._first + len(self._arrivals))
        intent = Intent(arrivals=list(numbers))
        for new in self._arrivals:
            intent.touched |= {(Level.PATIENT, new.patient), (Level.STUDY, new.study), (Level.SERIES, new.series)}
        for old in known:
            intent.touched |= {(level, old[level]) for level in _ABOVE}
            intent.keys.append(old["blob_key"])
            intent.arrivals.append(old["arrival"])
        return intent

    async def _replace(self, number: int, new: NewInstance) -> Outcome:
        """Put the last of those pending in the place of the instance that is there."""
        replacing = self._pending.pop()
        await self._flush()
        unit = self._unit
        old = await unit.one("instances", new.instance)
        if old is None:
            raise LookupError(f"the instance {new.instance} went while it was replaced")
        self._pending.append(replacing)
        await self._flush(replaced=old)
        await unit.remove("headers", header_ids(old))
        await refresh(unit, Level.SERIES, old["series"])
        if old["blob_key"] == new.blob.key:
            return Outcome("replaced")
        await add_garbage(unit, [old["blob_key"]])
        return Outcome("replaced", old["blob_key"])

    async def _flush(self, replaced: Document | None = None) -> None:
        """Write the pending instances, and count them above."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        unit = self._unit
        above = await Above.load(unit, [origin for _, _, origin in pending])
        instances, headers, late = [], [], set()
        packed = await asyncio.to_thread(lambda: [_packed(number, new, origin) for number, new, origin in pending])
        for (number, new, origin), parts in zip(pending, packed, strict=True):
            chain = above.count(origin, number)
            late |= {(level, entity) for level, entity in chain.items() if above.source(level, entity) > number}
            ids = {level.value: entity for level, entity in chain.items()}
            edits = await edits_of(unit, Level.INSTANCE, new.instance) if above.edited(new.instance) else []
            attributes = with_edits(origin.at(Level.INSTANCE), edits)
            instances.append(_instance(number, new, ids, attributes, len(parts)))
            headers += parts
        await unit.bulk("headers", [InsertOne(part) for part in headers])
        if replaced is None:
            await unit.bulk("instances", [InsertOne(one) for one in instances])
        else:
            await unit["instances"].replace_one({"_id": replaced["_id"]}, instances[0], session=unit.session)
        await above.write()
        await unit.remove("garbage", [new.blob.key for _, new, _ in pending])
        await refresh_all(unit, late)


class Above:
    """The entities above some arrivals: which are there, which are new, and what is counted in them."""

    def __init__(self, unit: Unit) -> None:
        self._unit = unit
        self._known: dict[tuple[Level, str], Document] = {}
        self._edits: dict[str, Document] = {}
        self._new: set[tuple[Level, str]] = set()
        self._counts: dict[tuple[Level, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._modalities: dict[str, set[Value]] = defaultdict(set)

    @classmethod
    async def load(cls, unit: Unit, origins: Sequence[Origin]) -> "Above":
        """Ask for all that may be there already, a level at a time."""
        above = cls(unit)
        wanted = {level: {origin.ids[level] for origin in origins} for level in Level}
        for level in reversed(_ABOVE):
            for found in await unit.among(collection(level), wanted[level]):
                above._known[level, found["_id"]] = found
                for upper in level.above:
                    wanted[upper].add(found[upper])
        keys = [edits_key(level, entity) for level, ids in wanted.items() for entity in ids]
        above._edits = {found["_id"]: found for found in await unit.among("edits", keys)}
        return above

    def edited(self, instance: str) -> bool:
        """Whether an instance has edits of its own."""
        return edits_key(Level.INSTANCE, instance) in self._edits

    def source(self, level: Level, entity: str) -> int:
        """The number of the arrival that an entity's attributes come from."""
        return int(self._known[level, entity]["source"])

    def count(self, origin: Origin, number: int) -> dict[Level, str]:
        """Note one more image; answers the ids of the entities that it falls in."""
        series = self._ensure(Level.SERIES, origin, number)
        chain = {Level.PATIENT: series["patient"], Level.STUDY: series["study"], Level.SERIES: series["_id"]}
        for level, entity in chain.items():
            self._counts[level, entity]["images_count"] += 1
        return chain

    def _ensure(self, level: Level, origin: Origin, number: int) -> Document:
        entity = origin.ids[level]
        found = self._known.get((level, entity))
        if found is not None:
            return found
        parent = self._ensure(level.parent, origin, number) if level.parent else None
        edits = as_edits(self._edits.get(edits_key(level, entity)))
        attributes = with_edits(origin.at(level), edits)
        found = self._known[level, entity] = build(level, entity, parent, attributes, number)
        self._new.add((level, entity))
        if level.parent and parent:
            self._counts[level.parent, parent["_id"]][COUNTS[level.parent][0]] += 1
        if level is Level.SERIES and parent:
            self._modalities[parent["_id"]].add(attributes.get("modality"))
        return found

    async def write(self) -> None:
        """Write the new entities, and the counts of all."""
        operations: dict[Level, list[InsertOne[Document] | UpdateOne]] = defaultdict(list)
        for (level, entity), counts in self._counts.items():
            document = self._known[level, entity]
            added = self._modalities.get(entity, set()) if level is Level.STUDY else set()
            if (level, entity) in self._new:
                document |= counts
                document |= modalities_fields(added) if level is Level.STUDY else {}
                operations[level].append(InsertOne(document))
            else:
                changes: Document = {"$inc": dict(counts)}
                if added:
                    changes["$set"] = modalities_fields(added | set(document["modalities"]))
                operations[level].append(UpdateOne({"_id": entity}, changes))
        for level in reversed(_ABOVE):
            await self._unit.bulk(collection(level), operations[level])


def _instance(number: int, new: NewInstance, ids: Document, attributes: Mapping[str, Value], parts: int) -> Document:
    return {
        "_id": new.instance,
        **ids,
        **search_fields(Level.INSTANCE, attributes),
        "arrival": number,
        "parts": parts,
        "attributes": to_json(attributes).decode(),
        "blob_key": new.blob.key,
        "size": new.blob.size,
        "sha256": new.blob.sha256,
        "received": new.received,
        "layout": to_json(dict(new.layout)).decode(),
    }


def _packed(number: int, new: NewInstance, origin: Origin) -> list[Document]:
    data = zlib.compress(new.header, 1)
    pieces = [data[start : start + HEADER_PART] for start in range(0, len(data), HEADER_PART)]
    if len(pieces) > MAX_PARTS:
        raise TooLarge(f"the header of {new.instance} has {len(new.header)} bytes")
    parts: list[Document] = [{"_id": number * MAX_PARTS + n, "data": piece} for n, piece in enumerate(pieces)]
    parts[0]["origin"] = zlib.compress(origin.to_json(), 1)
    return parts


def header_ids(instance: Document) -> list[int]:
    """The ids of the documents that hold an instance's header."""
    first = instance["arrival"] * MAX_PARTS
    return list(range(first, first + instance["parts"]))


async def add_garbage(unit: Unit, keys: Iterable[str]) -> None:
    """Note blobs that are to be deleted."""
    await unit.bulk("garbage", [UpdateOne({"_id": key}, {"$set": {"_id": key}}, upsert=True) for key in keys])


async def delete(unit: Unit, level: Level, entity: str) -> list[str] | None:
    """Delete an entity, what is below it, and the parents left empty; the keys of the blobs that go."""
    found = await unit.one(collection(level), entity)
    if found is None:
        return None
    above = {(upper, found[upper]) for upper in level.above}
    await unit.announce(Intent(touched=above | {(level, entity)}, delete=(level, entity)))
    keys = await sweep(unit, level, entity)
    if level.parent:
        await refresh(unit, level.parent, found[level.parent])
    return keys


async def sweep(unit: Unit, level: Level, entity: str) -> list[str]:
    """Delete all at and below an entity; may be done again after a part of it was done."""
    where = {"_id" if level is Level.INSTANCE else level.value: entity}
    instances = await unit.all("instances", where, "blob_key", "arrival", "parts")
    instances.sort(key=lambda one: one["arrival"])
    keys = [one["blob_key"] for one in instances]
    await add_garbage(unit, keys)
    await unit.remove("headers", [part for one in instances for part in header_ids(one)])
    for below in reversed((level, *tuple(Level)[tuple(Level).index(level) + 1 :])):
        ids = [one["_id"] for one in await unit.all(collection(below), {level.value: entity}, "_id")]
        ids = [entity] if below is level else ids
        await unit.remove("edits", [edits_key(below, one) for one in ids])
        await unit.remove(collection(below), ids)
    return keys


async def wipe(unit: Unit) -> None:
    """Delete all DICOM entities, but neither edits nor blobs."""
    for name in (*map(collection, Level), "headers"):
        await unit[name].delete_many({}, session=unit.session)


async def clear(unit: Unit) -> None:
    """The first half of a reindex."""
    await unit.announce(Intent(clear=True))
    await wipe(unit)


async def edit(unit: Unit, level: Level, entity: str, changes: Mapping[str, Value], user: str, time: str) -> bool:
    """Keep changed values, and show them."""
    if await unit.one(collection(level), entity) is None:
        return False
    await unit.announce(Intent(touched={(level, entity)}))
    kept = {
        f"fields.{field}": {"value": to_json(value).decode(), "user": user, "time": time}
        for field, value in changes.items()
    }
    about = {"level": level.value, "entity": entity}
    if kept:
        await unit["edits"].update_one(
            {"_id": edits_key(level, entity)}, {"$set": about | kept}, upsert=True, session=unit.session
        )
        await show(unit, level, entity)
    return True


async def show(unit: Unit, level: Level, entity: str) -> None:
    """Bring an entity of any level in step with its edits."""
    if level is not Level.INSTANCE:
        await refresh(unit, level, entity)
        return
    found = await unit.one("instances", entity)
    if found is None:
        return
    attributes = with_edits(orjson.loads(found["attributes"]), await edits_of(unit, level, entity))
    kept = {name: value for name, value in found.items() if not name.startswith(("by_", "keys_"))}
    renewed = kept | search_fields(level, attributes) | {"attributes": to_json(attributes).decode()}
    await unit["instances"].replace_one({"_id": entity}, renewed, session=unit.session)


async def recover(unit: Unit, intent: Intent) -> None:
    """Finish a write that was cut short; may itself be cut short and done again."""
    if intent.clear:
        await wipe(unit)
    if intent.delete is not None:
        await sweep(unit, *intent.delete)
    used = {one["blob_key"] for one in await unit.among("instances", intent.keys, "blob_key", by="blob_key")}
    await add_garbage(unit, [key for key in intent.keys if key not in used])
    kept = {one["arrival"] for one in await unit.among("instances", intent.arrivals, "arrival", by="arrival")}
    for number in set(intent.arrivals) - kept:
        parts = {"$gte": number * MAX_PARTS, "$lt": (number + 1) * MAX_PARTS}
        await unit["headers"].delete_many({"_id": parts})
    for level, entity in sorted(intent.touched):
        if level is Level.INSTANCE:
            await show(unit, level, entity)
    await refresh_all(unit, intent.touched, force=True)


async def rebuild(unit: Unit) -> None:
    """Write the search fields of all documents anew, as when attributes became filterable; may be done again."""
    for one in await unit.all("instances", {}, "_id"):
        await show(unit, Level.INSTANCE, one["_id"])
    patients = {(Level.PATIENT, one["_id"]) for one in await unit.all("patients", {}, "_id")}
    await refresh_all(unit, patients, force=True)
