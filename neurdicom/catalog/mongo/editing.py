"""Edits of entities: making, undoing and restoring them, each by an announced write."""

import zlib
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

import orjson

from neurdicom.catalog.claims import with_edits
from neurdicom.catalog.edits import joined, moved_to, with_changes, without
from neurdicom.catalog.mongo.edits import (
    as_history,
    edits_key,
    edits_of_keys,
    history_of,
    owner_members,
    write_history,
)
from neurdicom.catalog.mongo.entities import refresh_all
from neurdicom.catalog.mongo.references import one_of, part_named
from neurdicom.catalog.mongo.schema import Document, header_ids, instance_fields, natural_keys
from neurdicom.catalog.mongo.unit import Intent, UnitOfWork
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value
from neurdicom.dicom.query.indexed import attributes_of


async def history(unit: UnitOfWork, level: Level, reference: str) -> list[Edit]:
    """List all edits of an entity, for `Catalog.history`."""
    found = await one_of(unit, level, reference)
    return [] if found is None else await _history(unit, level, found)


async def _history(unit: UnitOfWork, level: Level, entity: Document) -> list[Edit]:
    """List the edits of an entity by all of its keys, in the order of time."""
    histories = [await history_of(unit, level, key) for key in natural_keys(level, entity)]
    if len(histories) == 1:
        return histories[0]
    return sorted((edit for history in histories for edit in history), key=lambda edit: edit.time)


async def edit(
    unit: UnitOfWork, level: Level, reference: str, changes: Mapping[str, Value], user: str, time: str
) -> bool:
    """Store edits of an entity and apply them, for `Catalog.edit`."""
    found = await one_of(unit, level, reference, "attributes")
    if found is None:
        return False
    touched = await _touched(unit, level, found["_id"])
    await unit.announce(Intent(touched=touched))
    if changes:
        key = found["key"]
        there = await history_of(unit, level, key)
        shown = orjson.loads(found["attributes"])
        after = with_changes(there, (level, key), changes, shown, user=user, time=time)
        await write_history(unit, owner_members(level, found), after)
        await _show_all(unit, touched)
    return True


async def undo(unit: UnitOfWork, level: Level, reference: str, edit_id: str) -> bool:
    """Undo an edit of an entity, for `Catalog.undo`."""
    found = await one_of(unit, level, reference)
    if found is None:
        return False
    there = await _history(unit, level, found)
    owner = await _document_of(unit, level, next((edit.entity for edit in there if edit.id == edit_id), ""))
    left = without(as_history(owner), edit_id)
    if owner is None or left is None:
        return False
    undone = {edit.field for edit in there} if level is Level.INSTANCE else set()
    touched = await _touched(unit, level, found["_id"])
    await unit.announce(Intent(touched=touched, undone=sorted(undone)))
    await write_history(unit, owner, left)
    await _show_all(unit, touched, undone)
    return True


async def _document_of(unit: UnitOfWork, level: Level, key: str) -> Document | None:
    """Look up the document of an entity's edits by its key; None if it has none."""
    return await unit.one("edits", edits_key(level, key)) if key else None


async def restore(unit: UnitOfWork, edits: Sequence[Edit]) -> None:
    """Bring edits back, for `Catalog.restore_edits`."""
    written: list[tuple[Document, list[Edit]]] = []
    touched: set[tuple[Level, str]] = set()
    ordered = sorted(edits, key=lambda one: (one.level, one.entity))
    for (level, reference), of_one in groupby(ordered, key=lambda one: (one.level, one.entity)):
        found = await one_of(unit, level, reference)
        if found is not None:
            part = await part_named(unit, level, found, reference)
            written.append((owner_members(level, part), moved_to(of_one, part["key"])))
            touched |= await _touched(unit, level, found["_id"])
    await unit.announce(Intent(touched=touched))
    for owner, back in written:
        there = await history_of(unit, Level(owner["level"]), owner["entity"])
        await write_history(unit, owner, joined(there, back))
    await _show_all(unit, touched)


async def _touched(unit: UnitOfWork, level: Level, entity: str) -> set[tuple[Level, str]]:
    """List the entities that show the edits of an entity, by level and `_id`."""
    studies = await unit.all("studies", {"patient": entity}, "_id") if level is Level.PATIENT else []
    return {(level, entity), *((Level.STUDY, one["_id"]) for one in studies)}


async def _show_all(unit: UnitOfWork, touched: set[tuple[Level, str]], undone: Collection[str] = ()) -> None:
    instances = {(level, entity) for level, entity in touched if level is Level.INSTANCE}
    for _, entity in sorted(instances):
        await show(unit, entity, undone)
    if touched - instances:
        await refresh_all(unit, touched - instances)


async def show(unit: UnitOfWork, entity: str, undone: Collection[str] = ()) -> None:
    """Apply the stored edits of an instance to its document; an unknown one is ignored.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    entity : str
        `_id` of the instance.
    undone : collection of str
        Fields that show what the file says where no edit is left.
    """
    found = await unit.one("instances", entity)
    if found is not None:
        renewed = await with_stored_edits(unit, found, undone)
        await unit["instances"].replace_one({"_id": entity}, renewed, session=unit.session)


async def with_stored_edits(unit: UnitOfWork, instance: Document, undone: Collection[str] = ()) -> Document:
    """Apply the stored edits of an instance to its document, and return it.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    instance : Document
        The document.
    undone : collection of str
        Fields that show what the file says where no edit is left.
    """
    shown = orjson.loads(instance["attributes"])
    if undone:
        shown |= await said_by_file(unit, instance, undone)
    keys = natural_keys(Level.INSTANCE, instance)
    attributes = with_edits(shown, await edits_of_keys(unit, (Level.INSTANCE, keys)))
    kept = {name: value for name, value in instance.items() if not name.startswith(("by_", "keys_"))}
    return kept | instance_fields(attributes) | {"attributes": to_json(attributes).decode()}


async def said_by_file(unit: UnitOfWork, instance: Document, fields: Collection[str]) -> dict[str, Value]:
    """Read attributes of an instance from its header, where edits hide what the file says.

    Parameters
    ----------
    unit : UnitOfWork
        The running write.
    instance : Document
        Its document.
    fields : collection of str
        Fields of the attributes.
    """
    parts = {one["_id"]: one["data"] for one in await unit.among("headers", header_ids(instance), "data")}
    header = zlib.decompress(b"".join(parts[part] for part in header_ids(instance)))
    said = attributes_of(orjson.loads(header))
    return {field: said.get(field) for field in fields}
