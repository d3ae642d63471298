"""From a `Query` to MongoDB's filters, and from documents to entities."""

import asyncio
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.base import Entity, Page
from neurdicom.catalog.mongo.schema import Document, carried, collection
from neurdicom.catalog.projection import (
    EXTRA_SORTS,
    LEVEL_NAMES,
    assemble,
    check_query,
    clean,
    has_many_keys,
    is_text,
    owner_of,
    uid_field,
)
from neurdicom.dicom.attributes import BY_FIELD, COUNTS, Level
from neurdicom.dicom.query import AnyOf, Between, Condition, Like, Query, search_key

Database = AsyncIOMotorDatabase[Document]

#: What an entity is assembled from.
_SHOWN: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: COUNTS[Level.PATIENT],
    Level.STUDY: (*COUNTS[Level.STUDY], "modalities"),
    Level.SERIES: COUNTS[Level.SERIES],
    Level.INSTANCE: ("size", "sha256", "received"),
}


def _projection(level: Level) -> dict[str, int]:
    names = ("attributes", *(above.value for above in level.above), *_SHOWN[level])
    return dict.fromkeys((*names, "patient_attributes") if level is Level.STUDY else names, 1)


def _entity(level: Level, document: Document) -> Entity:
    ids = {"id": document["_id"], **{above.value: document[above.value] for above in level.above}}
    members = {name: document[name] for name in _SHOWN[level]}
    entity = assemble(level, document["attributes"], ids, members)
    if level is Level.STUDY:
        return ids | assemble(Level.PATIENT, document["patient_attributes"], {}, {}) | entity
    return entity


async def get(database: Database, level: Level, entity: str) -> Entity | None:
    """One entity by id."""
    document = await database[collection(level)].find_one({"_id": entity}, _projection(level))
    return _entity(level, document) if document else None


async def find(database: Database, query: Query) -> Page:
    """A page of entities, and the exact total."""
    check_query(query)
    level = query.level
    documents = database[collection(level)]
    where = await _where(database, level, query.conditions)
    foreign = [field for field, _ in query.sort if field in BY_FIELD and BY_FIELD[field].level not in carried(level)]
    if foreign:
        found = await _sorted_here(database, query, where, foreign)
    elif query.limit == 0:
        found = []
    else:
        order: dict[str, int] = {}
        for field, descending in (*query.sort, ("id", False)):
            order.setdefault("_id" if field == "id" else _sort_field(level, field), -1 if descending else 1)
        cursor = documents.find(where, _projection(level)).sort(list(order.items()))
        found = [one async for one in cursor.skip(query.offset).limit(query.limit or 0)]
    last = len(found) != query.limit and (bool(found) or not query.offset)
    total = query.offset + len(found) if last else await documents.count_documents(where)
    return Page([_entity(level, one) for one in found], total)


async def _sorted_here(database: Database, query: Query, where: Document, foreign: list[str]) -> list[Document]:
    """Sort instances by attributes of levels above, which their documents don't carry."""
    level = query.level
    own = [_sort_field(level, field) for field, _ in query.sort if field not in foreign]
    names = dict.fromkeys(["series", *own], 1)
    keys = {field: _sort_field(Level.SERIES, field) for field in foreign}
    found = [one async for one in database[collection(level)].find(where, names)]
    # Every series once: fewer than instances, and all of its keys in one document.
    series = {one["_id"]: one async for one in database["series"].find({}, dict.fromkeys(keys.values(), 1))}

    def key(field: str, one: Document) -> tuple[bool, Any]:
        value = series[one["series"]].get(keys[field]) if field in keys else one.get(_sort_field(level, field))
        return (value is not None, 0 if value is None else value)

    def page() -> list[str]:
        found.sort(key=lambda one: str(one["_id"]))
        for field, descending in reversed(query.sort):
            found.sort(key=partial(key, field), reverse=descending)
        end = None if query.limit is None else query.offset + query.limit
        return [one["_id"] for one in found[query.offset : end]]

    ids = await asyncio.to_thread(page)
    documents = database[collection(level)].find({"_id": {"$in": ids}}, _projection(level))
    by_id = {one["_id"]: one async for one in documents}
    return [by_id[one] for one in ids if one in by_id]


def _sort_field(level: Level, field: str) -> str:
    if field in EXTRA_SORTS[level]:
        return field
    return _id_or(level, owner_of(field), field, f"by_{field}")


def _id_or(level: Level, owner: Level, field: str, otherwise: str) -> str:
    """The member that holds an id, or the one given."""
    if field in LEVEL_NAMES or field == uid_field(owner):
        return "_id" if owner is level else owner.value
    return otherwise


# -- conditions ----------------------------------------------------------------------------------------------


async def _where(database: Database, level: Level, conditions: tuple[Condition, ...]) -> Document:
    clauses, through = [], []
    for condition in conditions:
        name = _member(level, condition.field)
        if name is None:
            through.append(condition)
        else:
            clauses.append({name: _test(name, condition)})
    if through:
        above = await _where(database, Level.SERIES, tuple(through))
        found = [one["_id"] async for one in database["series"].find(above, {"_id": 1})]
        clauses.append({"series": {"$in": found}})
    if not clauses:
        return {}
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}


def _member(level: Level, field: str) -> str | None:
    """The member of a level's documents that a field is searched by; None if they do not carry it."""
    if field == "modalities":
        return "keys_modalities"
    attribute, owner = BY_FIELD.get(field), owner_of(field)
    otherwise = f"keys_{field}" if attribute and has_many_keys(attribute) else f"by_{field}"
    name = _id_or(level, owner, field, otherwise)
    return name if (name == otherwise and owner in carried(level)) or name != otherwise else None


def _test(name: str, condition: Condition) -> Mapping[str, Any]:
    # One element of a list must meet the whole of a condition.
    test = _plain_test(condition)
    return {"$elemMatch": test} if name.startswith("keys_") else test


def _plain_test(condition: Condition) -> dict[str, Any]:
    if isinstance(condition, AnyOf):
        values = [clean(value) if isinstance(value, str) else value for value in condition.values]
        if is_text(condition.field):
            values = list(dict.fromkeys(search_key(str(value)) for value in values))
        return {"$in": values}
    if isinstance(condition, Between):
        ends = {"$gte": condition.low, "$lte": condition.high}
        return {name: end for name, end in ends.items() if end is not None} or {"$exists": True}
    return _like(condition)


def _like(condition: Like) -> dict[str, Any]:
    pattern = search_key(clean(condition.pattern))
    if "*" not in pattern and "?" not in pattern:
        return {"$in": [pattern]}
    body = "".join(r"[\s\S]*" if c == "*" else r"[\s\S]" if c == "?" else re.escape(c) for c in pattern)
    # A regular expression that is a mere prefix is answered from the index alone.
    prefix = pattern[:-1]
    if pattern.endswith("*") and "*" not in prefix and "?" not in prefix:
        return {"$regex": "^" + re.escape(prefix)}
    return {"$regex": f"^{body}$"}
