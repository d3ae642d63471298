"""Ids that users see: the UID of an entity while it names one, otherwise its key; and the UIDs that name several."""

from collections.abc import Collection
from typing import Any

from pymongo import UpdateOne

from neurdicom.catalog.mongo.schema import Document, collection, inherited, inherited_names, own_key
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.outcomes import CONFLICT_LEVELS, UidConflict, is_conflict
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import BY_FIELD, Level

_BATCH = 1000


def rekeyed(entity: Document, key: str) -> Document:
    """Make the members of an entity that name it, with another key."""
    shown = key if entity["id"] == entity["key"] else entity["id"]
    return {"key": key, "uid": uid_of(key), "id": shown}


def free_row(key: str, taken: Collection[str], number: int) -> str:
    """Choose the `_id` of a new entity: its key, unless an entity that had that key before has it.

    Parameters
    ----------
    key : str
        Its key.
    taken : collection of str
        `_id`s of all that have its UID.
    number : int
        Number of an arrival, which is part of it then.
    """
    return key if key not in taken else f"{key}#{number}"


async def show_ids(unit: UnitOfWork, level: Level, uid: str, *, force: bool = False) -> None:
    """Give the entities of a UID the ids that users see, and pass these on to all below them; may be repeated.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entities, below the patient.
    uid : str
        The UID.
    force : bool
        True to pass ids on even where they did not change.
    """
    fields = ("key", "uid", "id") if level is Level.INSTANCE else ()
    entities = await unit.all(collection(level), {"uid": uid}, *fields)
    several = len(entities) > 1
    shared = {"_id": f"{level}:{uid}"}
    if several:
        # Whoever adds or removes one of several writes here, so that concurrent transactions see each other.
        marked = {"$set": {"level": level.value, "uid": uid}, "$inc": {"changes": 1}}
        await unit["shared"].update_one(shared, marked, upsert=True, session=unit.session)
    else:
        await unit.remove("shared", [shared["_id"]])
    for one in entities:
        wanted = one["key"] if several else uid
        changed = wanted != one["id"]
        if changed:
            one["id"] = wanted
            await unit[collection(level)].update_one(
                {"_id": one["_id"]}, {"$set": {"id": wanted}}, session=unit.session
            )
        if (changed or force) and level is not Level.INSTANCE:
            await pass_on(unit, level, one, force=force)


async def pass_on(unit: UnitOfWork, level: Level, document: Document, *, force: bool = False) -> None:
    """Copy references, keys and search fields of a study or series to all below it.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        `STUDY` or `SERIES`.
    document : Document
        Its document.
    force : bool
        True to look at the keys of all instances even where their series did not change.
    """
    if level is Level.SERIES:
        await _pass_to_instances(unit, document)
        return
    operations, below = [], []
    for one in await unit.all("series", {"study": document["_id"]}):
        own = [other for other in one.get("others", ()) if BY_FIELD[other["f"]].level is Level.SERIES]
        new = inherited(Level.SERIES, document)
        new |= rekeyed(one, own_key(Level.SERIES, one | new))
        if others := [*new.pop("others", ()), *own]:
            new["others"] = others
        gone = {name: "" for name in (*inherited_names(Level.SERIES), "also") if name in one and name not in new}
        operations.append(UpdateOne({"_id": one["_id"]}, {"$set": new} | ({"$unset": gone} if gone else {})))
        renewed = {name: value for name, value in one.items() if name not in gone} | new
        if force or inherited(Level.INSTANCE, one) != inherited(Level.INSTANCE, renewed):
            below.append(renewed)
    await unit.bulk("series", operations)
    for one in below:
        await _pass_to_instances(unit, one)


async def _pass_to_instances(unit: UnitOfWork, series: Document) -> None:
    where, new = {"series": series["_id"]}, inherited(Level.INSTANCE, series)
    gone = {} if "also" in new else {"$unset": {"also": ""}}
    await unit["instances"].update_many(where, {"$set": new} | gone, session=unit.session)
    operations: list[Any] = []
    for one in await unit.all("instances", where, "key", "uid", "id", "natural"):
        key = own_key(Level.INSTANCE, one | new)
        if key != one["key"]:
            operations.append(UpdateOne({"_id": one["_id"]}, {"$set": rekeyed(one, key)}))
    for start in range(0, len(operations), _BATCH):
        await unit.bulk("instances", operations[start : start + _BATCH])


async def shared_uids(unit: UnitOfWork, level: Level, uids: Collection[str]) -> set[str]:
    """Select the UIDs that name several entities, for `Catalog.shared`."""
    found = await unit.among("shared", [f"{level}:{uid}" for uid in uids], "uid")
    return {one["uid"] for one in found}


async def conflicts(unit: UnitOfWork) -> list[UidConflict]:
    """List the UIDs that name several entities and are a conflict of their own, for `Catalog.conflicts`."""
    found: list[UidConflict] = []
    for kind, level in CONFLICT_LEVELS.items():
        uids = sorted(one["uid"] for one in await unit.all("shared", {"level": level.value}, "uid"))
        arrival = "arrival" if level is Level.INSTANCE else "source"
        names: dict[str, list[Document]] = {uid: [] for uid in uids}
        for one in await unit.among(collection(level), uids, "uid", "id", "patient", "above", arrival, by="uid"):
            names[one["uid"]].append(one)
        several = {uid: sorted(ones, key=lambda one: int(one[arrival])) for uid, ones in names.items()}
        parted = {
            uid: ones
            for uid, ones in several.items()
            if is_conflict(level, [[one["patient"], *map(uid_of, one.get("above", {}).values())] for one in ones])
        }
        seconds = [ones[1][arrival] for ones in parted.values()]
        received = {
            one["arrival"]: one["received"]
            for one in await unit.among("instances", seconds, "arrival", "received", by="arrival")
        }
        for uid, ones in parted.items():
            ids = tuple(one["id"] for one in ones)
            found.append(UidConflict(kind, uid, ids, received.get(ones[1][arrival], "")))
    return found
