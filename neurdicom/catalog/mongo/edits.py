"""The documents of edits, by the keys of their entities."""

from collections.abc import Iterable

import orjson

from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.records import Edit
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level


def edits_key(level: Level, entity: str) -> str:
    """Write the id of the document that holds the edits of the entity with a key."""
    return f"{level}:{entity}"


def as_edits(document: Document | None) -> list[Edit]:
    """Read the edits of a document of the collection `edits`, in the order of fields."""
    if document is None:
        return []
    level, entity = Level(document["level"]), document["entity"]
    kept = sorted(document["fields"].items())
    return [Edit(level, entity, field, orjson.loads(e["value"]), e["user"], e["time"]) for field, e in kept]


async def edits_of(unit: UnitOfWork, *entities: tuple[Level, str]) -> list[Edit]:
    """Look up the edits of entities, by level and key, in the given order."""
    wanted = [edits_key(level, entity) for level, entity in entities]
    found = {one["_id"]: one for one in await unit.among("edits", wanted)}
    return [edit for one in wanted for edit in as_edits(found.get(one))]


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
