"""Entities above the instances: made from an instance's claims, and updated to the instances below them."""

import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import UpdateOne

from neurdicom.catalog.base import Edit
from neurdicom.catalog.claims import EntityClaims, with_edits
from neurdicom.catalog.mongo.schema import MAX_PARTS, Document, collection, inherited, search_fields
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value, search_keys


def edits_key(level: Level, entity: str) -> str:
    """Write the id of the document that holds an entity's edits."""
    return f"{level}:{entity}"


def as_edits(document: Document | None) -> list[Edit]:
    """Read the edits of a document of the collection `edits`, in the order of fields."""
    if document is None:
        return []
    level, entity = Level(document["level"]), document["entity"]
    kept = sorted(document["fields"].items())
    return [Edit(level, entity, field, orjson.loads(e["value"]), e["user"], e["time"]) for field, e in kept]


async def edits_of(unit: UnitOfWork, level: Level, entity: str) -> list[Edit]:
    """Look up the edits of an entity.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        Id of the entity.
    """
    return as_edits(await unit.one("edits", edits_key(level, entity)))


def build(level: Level, entity: str, parent: Document | None, attributes: Mapping[str, Value], source: int) -> Document:
    """Make the document of a patient, study or series, with counts of 0.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : str
        Id of the entity.
    parent : Document or None
        Document of the entity above; None for a patient.
    attributes : Mapping[str, Value]
        Effective values of its own attributes.
    source : int
        Number of the arrival that they come from.
    """
    document = {
        "_id": entity,
        **inherited(level, parent),
        **search_fields(level, attributes),
        "source": source,
        "attributes": to_json(attributes).decode(),
        **dict.fromkeys(COUNTS[level], 0),
    }
    if level is Level.SERIES:
        document["modality"] = attributes.get("modality")
    if level is Level.STUDY:
        document |= modalities_fields(set())
    return document


def modalities_fields(modalities: set[Any]) -> Document:
    """Write the members of a study for the modalities of its series: as returned, and as searched."""
    shown = sorted(str(one) for one in modalities if one)
    return {"modalities": shown, "keys_modalities": sorted(set(search_keys("modalities", [*shown])))}


async def make(unit: UnitOfWork, level: Level, claims: EntityClaims, source: int) -> Document:
    """Find the document of the entity that an instance claims; create it, and those above, if it is new.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    claims : EntityClaims
        The claims of the instance.
    source : int
        Number of the instance's arrival.
    """
    entity = claims.ids[level]
    found = await unit.one(collection(level), entity)
    if found is not None:
        return found
    parent = await make(unit, level.parent, claims, source) if level.parent else None
    attributes = with_edits(claims.at(level), await edits_of(unit, level, entity))
    document = build(level, entity, parent, attributes, source)
    await unit[collection(level)].insert_one(document, session=unit.session)
    return document


async def refresh(unit: UnitOfWork, level: Level, entity: str, *, force: bool = False) -> None:
    """Recompute an entity and those above it from the instances below and the edits; delete it if none is left.

    All entities of a level are updated before the next level, so that an entity that loses one child and gains another
    is never found empty.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        Id of the entity.
    force : bool
        True to copy its search fields to the entities below even if they did not change.
    """
    await refresh_all(unit, {(level, entity)}, force=force)


async def refresh_all(unit: UnitOfWork, touched: set[tuple[Level, str]], *, force: bool = False) -> None:
    """Update several entities, as `refresh` does.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    touched : set of (Level, str)
        Levels and ids; instances among them are ignored.
    force : bool
        True to copy their search fields to the entities below even if they did not change.
    """
    entities: set[str] = set()
    for level in reversed(Level.INSTANCE.above):
        above: set[str] = set()
        for entity in sorted(entities | {one for step, one in touched if step is level}):
            above |= await _refresh_one(unit, level, entity, force=force)
        entities = above


