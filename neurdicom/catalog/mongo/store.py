"""Storing of arrivals: each instance is written in one step, then the entities above are updated."""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from pymongo import InsertOne, UpdateOne

from neurdicom.catalog.base import NewInstance, StoreOutcome
from neurdicom.catalog.claims import EntityClaims, with_edits
from neurdicom.catalog.mongo.entities import (
    as_edits,
    build,
    edits_key,
    edits_of,
    modalities_fields,
    refresh,
    refresh_all,
)
from neurdicom.catalog.mongo.schema import HEADER_PART, MAX_PARTS, Document, collection, header_ids, search_fields
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.errors import TooLarge

_ABOVE = (Level.PATIENT, Level.STUDY, Level.SERIES)


class Arrivals:
    """Writer of arrivals, numbered from `first` on, to the collections."""

    def __init__(self, unit: UnitOfWork, arrivals: Sequence[NewInstance], first: int) -> None:
        self._unit = unit
        self._arrivals = arrivals
        self._first = first
        self._pending: list[tuple[int, NewInstance, EntityClaims]] = []

    async def store(self) -> list[StoreOutcome]:
        """Store the arrivals in order; return the outcome of each."""
        fields = ("sha256", "blob_key", "arrival", "parts", *_ABOVE)
        wanted = {new.instance for new in self._arrivals}
        known = {one["_id"]: one for one in await self._unit.among("instances", wanted, *fields)}
        await self._unit.announce(self._intent(known.values()))
        outcomes = []
        for number, new in enumerate(self._arrivals, self._first):
            old = known.get(new.instance)
            if old is not None and old["sha256"] == new.blob.sha256:
                unused = new.blob.key if new.blob.key != old["blob_key"] else None
                await self._unit.add_garbage([unused] if unused else [])
                outcomes.append(StoreOutcome("duplicate", unused))
                continue
            self._pending.append((number, new, EntityClaims.from_arrival(new)))
            if old is None:
                outcomes.append(StoreOutcome("stored"))
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

    async def _replace(self, number: int, new: NewInstance) -> StoreOutcome:
        """Replace the stored instance with the last pending arrival."""
        replacing = self._pending.pop()
        await self._flush()
        unit = self._unit
        old = await unit.one("instances", new.instance)
        if old is None:
            raise LookupError(f"the instance {new.instance} was deleted while it was being replaced")
        self._pending.append(replacing)
        await self._flush(replaced=old)
        await unit.remove("headers", header_ids(old))
        await refresh(unit, Level.SERIES, old["series"])
        if old["blob_key"] == new.blob.key:
            return StoreOutcome("replaced")
        await unit.add_garbage([old["blob_key"]])
        return StoreOutcome("replaced", old["blob_key"])

    async def _flush(self, replaced: Document | None = None) -> None:
        """Write the pending instances, and add them to the counts of the entities above."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        unit = self._unit
        above = await Ancestors.load(unit, [claims for _, _, claims in pending])
        instances, headers, late = [], [], set()
        packed = await asyncio.to_thread(lambda: [_packed(number, new, claims) for number, new, claims in pending])
        for (number, new, claims), parts in zip(pending, packed, strict=True):
            chain = above.count(claims, number)
            late |= {(level, entity) for level, entity in chain.items() if above.source(level, entity) > number}
            ids = {level.value: entity for level, entity in chain.items()}
            edits = await edits_of(unit, Level.INSTANCE, new.instance) if above.edited(new.instance) else []
            attributes = with_edits(claims.at(Level.INSTANCE), edits)
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


class Ancestors:
    """The entities above several arrivals, existing and new, with the numbers to add to their counts."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit = unit
        self._known: dict[tuple[Level, str], Document] = {}
        self._edits: dict[str, Document] = {}
        self._new: set[tuple[Level, str]] = set()
        self._counts: dict[tuple[Level, str], dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._modalities: dict[str, set[Value]] = defaultdict(set)

    @classmethod
    async def load(cls, unit: UnitOfWork, claimed: Sequence[EntityClaims]) -> "Ancestors":
        """Load the entities that exist already, a level at a time, and the edits of all."""
        above = cls(unit)
        wanted = {level: {claims.ids[level] for claims in claimed} for level in Level}
        for level in reversed(_ABOVE):
            for found in await unit.among(collection(level), wanted[level]):
                above._known[level, found["_id"]] = found
                for upper in level.above:
                    wanted[upper].add(found[upper])
        keys = [edits_key(level, entity) for level, ids in wanted.items() for entity in ids]
        above._edits = {found["_id"]: found for found in await unit.among("edits", keys)}
        return above

    def edited(self, instance: str) -> bool:
        """Tell whether an instance has edits of its own."""
        return edits_key(Level.INSTANCE, instance) in self._edits

    def source(self, level: Level, entity: str) -> int:
        """Return the number of the arrival that an entity's attributes come from."""
        return int(self._known[level, entity]["source"])

    def count(self, claims: EntityClaims, number: int) -> dict[Level, str]:
        """Count one more instance; return the ids of the entities above it."""
        series = self._ensure(Level.SERIES, claims, number)
        chain = {Level.PATIENT: series["patient"], Level.STUDY: series["study"], Level.SERIES: series["_id"]}
        for level, entity in chain.items():
            self._counts[level, entity]["images_count"] += 1
        return chain

    def _ensure(self, level: Level, claims: EntityClaims, number: int) -> Document:
        entity = claims.ids[level]
        found = self._known.get((level, entity))
        if found is not None:
            return found
        parent = self._ensure(level.parent, claims, number) if level.parent else None
        edits = as_edits(self._edits.get(edits_key(level, entity)))
        attributes = with_edits(claims.at(level), edits)
        found = self._known[level, entity] = build(level, entity, parent, attributes, number)
        self._new.add((level, entity))
        if level.parent and parent:
            self._counts[level.parent, parent["_id"]][COUNTS[level.parent][0]] += 1
        if level is Level.SERIES and parent:
            self._modalities[parent["_id"]].add(attributes.get("modality"))
        return found

    async def write(self) -> None:
        """Write the new entities, and add to the counts of the existing ones."""
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


def _packed(number: int, new: NewInstance, claims: EntityClaims) -> list[Document]:
    data = zlib.compress(new.header, 1)
    pieces = [data[start : start + HEADER_PART] for start in range(0, len(data), HEADER_PART)]
    if len(pieces) > MAX_PARTS:
        raise TooLarge(
            f"the header of {new.instance} has {len(data)} bytes after compression; "
            f"at most {HEADER_PART * MAX_PARTS} can be stored"
        )
    parts: list[Document] = [{"_id": number * MAX_PARTS + n, "data": piece} for n, piece in enumerate(pieces)]
    parts[0]["origin"] = zlib.compress(claims.to_document(), 1)
    return parts
