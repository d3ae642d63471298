"""Translation of a `Query` to MongoDB's filters, and of documents to entities."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.base import Entity, Page
from neurdicom.catalog.mongo.schema import Document, carried_levels, collection
from neurdicom.catalog.projection import assemble, clean, has_many_keys, uid_field, words_of
from neurdicom.catalog.query_check import EXTRA_SORTS, IN_STUDY, LEVEL_NAMES, check_query, is_text, owner_of
from neurdicom.dicom.query.attributes import BY_FIELD, COUNTS, Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Either,
    Like,
    Moment,
    Query,
    Word,
    regex_of,
    search_key,
    word_key,
)

Database = AsyncIOMotorDatabase[Document]

#: Members of a document that an entity is assembled from.
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


async def find(database: Database, query: Query) -> Page:
    """Find a page of entities, and the exact total if it is counted."""
    check_query(query)
    level = query.level
    documents = database[collection(level)]
    where = await _where(database, level, query.conditions)
    if query.after is not None:
        beyond: Document = {"_id": {"$gt": query.after}}
        where = {"$and": [where, beyond]} if where else beyond
    foreign = [
        field for field, _ in query.sort if field in BY_FIELD and BY_FIELD[field].level not in carried_levels(level)
    ]
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
    told = last or not query.counted
    total = query.offset + len(found) if told else await documents.count_documents(where)
    return Page([_entity(level, one) for one in found], total)


async def _sorted_here(database: Database, query: Query, where: Document, foreign: list[str]) -> list[Document]:
    """Sort instances by attributes of levels above, which their documents do not have."""
    level = query.level
    own = [_sort_field(level, field) for field, _ in query.sort if field not in foreign]
    names = dict.fromkeys(["series", *own], 1)
    keys = {field: _sort_field(Level.SERIES, field) for field in foreign}
    found = [one async for one in database[collection(level)].find(where, names)]
    # There are fewer series than instances, and a series has all the keys in one document.
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
    """Name the member that holds an id; `otherwise` if the field is not an id."""
    if field in LEVEL_NAMES or field == uid_field(owner):
        return "_id" if owner is level else owner.value
    return otherwise


async def sop_classes(database: Database, studies: Sequence[str]) -> dict[str, list[str]]:
    """List the SOP Class UIDs of each study, sorted."""
    known = database[collection(Level.STUDY)].find({"_id": {"$in": list(studies)}}, {"_id": 1})
    instances, field = database["instances"], "by_sop_class_uid"
    return {one["_id"]: sorted(await instances.distinct(field, {"study": one["_id"]})) async for one in known}


# -- conditions ----------------------------------------------------------------------------------------------


async def _where(database: Database, level: Level, conditions: tuple[Condition, ...]) -> Document:
    clauses, through = [], []
    for condition in conditions:
        if condition.field in IN_STUDY and (level, condition.field) != (Level.STUDY, "modalities"):
            clauses.append({_id_or(level, Level.STUDY, "study", ""): await _studies_with(database, condition)})
        elif _member(level, condition) is None:
            through.append(condition)
        else:
            clauses.append(_clause(level, condition))
    if through:
        above = await _where(database, Level.SERIES, tuple(through))
        found = [one["_id"] async for one in database["series"].find(above, {"_id": 1})]
        clauses.append({"series": {"$in": found}})
    if not clauses:
        return {}
    return clauses[0] if len(clauses) == 1 else {"$and": clauses}


async def _studies_with(database: Database, condition: Condition) -> Document:
    """Write the filter on a study's id for the studies in which something meets a condition."""
    if condition.field == "modalities":
        where = _clause(Level.STUDY, condition)
        return {"$in": [one["_id"] async for one in database["studies"].find(where, {"_id": 1})]}
    steps = [{"$match": _clause(Level.INSTANCE, _in_instance(condition))}, {"$group": {"_id": "$study"}}]
    return {"$in": [one["_id"] async for one in database["instances"].aggregate(steps)]}


def _in_instance(condition: Condition) -> Condition:
    """Convert a condition on the SOP classes of a study to one on that of an instance."""
    if isinstance(condition, Either):
        return Either(tuple(replace(each, field="sop_class_uid") for each in condition.conditions))
    return replace(condition, field="sop_class_uid")


def _member(level: Level, condition: Condition) -> str | None:
    """Name the member of a level's documents that a condition tests; None if they do not have it."""
    field = condition.field
    if field == "modalities":
        return "keys_modalities"
    attribute, owner = BY_FIELD.get(field), owner_of(field)
    otherwise = f"keys_{field}" if attribute and has_many_keys(attribute) else f"by_{field}"
    otherwise = f"keys_{words_of(field)}" if isinstance(condition, Word) else otherwise
    name = _id_or(level, owner, field, otherwise)
    return name if (name == otherwise and owner in carried_levels(level)) or name != otherwise else None


def _clause(level: Level, condition: Condition) -> Document:
    """Write the filter of a condition on documents that have its member."""
    if isinstance(condition, Either):
        return {"$or": [_clause(level, each) for each in condition.conditions]}
    if isinstance(condition, Moment):
        return _within(condition)
    name = _member(level, condition)
    return {str(name): _test(str(name), condition)}


def _within(condition: Moment) -> Document:
    """Write the filter of a date and time; the bounds of the date alone come first, for which there is an index."""
    date, time = f"by_{condition.field}", f"by_{condition.time}"
    clauses: list[Document] = [{date: {"$exists": True}}]
    for end, beyond in ((condition.low, "$gt"), (condition.high, "$lt")):
        if end is not None:
            clauses.append({date: {f"{beyond}e": end[0]}})
            in_time = [{time: {"$exists": False}}, {time: {f"{beyond}e": end[1]}}]
            clauses.append({"$or": [{date: {beyond: end[0]}}, *in_time]})
    return {"$and": clauses}


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
    if isinstance(condition, Word):
        return _like(word_key(clean(condition.pattern)))
    if isinstance(condition, Like):
        return _like(search_key(clean(condition.pattern)))
    raise TypeError(f"{condition} is not a condition on one member")


def _like(pattern: str) -> dict[str, Any]:
    if "*" not in pattern and "?" not in pattern:
        return {"$in": [pattern]}
    if "\0" in pattern:
        return {"$in": []}  # MongoDB's regular expressions can't hold a null character
    # A regular expression that is only a prefix is answered from the index alone.
    prefix = pattern[:-1]
    if pattern.endswith("*") and "*" not in prefix and "?" not in prefix:
        return {"$regex": "^" + re.escape(prefix)}
    return {"$regex": regex_of(pattern, any_character=r"[\s\S]")}