async def _refresh_one(unit: UnitOfWork, level: Level, entity: str, *, force: bool) -> set[str]:
    """Update one entity; return the ids of the entities above that this may affect."""
    name = collection(level)
    earlier = await unit.one(name, entity)
    above = {earlier[level.parent]} if earlier and level.parent else set()
    below = await _below(unit, level, entity)
    if below is None:
        await unit.remove("edits", [edits_key(level, entity)])
        await unit.remove(name, [entity])
        return above
    document = await _renewed(unit, level, entity, earlier, below)
    if level.parent:
        await unit.touch({(level.parent, parent) for parent in above - {document[level.parent]}})
        above.add(document[level.parent])
    await unit[name].replace_one({"_id": entity}, document, upsert=True, session=unit.session)
    if force or earlier is None or _passed_on(level, earlier) != _passed_on(level, document):
        await _pass_on(unit, level, document)
    return above


async def _below(unit: UnitOfWork, level: Level, entity: str) -> Document | None:
    """Collect source, counts and modalities from the level below; None if nothing is below."""
    session = unit.session
    if level is Level.SERIES:
        first = await unit["instances"].find_one(
            {"series": entity}, {"arrival": 1}, sort=[("arrival", 1)], session=session
        )
        count = await unit["instances"].count_documents({"series": entity}, session=session)
        return {"source": first["arrival"], "images_count": count} if first else None
    child = level.child or level
    children = await unit.all(collection(child), {level.value: entity}, "source", "images_count", "modality")
    if not children:
        return None
    found: Document = {
        "source": min(one["source"] for one in children),
        COUNTS[level][0]: len(children),
        "images_count": sum(one["images_count"] for one in children),
    }
    if level is Level.STUDY:
        found |= modalities_fields({one.get("modality") for one in children})
    return found


async def _renewed(unit: UnitOfWork, level: Level, entity: str, earlier: Document | None, below: Document) -> Document:
    """Make the new document of an entity from `below`, which `_below` collected."""
    source = below["source"]
    parent, attributes = None, None
    if earlier is not None and earlier["source"] == source:
        attributes = orjson.loads(earlier["attributes"])
        parent = await unit.one(collection(level.parent), earlier[level.parent]) if level.parent else None
    if attributes is None or (level.parent and parent is None):
        header = await unit.one("headers", source * MAX_PARTS)
        if header is None:
            raise LookupError(f"the {level} {entity} has no header of arrival {source}")
        claims = EntityClaims.from_document(zlib.decompress(header["origin"]))
        attributes = claims.at(level)
        parent = await make(unit, level.parent, claims, source) if level.parent else None
    shown = with_edits(attributes, await edits_of(unit, level, entity))
    return build(level, entity, parent, shown, source) | below


def _passed_on(level: Level, document: Document) -> Document:
    return inherited(level.child or level, document)


async def _pass_on(unit: UnitOfWork, level: Level, document: Document) -> None:
    """Copy the ids and search fields of a document to those of all entities below it."""
    child, entity = level.child or level, document["_id"]
    new = inherited(child, document)
    if child is Level.INSTANCE:
        await unit["instances"].update_many({"series": entity}, {"$set": new}, session=unit.session)
        return
    children = await unit.all(collection(child), {level.value: entity})
    operations = []
    for one in children:
        own = build(child, one["_id"], document, orjson.loads(one["attributes"]), one["source"])
        kept = {name: one[name] for name in (*COUNTS[child], "modalities", "keys_modalities") if name in one}
        gone = {name: "" for name in one if name not in own and name not in kept}
        changes: Document = {"$set": {name: value for name, value in (own | kept).items() if name != "_id"}}
        operations.append(UpdateOne({"_id": one["_id"]}, changes | ({"$unset": gone} if gone else {})))
    await unit.bulk(collection(child), operations)
    for one in await unit.all(collection(child), {level.value: entity}):
        await _pass_on(unit, child, one)
