"""Bytes and last arrival of each study and series, in their documents, and the bytes of all.

`bytes` and `received` are kept like the counts. A write adds the bytes that studies gain or lose to a document of
`totals` as well; each server process has one of a few, so that concurrent transactions seldom meet there.
"""

import os
from collections.abc import Collection, Iterable
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClientSession, AsyncIOMotorDatabase

from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.records import StudyHolding
from neurdicom.dicom.identity import uid_of

#: Documents of `totals`.
_SHARDS = 16

_KIND = "bytes"
_MEMBERS = dict.fromkeys(("key", "patient", "bytes", "received"), 1)


class ByteTotal:
    """The document of `totals` to which the writes of this process add."""

    def __init__(self) -> None:
        self._id = f"{_KIND}:{os.getpid() % _SHARDS}"

    async def add(
        self, database: "AsyncIOMotorDatabase[Document]", session: AsyncIOMotorClientSession | None, change: int
    ) -> None:
        """Add to the bytes of all, or take away.

        Parameters
        ----------
        database : AsyncIOMotorDatabase
            The database.
        session : AsyncIOMotorClientSession or None
            The session of the transaction.
        change : int
            Bytes that have come or, by a negative number, gone.
        """
        if change:
            changes = {"$inc": {"bytes": change}}
            await database["totals"].update_one({"_id": self._id}, changes, upsert=True, session=session)


async def recount(database: "AsyncIOMotorDatabase[Document]") -> None:
    """Count the bytes of all studies anew, after a write that was cut short; may itself be repeated."""
    steps: list[Any] = [{"$group": {"_id": None, "bytes": {"$sum": "$bytes"}}}]
    found = [one["bytes"] or 0 async for one in database["studies"].aggregate(steps)]
    await database["totals"].delete_many({})
    await database["totals"].insert_one({"_id": f"{_KIND}:0", "bytes": sum(found)})


def summed(below: Iterable[Document], size: str = "bytes") -> Document:
    """Sum up the members of a series or study from its children.

    Parameters
    ----------
    below : iterable of Document
        Its instances or series.
    size : str
        Member that has the bytes of each.
    """
    ones = list(below)
    # Documents of before have none until all are written anew.
    return {
        "bytes": sum(one.get(size, 0) for one in ones),
        "received": max((one.get("received", "") for one in ones), default=""),
    }


async def stored_bytes(database: "AsyncIOMotorDatabase[Document]") -> int:
    """Look up the bytes of all instances, for `Catalog.stored_bytes`."""
    return sum([int(one["bytes"]) async for one in database["totals"].find({})])


async def holdings(
    database: "AsyncIOMotorDatabase[Document]", limit: int, after: StudyHolding | None
) -> list[StudyHolding]:
    """List a page of studies by their last arrival, for `Catalog.holdings`."""
    if not limit:  # which would mean all
        return []
    where: Document = {}
    if after is not None:
        beyond = [{"received": {"$gt": after.received}}, {"received": after.received, "key": {"$gt": after.mark}}]
        where = {"received": {"$gte": after.received}, "$or": beyond}
    cursor = database["studies"].find(where, _MEMBERS).sort([("received", 1), ("key", 1)]).limit(limit)
    return [_holding(one) async for one in cursor]


async def holdings_of(database: "AsyncIOMotorDatabase[Document]", studies: Collection[str]) -> list[StudyHolding]:
    """Look up studies by their present keys, for `Catalog.holdings_of`."""
    # The key has no index of its own, and the UID has.
    where = {"uid": {"$in": [uid_of(key) for key in studies]}}
    found = [_holding(one) async for one in database["studies"].find(where, _MEMBERS)]
    return [one for one in found if one.study in studies]


def _holding(document: Document) -> StudyHolding:
    return StudyHolding(*(document[name] for name in (*_MEMBERS, "key")))
