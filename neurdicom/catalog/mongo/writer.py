"""Deletions, and the recovery of any interrupted write: in an order that recovery can finish.

A blob becomes garbage only when no instance refers to it any more.
"""

import orjson

from neurdicom.catalog.mongo.displaced import known_blobs, settle_displaced
from neurdicom.catalog.mongo.editing import show
from neurdicom.catalog.mongo.edits import forget_edits
from neurdicom.catalog.mongo.entities import refresh, refresh_all
from neurdicom.catalog.mongo.holdings import recount, stored_bytes
from neurdicom.catalog.mongo.ids import show_ids
from neurdicom.catalog.mongo.moving import settle_moves
from neurdicom.catalog.mongo.ownership import (
    Claims,
    as_claims,
    forget_claims,
    settle_names,
    with_claim,
    write_claims,
)
from neurdicom.catalog.mongo.references import one_of
from neurdicom.catalog.mongo.schema import ENTITIES, MAX_PARTS, Document, collection, header_ids, natural_keys
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.outcomes import version_place
from neurdicom.dicom.identity import PatientClaim, uid_of
from neurdicom.dicom.query.attributes import Level

_SHARED = {"$regex": "~"}
_NAMED = ("key", "uid", "patient", "above", "natural")


async def delete(unit: UnitOfWork, level: Level, reference: str, aside: str = "") -> list[str] | None:
    """Delete an entity, all below it, and parents left empty, for `Catalog.delete`."""
    found = await one_of(unit, level, reference, "study", "series")
    if found is None:
        return None
    entity = found["_id"]
    above = {(upper, found[upper]) for upper in level.above}
    uids = await _shared_below(unit, level, entity)
    for upper in level.above[1:]:
        uids |= {(upper, one["uid"]) for one in await unit.all(collection(upper), {"_id": found[upper], "id": _SHARED})}
    touched = above | {(level, entity)}
    await unit.announce(Intent(touched=touched, delete=(level, entity), aside=aside, uids=uids))
    keys = await sweep(unit, level, entity, aside)
    if level.parent:
        await refresh(unit, level.parent, found[level.parent])
    for shared, uid in sorted(uids):
        await show_ids(unit, shared, uid)
    return keys


def _below(level: Level) -> tuple[Level, ...]:
    return tuple(Level)[tuple(Level).index(level) + 1 :]


async def _shared_below(unit: UnitOfWork, level: Level, entity: str) -> set[tuple[Level, str]]:
    """List the UIDs of an entity, and of those below, that name several."""
    found: set[tuple[Level, str]] = set()
    for below in (level, *_below(level)):
        if below is not Level.PATIENT:
            where = {"_id" if below is level else level.value: entity, "id": _SHARED}
            found |= {(below, one["uid"]) for one in await unit.all(collection(below), where, "uid")}
    return found


async def sweep(unit: UnitOfWork, level: Level, entity: str, aside: str) -> list[str]:
    """Delete an entity and all below it; may be repeated after an interruption.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entity.
    entity : str
        `_id` of the entity.
    aside : str
        Place that the blobs are set aside to; empty to delete them.

    Returns
    -------
    list of str
        Keys of the blobs that became garbage, in the order of arrival.
    """
    where = {"_id" if level is Level.INSTANCE else level.value: entity}
    instances = await unit.all("instances", where, "blob_key", "arrival", "parts", "series", "uid")
    displaced = await _displaced_with(unit, level, instances)
    files = sorted((*instances, *displaced), key=lambda one: int(one["arrival"]))
    keys = [one["blob_key"] for one in files]
    await unit.add_garbage(dict.fromkeys(keys, aside))
    await unit.remove("headers", [part for one in files for part in header_ids(one)])
    await unit.remove("displaced", [one["_id"] for one in displaced])
    for below in reversed((level, *_below(level))):
        member = "_id" if below is level else level.value
        found = await unit.all(collection(below), {member: entity}, *_NAMED, "bytes")
        if below is Level.SERIES:
            for one in found:
                await unit["origins"].delete_many({"series": one["_id"]}, session=unit.session)
        if below is Level.STUDY:
            unit.count_bytes(-sum(one.get("bytes", 0) for one in found))
            await forget_claims(unit, [one["uid"] for one in found], [one["_id"] for one in found])
        await forget_edits(unit, below, [key for one in found for key in natural_keys(below, one)])
        await unit.remove(collection(below), [one["_id"] for one in found])
    return keys


async def _displaced_with(unit: UnitOfWork, level: Level, instances: list[Document]) -> list[Document]:
    """List the displaced files that are deleted with instances, while these are there."""
    series = {one["series"] for one in instances}
    found = await unit.among("displaced", series, "blob_key", "arrival", "parts", "uid", by="series")
    uids = {one["uid"] for one in instances}
    return [one for one in found if level is not Level.INSTANCE or one["uid"] in uids]


