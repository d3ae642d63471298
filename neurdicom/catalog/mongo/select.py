"""Translation of a `Query` to MongoDB's filters, and of documents to entities."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from motor.motor_asyncio import AsyncIOMotorDatabase

from neurdicom.catalog.labels import entity_of, label_term
from neurdicom.catalog.mongo.references import referred
from neurdicom.catalog.mongo.schema import CROWDED, Document, carried_levels, collection, id_member
from neurdicom.catalog.mongo.unit import UnitOfWork
from neurdicom.catalog.projection import assemble, clean, has_many_keys, uid_field, words_of
from neurdicom.catalog.query_check import EXTRA_SORTS, IN_STUDY, LEVEL_NAMES, check_query, is_text
from neurdicom.catalog.records import Entity, Page
from neurdicom.catalog.segments import Bound, segments_after
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import BY_FIELD, COUNTS, Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Contains,
    Either,
    Like,
    Moment,
    Query,
    Word,
    folded,
    regex_of,
)
from neurdicom.dicom.query.folding import word_key
from neurdicom.dicom.query.labels import LABELS

Database = AsyncIOMotorDatabase[Document]

#: Any condition but one that joins several.
Single = AnyOf | Like | Between | Word | Moment

#: Members of a document that an entity is assembled from.
_SHOWN: dict[Level, tuple[str, ...]] = {
    Level.PATIENT: COUNTS[Level.PATIENT],
    Level.STUDY: (*COUNTS[Level.STUDY], "modalities"),
    Level.SERIES: COUNTS[Level.SERIES],
    Level.INSTANCE: ("size", "sha256", "received"),
}


def _projection(level: Level) -> dict[str, int]:
    if level is Level.PATIENT:
        return dict.fromkeys(("attributes", *_SHOWN[level]), 1)
    return dict.fromkeys(("attributes", "key", "id", "patient", "above", "several", *_SHOWN[level]), 1)


def _entity(level: Level, document: Document) -> Entity:
    above, several = document.get("above", {}), document.get("several", ())
    names = ("_id", "_id") if level is Level.PATIENT else ("id", "key")
    ids: dict[str, str] = {"id": document[names[0]], "key": document[names[1]]}
    ids |= {"patient": document["patient"]} if level.above else {}
    ids |= {upper: name if upper in several else uid_of(name) for upper, name in above.items()}
    members = {name: document[name] for name in _SHOWN[level]}
    return assemble(level, document["attributes"], ids, members)


async def find(database: Database, query: Query) -> Page:
    """Find a page of entities, and the exact total if it is counted."""
    check_query(query)
    level = query.level
    documents = database[collection(level)]
    where = await Filters(database, level).all_of(query.conditions)
    if query.after is not None:
        beyond: Document = {id_member(level): {"$gt": query.after}}
        where = {"$and": [where, beyond]} if where else beyond
    foreign = [field for field, _ in query.sort if _is_foreign(level, field)]
    if foreign:
        found = await _sorted_here(database, query, where, foreign)
    elif query.limit == 0:
        found = []
    else:
        order: dict[str, int] = {}
        for field, descending in (*query.sort, ("id", False)):
            name = id_member(level) if field == "id" else _sort_field(level, field)
            order.setdefault(name, -1 if descending else 1)
        found = []
        for bounds in [[]] if query.past is None else segments_after(query.sort, query.past):
            clauses = [*([where] if where else []), *(_bound(level, each) for each in bounds)]
            segment: Document = {"$and": clauses} if len(clauses) > 1 else clauses[0] if clauses else {}
            cursor = documents.find(segment, _projection(level)).sort(list(order.items())).skip(query.offset)
            found += [one async for one in cursor.limit((query.limit or 0) and query.limit - len(found))]
            if len(found) == query.limit:
                break
    last = len(found) != query.limit and (bool(found) or not query.offset)
    told = last or not query.counted
    total = query.offset + len(found) if told else await documents.count_documents(where)
    return Page([_entity(level, one) for one in found], total)


def _bound(level: Level, bound: Bound) -> Document:
    """Write the filter of a bound of a segment."""
    field, relation, value = bound
    tests = {"missing": {"$exists": False}, "present": {"$exists": True}, "<": {"$lt": value}, ">": {"$gt": value}}
    return {id_member(level) if field == "id" else _sort_field(level, field): tests.get(relation, value)}


def _is_foreign(level: Level, field: str) -> bool:
    """Tell whether documents of a level have no member to sort by a field."""
    if field not in BY_FIELD:
        return False
    owner = BY_FIELD[field].level
    return owner is not level and (owner not in carried_levels(level) or field == uid_field(owner))


async def _sorted_here(database: Database, query: Query, where: Document, foreign: list[str]) -> list[Document]:
    """Sort series and instances by attributes of levels above, which their documents do not have."""
    level, shown_id = query.level, id_member(query.level)
    own = [_sort_field(level, field) for field, _ in query.sort if field not in foreign]
    # There are fewer series than instances, and a series has all the keys in one document.
    row = "_id" if level is Level.SERIES else "series"
    found = [one async for one in database[collection(level)].find(where, dict.fromkeys([row, shown_id, *own], 1))]
    keys = {field: _member_above(field) for field in foreign}
    names = dict.fromkeys((name.partition(".")[0] for name in keys.values()), 1)
    series = {one["_id"]: one async for one in database["series"].find({}, names)}

    def key(field: str, one: Document) -> tuple[bool, Any]:
        if field not in keys:
            value = one.get(_sort_field(level, field))
        elif keys[field] == "above.study":
            value = uid_of(series[one[row]]["above"]["study"])
        else:
            value = series[one[row]].get(keys[field])
        return (value is not None, 0 if value is None else value)

    def page() -> list[Any]:
        found.sort(key=lambda one: str(one[shown_id]))
        for field, descending in reversed(query.sort):
            found.sort(key=partial(key, field), reverse=descending)
        end = None if query.limit is None else query.offset + query.limit
        return [one["_id"] for one in found[query.offset : end]]

    ids = await asyncio.to_thread(page)
    documents = database[collection(level)].find({"_id": {"$in": ids}}, _projection(level))
    by_id = {one["_id"]: one async for one in documents}
    return [by_id[one] for one in ids if one in by_id]


def _member_above(field: str) -> str:
    """Name the member of a series that has the sort key of an attribute above the instance."""
    owner = BY_FIELD[field].level
    if field != uid_field(owner):
        return f"by_{field}"
    return "uid" if owner is Level.SERIES else "above.study"


def _sort_field(level: Level, field: str) -> str:
    if field in EXTRA_SORTS[level]:
        return field
    return "uid" if field == uid_field(level) else f"by_{field}"


async def sop_classes(database: Database, studies: Sequence[str]) -> dict[str, list[str]]:
    """List the SOP Class UIDs of each study, sorted."""
    found: dict[str, list[str]] = {}
    for reference, named in (await referred(UnitOfWork(database, None), Level.STUDY, studies)).items():
        if named:
            uids = [await database["instances"].distinct("by_sop_class_uid", {"study": one["_id"]}) for one in named]
            found[reference] = sorted({uid for of_one in uids for uid in of_one})
    return found


# -- conditions ----------------------------------------------------------------------------------------------


class Filters:
    """Filters of a level's documents, from conditions."""

    def __init__(self, database: Database, level: Level) -> None:
        self._database = database
        self._level = level

    async def all_of(self, conditions: Sequence[Condition]) -> Document:
        """Write the filter of conditions that must all hold."""
        clauses = [await self._one(condition) for condition in conditions]
        if not clauses:
            return {}
        return clauses[0] if len(clauses) == 1 else {"$and": clauses}

    async def _one(self, condition: Condition) -> Document:
        if isinstance(condition, Either):
            return {"$or": [await self._one(each) for each in condition.conditions]}
        if isinstance(condition, Contains):
            return {"_id": await self._containing(condition)}
        level, field = self._level, condition.field
        if field == LABELS:
            return {"_id": await self._labelled(condition)}
        if field in LEVEL_NAMES:
            return {_row_member(level, Level(field)): await self._named(condition)}
        if field in IN_STUDY and (level, field) != (Level.STUDY, "modalities"):
            return {_row_member(level, Level.STUDY): await self._studies_with(condition)}
        owner = BY_FIELD[field].level if field in BY_FIELD else Level.STUDY
        if field == uid_field(owner):
            test = _plain_test(condition)
            return {"uid": test} if owner is level else {owner.value: await self._rows(owner, {"uid": test})}
        if owner in carried_levels(level):
            clause = await self._clause(level, condition)
            return await self._or_crowded(condition, clause) if level is Level.PATIENT else clause
        return {"series": await self._rows(Level.SERIES, await self._clause(Level.SERIES, condition))}

    async def _containing(self, condition: Contains) -> Document:
        """Write the filter of the entities that contain what meets conditions."""
        where = await Filters(self._database, condition.level).all_of(condition.conditions)
        steps: list[Document] = [{"$match": where}, {"$group": {"_id": f"${self._level.value}"}}]
        found = self._database[collection(condition.level)].aggregate(steps)
        return {"$in": [one["_id"] async for one in found]}

    async def _named(self, condition: Single) -> Document:
        """Write the filter of the entities that references name."""
        references = [str(value) for value in condition.values] if isinstance(condition, AnyOf) else []
        named = await referred(UnitOfWork(self._database, None), Level(condition.field), references)
        return {"$in": sorted({one["_id"] for ones in named.values() for one in ones})}

    async def _labelled(self, condition: Single) -> Document:
        """Write the filter that finds entities by labels of any of their keys."""
        labels = [str(value) for value in condition.values] if isinstance(condition, AnyOf) else []
        terms = [label_term(self._level, label) for label in labels]
        found = self._database["documents"].find({"terms": {"$in": terms}}, {"key": 1})
        keys = {entity_of(one["key"]): None async for one in found}
        return await self._named(AnyOf(self._level.value, tuple(keys)))

    async def _rows(self, level: Level, where: Document, member: str = "_id") -> Document:
        found = self._database[collection(level)].find(where, {member: 1})
        return {"$in": list({one[member]: None async for one in found})}

    async def _studies_with(self, condition: Single) -> Document:
        """Write the filter on a study for the studies in which something meets a condition."""
        if condition.field == "modalities":
            return await self._rows(Level.STUDY, await self._clause(Level.STUDY, condition))
        test = _plain_test(replace(condition, field="sop_class_uid"))
        steps: list[Document] = [{"$match": {"by_sop_class_uid": test}}, {"$group": {"_id": "$study"}}]
        return {"$in": [one["_id"] async for one in self._database["instances"].aggregate(steps)]}

    async def _or_crowded(self, condition: Single, clause: Document) -> Document:
        """Add the patients with very many studies, which are found through these."""
        crowded = await self._rows(Level.PATIENT, {"studies_count": {"$gt": CROWDED}})
        if not crowded["$in"]:
            return clause
        through = {"$and": [{"patient": crowded}, await self._clause(Level.STUDY, condition)]}
        return {"$or": [clause, {"_id": await self._rows(Level.STUDY, through, "patient")}]}

    async def _clause(self, level: Level, condition: Single) -> Document:
        """Write the filter of a condition on documents that have its search fields."""
        if isinstance(condition, Moment):
            shown, other = _within(condition), _any_time(condition)
        else:
            name = _member(condition)
            shown, other = {name: _test(name, condition)}, _plain_test(condition)
            if name.startswith("keys_"):
                return shown
        field = condition.field
        if await self._database[collection(level)].find_one({"others.f": field}, {"_id": 1}) is None:
            return shown
        return {"$or": [shown, {"others": {"$elemMatch": {"f": field, "k": other}}}]}


