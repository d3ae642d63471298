"""The documents of edits, one for each entity that has any, by its key.

`fields` has the edits that count, by field; `history` all of them in their order. Documents from before histories have
`fields` alone, without ids.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from neurdicom.catalog.edits import effective, joined, moved_to
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit, earlier_edit_id
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level

#: Members of a document that tell which edits count.
EFFECTIVE = ("level", "entity", "fields")


def edits_key(level: Level, entity: str) -> str:
    """Write the id of the document that holds the edits of the entity with a key."""
    return f"{level}:{entity}"


def as_edits(document: Document | None) -> list[Edit]:
    """Read the edits of a document that count, in the order of fields."""
    if document is None:
        return []
    return [_as_edit(document, {**one, "field": field}) for field, one in sorted(document["fields"].items())]


def as_history(document: Document | None) -> list[Edit]:
    """Read all edits of a document, the earliest first."""
    if document is None:
        return []
    if "history" in document:
        return [_as_edit(document, one) for one in document["history"]]
    return sorted(as_edits(document), key=lambda edit: (edit.time, edit.field))


def _as_edit(document: Document, one: Document) -> Edit:
    level, entity, field, time = Level(document["level"]), document["entity"], one["field"], one["time"]
    before = orjson.loads(one.get("before", "null"))
    edit_id = one.get("id") or earlier_edit_id(level, entity, field, time)
    return Edit(level, entity, field, orjson.loads(one["value"]), one["user"], time, before, edit_id)


def with_history(owner: Document, history: Sequence[Edit]) -> Document:
    """Write all edits of an entity as a document.

    Parameters
    ----------
    owner : Document
        The members that `owner_members` makes.
    history : sequence of Edit
        Its edits, in their order.
    """
    fields = {edit.field: _members(edit) for edit in effective(history)}
    kept = [{"field": edit.field, **_members(edit)} for edit in history]
    key = edits_key(Level(owner["level"]), owner["entity"])
    return {name: owner[name] for name in _OWNER if name in owner} | {"_id": key, "fields": fields, "history": kept}


_OWNER = ("level", "entity", "study", "series")


def _members(edit: Edit) -> dict[str, Any]:
    value, before = to_json(edit.value).decode(), to_json(edit.before).decode()
    return {"value": value, "user": edit.user, "time": edit.time, "before": before, "id": edit.id}


async def edits_of(unit: UnitOfWork, *entities: tuple[Level, str]) -> list[Edit]:
    """Look up the edits that count of entities, by level and key, in the given order."""
    wanted = [edits_key(level, entity) for level, entity in entities]
    found = {one["_id"]: one for one in await unit.among("edits", wanted, *EFFECTIVE)}
    return [edit for one in wanted for edit in as_edits(found.get(one))]


async def history_of(unit: UnitOfWork, level: Level, key: str) -> list[Edit]:
    """List all edits of an entity, the earliest first.

    Parameters
    ----------
    unit : UnitOfWork
        Any unit.
    level : Level
        Level of the entity.
    key : str
        Its key.
    """
    return as_history(await unit.one("edits", edits_key(level, key)))


async def write_history(unit: UnitOfWork, owner: Document, history: Sequence[Edit]) -> None:
    """Write all edits of an entity, in one step.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    owner : Document
        The members that `owner_members` makes.
    history : sequence of Edit
        Its edits, in their order.
    """
    document = with_history(owner, history)
    if history:
        await unit["edits"].replace_one({"_id": document["_id"]}, document, upsert=True, session=unit.session)
    else:
        await unit.remove("edits", [document["_id"]])


async def rename_history(unit: UnitOfWork, document: Document, owner: Document) -> None:
    """Give the edits of a document to another entity, or to the same one by another key; may be repeated.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    document : Document
        The document.
    owner : Document
        The members of the other entity that `owner_members` makes.
    """
    level, key = Level(owner["level"]), str(owner["entity"])
    there = await history_of(unit, level, key)
    await write_history(unit, owner, joined(there, moved_to(as_history(document), key)))
    await unit.remove("edits", [document["_id"]])


async def edits_of_keys(unit: UnitOfWork, *entities: tuple[Level, Sequence[str]]) -> list[Edit]:
    """Look up the effective edits of entities, by level and keys; those of several keys as `in_order` joins them."""
    found = await edits_of(unit, *((level, key) for level, keys in entities for key in keys))
    by_key: dict[tuple[Level, str], list[Edit]] = {}
    for edit in found:
        by_key.setdefault((edit.level, edit.entity), []).append(edit)
    return [edit for level, keys in entities for edit in in_order([by_key.get((level, key), ()) for key in keys])]


def in_order(edits: Sequence[Sequence[Edit]]) -> list[Edit]:
    """Join the edits that count of each key of an entity; those of several in the order of time, so that the last does.

    Of edits that were made at one time each key's are in the order of fields, as those of one key are.
    """
    found = [edit for of_key in edits for edit in of_key]
    return found if len(edits) == 1 else sorted(found, key=lambda edit: (edit.time, edit.field))


def owner_members(level: Level, entity: Document) -> Document:
    """Make the members of a document of edits that tell whose they are.

    Parameters
    ----------
    level : Level
        Level of the entity.
    entity : Document
        Its document.
    """
    members: Document = {"level": level.value, "entity": entity["key"]}
    uids = {upper: uid_of(key) for upper, key in entity.get("above", {}).items()}
    if "natural" in entity and "study" in uids:
        uids["study"] = entity["natural"][0][1]  # the key is made of it
    if level is not Level.PATIENT:
        uids[level.value] = entity["uid"]
    return members | {name: uids[name] for name in ("study", "series") if name in uids}


async def forget_edits(unit: UnitOfWork, level: Level, keys: Iterable[str]) -> None:
    """Delete the edits of entities.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    level : Level
        Level of the entities.
    keys : iterable of str
        Their keys.
    """
    await unit.remove("edits", [edits_key(level, key) for key in keys])