async def wipe(unit: UnitOfWork) -> None:
    """Delete all DICOM entities, but neither edits, claims nor blobs."""
    unit.count_bytes(-await stored_bytes(unit.database))
    for name in (*map(collection, Level), *ENTITIES):
        await unit[name].delete_many({}, session=unit.session)


async def clear(unit: UnitOfWork) -> None:
    """Delete all DICOM entities, as a reindex begins with, by an announced write."""
    await unit.announce(Intent(clear=True))
    await wipe(unit)


async def recover(unit: UnitOfWork, intent: Intent) -> None:
    """Finish an interrupted write; may itself be interrupted and repeated."""
    if intent.of_before:
        await finish_of_before(unit, intent)
        return
    if intent.clear:
        await wipe(unit)
    if intent.delete is not None:
        await sweep(unit, *intent.delete, intent.aside)
    stored = await _settle_blobs(unit, intent)
    owners = await _restored_claims(unit, intent, stored)
    await settle_names(unit, intent.moves, owners)
    if intent.moved or intent.origins:
        await settle_moves(unit, intent)
    for level, entity in sorted(intent.touched):
        if level is Level.SERIES:
            await settle_displaced(unit, entity)
    for level, entity in sorted(intent.touched):
        if level is Level.INSTANCE:
            await show(unit, entity, intent.undone)
    await refresh_all(unit, intent.touched, force=True, keep_edits=bool(intent.origins))
    # Studies and series that were made just now have their keys as ids.
    made = {(level, uid_of(entity)) for level, entity in intent.touched if level in (Level.STUDY, Level.SERIES)}
    for level, uid in sorted(intent.uids | made):
        await show_ids(unit, level, uid, force=True)


async def _settle_blobs(unit: UnitOfWork, intent: Intent) -> list[Document]:
    """Discard blobs and headers that an interrupted write left unused; return the instances that it stored."""
    used = await known_blobs(unit, intent.keys)
    unused = [key for key in intent.keys if key not in used]
    await unit.add_garbage({key: version_place(key) if intent.keeps_versions else intent.aside for key in unused})
    stored = await unit.among("instances", intent.arrivals, "arrival", "origin", by="arrival")
    stored += await unit.among("displaced", intent.arrivals, "arrival", "origin", by="arrival")
    for number in set(intent.arrivals) - {one["arrival"] for one in stored}:
        await unit.remove("headers", range(number * MAX_PARTS, (number + 1) * MAX_PARTS))
    return [one for one in stored if "origin" in one]  # a migration may not have come to the others


async def finish_of_before(unit: UnitOfWork, intent: Intent) -> None:
    """Finish a write that an earlier version left interrupted; the entities above the instances are made anew later."""
    if intent.clear:
        await wipe(unit)
    if intent.delete is not None:
        level, entity = intent.delete
        member = "_id" if level is Level.INSTANCE else level.value
        above = [upper.value for upper in Level.INSTANCE.above]
        gone = await unit.all("instances", {member: entity}, *above, "blob_key", "parts", "arrival")
        await unit.add_garbage({one["blob_key"]: "" for one in gone})
        await unit.remove("headers", [part for one in gone for part in header_ids(one)])
        for below in (level, *_below(level)):
            named = "_id" if below is Level.INSTANCE else below.value
            await forget_edits(unit, below, {one[named] for one in gone} | ({entity} if below is level else set()))
        await unit.remove("instances", [one["_id"] for one in gone])
    await _settle_blobs(unit, intent)


async def _restored_claims(unit: UnitOfWork, intent: Intent, stored: list[Document]) -> dict[str, Claims]:
    """Make claims those before the write, and those of its instances that were stored."""
    owners = {study: as_claims(before) for study, before in intent.claims.items()}
    if not owners:
        return owners
    origins = {one["_id"]: one for one in await unit.among("origins", {one["origin"] for one in stored})}
    for one in sorted(stored, key=lambda one: int(one["arrival"])):
        origin = origins.get(one["origin"])
        said = orjson.loads(origin["attributes"]) if origin else {}
        study = said.get("study_instance_uid", "")
        if origin is not None and study in owners:
            owners[study] = with_claim(owners[study], PatientClaim.read(origin["claim"], said))
    await write_claims(unit, owners)
    return owners


async def rebuild(unit: UnitOfWork) -> None:
    """Rewrite the search fields of all documents, after attributes became filterable; may be repeated."""
    for one in await unit.all("instances", {}, "_id"):
        await show(unit, one["_id"])
    series = {(Level.SERIES, one["_id"]) for one in await unit.all("series", {}, "_id")}
    await refresh_all(unit, series, force=True)
    await recount(unit.database)