def _row_member(level: Level, owner: Level) -> str:
    """Name the member of a level's documents that refers to an entity of the same level or one above."""
    return "_id" if owner is level else owner.value


def _member(condition: Single) -> str:
    """Name the member that a condition tests."""
    field = condition.field
    if field == "modalities":
        return "keys_modalities"
    if isinstance(condition, Word):
        return f"keys_{words_of(field)}"
    attribute = BY_FIELD.get(field)
    return f"keys_{field}" if attribute and has_many_keys(attribute) else f"by_{field}"


def _any_time(condition: Moment) -> Document:
    """Write the test of a date whose time is not known."""
    ends = {"$gte": condition.low and condition.low[0], "$lte": condition.high and condition.high[0]}
    return {name: end for name, end in ends.items() if end is not None} or {"$exists": True}


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


def _test(name: str, condition: Single) -> Mapping[str, Any]:
    # One element of a list must meet the whole of a condition.
    test = _plain_test(condition)
    return {"$elemMatch": test} if name.startswith("keys_") else test


def _plain_test(condition: Single) -> dict[str, Any]:
    if isinstance(condition, AnyOf):
        values = [clean(value) if isinstance(value, str) else value for value in condition.values]
        if is_text(condition.field):
            values = list(dict.fromkeys(folded(condition.field, str(value)) for value in values))
        return {"$in": values}
    if isinstance(condition, Between):
        ends = {"$gte": condition.low, "$lte": condition.high}
        return {name: end for name, end in ends.items() if end is not None} or {"$exists": True}
    if isinstance(condition, Word):
        return _like(word_key(clean(condition.pattern)))
    if isinstance(condition, Like):
        return _like(folded(condition.field, clean(condition.pattern)))
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
