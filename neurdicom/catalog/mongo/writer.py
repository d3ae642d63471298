"""Edits and deletions, and the recovery of any interrupted write: in an order that recovery can finish.

A blob becomes garbage only when no instance refers to it any more.
"""

from collections.abc import Mapping

import orjson

from neurdicom.catalog.claims import with_edits
from neurdicom.catalog.mongo.entities import edits_key, edits_of, refresh, refresh_all
from neurdicom.catalog.mongo.schema import MAX_PARTS, collection, header_ids, search_fields
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


async def delete(unit: UnitOfWork, level: Level, entity: str) -> list[str] | None:
    """Delete an entity, all below it, and parents left empty, for `Catalog.delete`."""
    found = await unit.one(collection(level), entity)
    if found is None:
        return None
    above = {(upper, found[upper]) for upper in level.above}
    await unit.announce(Intent(touched=above | {(level, entity)}, delete=(level, entity)))
    keys = await sweep(unit, level, entity)
    if level.parent:
        await refresh(unit, level.parent, found[level.parent])
    return keys


async def sweep(unit: UnitOfWork, level: Level, entity: str) -> list[str]:
    """Delete an entity and all below it; may be repeated after an interruption.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        Id of the entity.

    Returns
    -------
    list of str
        Keys of the blobs that became garbage, in the order of arrival.
    """
    where = {"_id" if level is Level.INSTANCE else level.value: entity}
    instances = await unit.all("instances", where, "blob_key", "arrival", "parts")
    instances.sort(key=lambda one: one["arrival"])
    keys = [one["blob_key"] for one in instances]
    await unit.add_garbage(keys)
    await unit.remove("headers", [part for one in instances for part in header_ids(one)])
    for below in reversed((level, *tuple(Level)[tuple(Level).index(level) + 1 :])):
        ids = [one["_id"] for one in await unit.all(collection(below), {level.value: entity}, "_id")]
        ids = [entity] if below is level else ids
        await unit.remove("edits", [edits_key(below, one) for one in ids])
        await unit.remove(collection(below), ids)
    return keys


async def wipe(unit: UnitOfWork) -> None:
    """Delete all DICOM entities, but neither edits nor blobs."""
    for name in (*map(collection, Level), "headers"):
        await unit[name].delete_many({}, session=unit.session)


async def clear(unit: UnitOfWork) -> None:
    """Delete all DICOM entities, as a reindex begins with, by an announced write."""
    await unit.announce(Intent(clear=True))
    await wipe(unit)


async def edit(unit: UnitOfWork, level: Level, entity: str, changes: Mapping[str, Value], user: str, time: str) -> bool:
    """Store edits of an entity and apply them, for `Catalog.edit`."""
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


async def show(unit: UnitOfWork, level: Level, entity: str) -> None:
    """Apply the stored edits of an entity of any level to its document.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        Id of the entity; an unknown instance is ignored.
    """
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


async def recover(unit: UnitOfWork, intent: Intent) -> None:
    """Finish an interrupted write; may itself be interrupted and repeated."""
    if intent.clear:
        await wipe(unit)
    if intent.delete is not None:
        await sweep(unit, *intent.delete)
    used = {one["blob_key"] for one in await unit.among("instances", intent.keys, "blob_key", by="blob_key")}
    await unit.add_garbage([key for key in intent.keys if key not in used])
    kept = {one["arrival"] for one in await unit.among("instances", intent.arrivals, "arrival", by="arrival")}
    for number in set(intent.arrivals) - kept:
        parts = {"$gte": number * MAX_PARTS, "$lt": (number + 1) * MAX_PARTS}
        await unit["headers"].delete_many({"_id": parts})
    for level, entity in sorted(intent.touched):
        if level is Level.INSTANCE:
            await show(unit, level, entity)
    await refresh_all(unit, intent.touched, force=True)


async def rebuild(unit: UnitOfWork) -> None:
    """Rewrite the search fields of all documents, after attributes became filterable; may be repeated."""
    for one in await unit.all("instances", {}, "_id"):
        await show(unit, Level.INSTANCE, one["_id"])
    patients = {(Level.PATIENT, one["_id"]) for one in await unit.all("patients", {}, "_id")}
    await refresh_all(unit, patients, force=True)
