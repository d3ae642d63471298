"""Documents that are found by their terms: an array of texts, and a number in the order of their making."""

from collections.abc import Sequence

import orjson
from motor.motor_asyncio import AsyncIOMotorDatabase
from pymongo import ReplaceOne, ReturnDocument

from neurdicom.catalog.base import Page
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.terms import Having, Span, encode_all, span

Database = AsyncIOMotorDatabase[Document]


async def put(
    database: Database, kind: str, wholes: Sequence[tuple[Document, Sequence[tuple[str, str | float]]]]
) -> None:
    """Store documents with their terms, in place of earlier ones."""
    if not wholes:
        return
    collection = database["documents"]
    ids = [whole["_id"] for whole, _ in wholes]
    known = {one["_id"]: one.get("number") async for one in collection.find({"_id": {"$in": ids}}, {"number": 1})}
    # Numbers may be lost with a write that fails; they only need to grow.
    counter = await database["meta"].find_one_and_update(
        {"_id": "documents"}, {"$inc": {"last": len(wholes)}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    operations = []
    for number, (whole, terms) in enumerate(wholes, counter["last"] - len(wholes) + 1):
        found = known.get(whole["_id"])
        place = {"terms": encode_all(kind, terms), "number": number if found is None else found}
        known[whole["_id"]] = place["number"]
        operations.append(ReplaceOne({"_id": whole["_id"]}, whole | place, upsert=True))
    await collection.bulk_write(operations)


async def search(
    database: Database, kind: str, conditions: Sequence[Having], limit: int, offset: int, descending: bool
) -> Page:
    """A page of the documents that meet all conditions, in the order of their making."""
    where: Document = {"kind": kind, "number": {"$exists": True}}
    if conditions:  # the terms name the kind
        where = {"$and": [part for condition in conditions for part in _where(span(kind, condition))]}
    collection = database["documents"]
    total = await collection.count_documents(where)
    if not limit:  # which would mean all
        return Page([], total)
    found = collection.find(where, {"value": 1}).sort("number", -1 if descending else 1).skip(offset).limit(limit)
    return Page([orjson.loads(one["value"]) async for one in found], total)


def _where(each: Span) -> list[Document]:
    if each.exact:
        return [{"terms": {"$in": [*each.exact]}}]
    within: Document = {"terms": {"$elemMatch": {"$gte": each.low, "$lt": each.high}}}
    return [within, {"terms": {"$nin": [*each.without]}}] if each.without else [within]
