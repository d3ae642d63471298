"""The document port in MongoDB.

A document of the collection `documents` has the port's document as JSON in `value`; its members that are short texts
in `texts`, where MongoDB can compare them, and those that are integers in `numbers`, where it can add them up; and, if
it is indexed, its encoded `terms` and a `number` in the order of creation.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from pymongo import ReplaceOne
from pymongo.errors import DuplicateKeyError

from neurdicom.catalog.documents import ALL, DocumentPage, DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.mongo.connection import Database, MongoConnection, take_numbers
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.terms import TermRange, encode_all, term_range

#: Most characters of a member that is copied to `texts`.
_LONGEST_TEXT = 64


class MongoDocuments(Documents):
    """The documents of one MongoDB database."""

    def __init__(self, connection: MongoConnection) -> None:
        self._connection = connection

    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return await self._connection.use(lambda database: _get(database, kind, key))

    async def put(self, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
        if documents:
            await self._connection.use(lambda database: _put(database, kind, documents))

    async def swap(
        self, kind: str, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | IndexedDocument | None
    ) -> bool:
        return await self._connection.use(lambda database: _swap(database, kind, key, before, after))

    async def delete(self, kind: str, *keys: str) -> int:
        wanted = {"_id": {"$in": [_id(kind, key) for key in keys]}}

        async def work(database: Database) -> int:
            return int((await database["documents"].delete_many(wanted)).deleted_count)

        return await self._connection.use(work)

    async def query(self, kind: str, query: DocumentQuery = ALL) -> DocumentPage:
        return await self._connection.use(lambda database: _query(database, kind, query))

    async def sum(self, kind: str, member: str) -> int:
        return await self._connection.use(lambda database: _sum(database, kind, member))


def _id(kind: str, key: str) -> str:
    return f"{kind}/{key}"


def _whole(kind: str, key: str, document: Mapping[str, Any]) -> Document:
    value = to_json(dict(document)).decode()
    members = orjson.loads(value).items()
    texts = {name: member for name, member in members if _is_kept(name, member)}
    numbers = {name: member for name, member in members if type(member) is int and name.isidentifier()}
    whole = {"_id": _id(kind, key), "kind": kind, "key": key, "value": value}
    return whole | {"texts": texts, "numbers": {name: n for name, n in numbers.items() if abs(n) < 1 << 63}}


def _is_kept(name: str, member: Any) -> bool:
    return isinstance(member, str) and len(member) <= _LONGEST_TEXT and name.isidentifier()


async def _get(database: Database, kind: str, key: str) -> dict[str, Any] | None:
    found = await database["documents"].find_one({"_id": _id(kind, key)})
    return orjson.loads(found["value"]) if found else None


async def _put(database: Database, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
    indexed = {key: given.terms for key, given in documents.items() if isinstance(given, IndexedDocument)}
    numbers: dict[str, int] = {}
    if indexed:
        ids = [_id(kind, key) for key in indexed]
        known = database["documents"].find({"_id": {"$in": ids}}, {"key": 1, "number": 1})
        first = await take_numbers(database, "documents", len(indexed))
        numbers = dict(zip(indexed, range(first, first + len(indexed)), strict=True))
        numbers |= {one["key"]: one["number"] async for one in known if "number" in one}
    operations = []
    for key, given in documents.items():
        whole = _whole(kind, key, given.document if isinstance(given, IndexedDocument) else given)
        if key in indexed:
            whole |= {"terms": encode_all(kind, indexed[key]), "number": numbers[key]}
        operations.append(ReplaceOne({"_id": whole["_id"]}, whole, upsert=True))
    await database["documents"].bulk_write(operations)


async def _swap(
    database: Database,
    kind: str,
    key: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | IndexedDocument | None,
) -> bool:
    collection = database["documents"]
    terms: Document = {}
    if isinstance(after, IndexedDocument):
        known = await collection.find_one({"_id": _id(kind, key)}, {"number": 1}) or {}
        number = known["number"] if "number" in known else await take_numbers(database, "documents", 1)
        terms = {"terms": encode_all(kind, after.terms), "number": number}
        after = after.document
    if before is None and after is not None:
        try:
            await collection.insert_one(_whole(kind, key, after) | terms)
        except DuplicateKeyError:
            return False
        return True
    found = await collection.find_one({"_id": _id(kind, key)})
    if found is None or before is None:
        return found is before
    if orjson.loads(found["value"]) != orjson.loads(to_json(dict(before))):
        return False
    same = {"_id": found["_id"], "value": found["value"]}
    if after is None:
        return bool((await collection.delete_one(same)).deleted_count)
    whole = _whole(kind, key, after)
    changes = {"$set": {name: whole[name] for name in ("value", "texts", "numbers")} | terms}
    return bool((await collection.update_one(same, changes)).matched_count)


async def _query(database: Database, kind: str, query: DocumentQuery) -> DocumentPage:
    collection = database["documents"]
    compared_there = query.limit is not None and all(_is_kept(name, value) for name, value in query.equal.items())
    where = _where(kind, query, compared_there=compared_there)
    order = "number" if query.order == "creation" else "key"
    cursor = collection.find(where, {"value": 1}).sort(order, -1 if query.descending else 1)
    if not compared_there:
        found = [document async for one in cursor if _meets(document := orjson.loads(one["value"]), query)]
        end = None if query.limit is None else query.offset + query.limit
        return query.page(found[query.offset : end], len(found))
    items = []
    if query.limit:  # none would mean all
        items = [orjson.loads(one["value"]) async for one in cursor.skip(query.offset).limit(query.limit)]
    counts = query.needs_count(len(items))
    return query.page(items, await collection.count_documents(where) if counts else None)


async def _sum(database: Database, kind: str, member: str) -> int:
    collection = database["documents"]
    steps: list[Any] = [{"$match": {"kind": kind}}, {"$group": {"_id": None, "sum": {"$sum": f"$numbers.{member}"}}}]
    total = sum([one["sum"] or 0 async for one in collection.aggregate(steps)])
    # A document of an early version has no `numbers`.
    async for one in collection.find({"kind": kind, "numbers": None}, {"value": 1}):
        value = orjson.loads(one["value"]).get(member)
        total += value if type(value) is int else 0
    return int(total)


def _meets(document: Mapping[str, Any], query: DocumentQuery) -> bool:
    members = ((document.get(name), value) for name, value in query.equal.items())
    return all(type(member) is type(value) and member == value for member, value in members)


def _where(kind: str, query: DocumentQuery, *, compared_there: bool) -> Document:
    """Write the filter; with `compared_there` MongoDB compares all equal members, otherwise some are left to us."""
    # Terms begin with the kind.
    parts: list[Document] = [] if query.conditions else [{"kind": kind}]
    parts += [part for each in query.conditions for part in _within(term_range(kind, each))]
    if query.order == "creation" and not query.conditions:
        parts.append({"number": {"$exists": True}})
    if query.after is not None:
        parts.append({"key": {"$lt" if query.descending else "$gt": query.after}})
    for name, value in query.equal.items():
        if _is_kept(name, value):
            equal = {f"texts.{name}": value}
            # A document of an early version has no `texts`.
            parts.append(equal if compared_there else {"$or": [equal, {"texts": None}]})
    return {"$and": parts}


def _within(terms: TermRange) -> list[Document]:
    if terms.exact:
        return [{"terms": {"$in": [*terms.exact]}}]
    within: Document = {"terms": {"$elemMatch": {"$gte": terms.low, "$lt": terms.high}}}
    return [within, {"terms": {"$nin": [*terms.without]}}] if terms.without else [within]
