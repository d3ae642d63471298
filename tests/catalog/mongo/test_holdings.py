"""Bytes of a database of before, whose documents have none, are counted when it is opened."""

import asyncio
import uuid

from pymongo import MongoClient

from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.testing.arrivals import arrival
from neurdicom.testing.catalog_holdings import holding_of

FILES = [arrival(1), arrival(2, series="1.2.1.2"), arrival(3, study="1.2.3", series="1.2.3.1")]


def test_a_database_of_before_is_counted(mongodb_uri: str) -> None:
    name = f"holdings_{uuid.uuid4().hex[:12]}"

    async def go() -> None:
        catalog = MongoCatalog(mongodb_uri, name)
        await catalog.open()
        await catalog.store(FILES)
        await catalog.close()
        with MongoClient(mongodb_uri) as client:
            database = client[name]
            database["totals"].delete_many({})
            for collection in ("studies", "series"):
                database[collection].update_many({}, {"$unset": {"bytes": "", "received": ""}})
            schema = database["meta"].find_one({"_id": "schema"}) or {}
            left = [field for field in schema["fields"] if field not in ("bytes", "received")]
            database["meta"].update_one({"_id": "schema"}, {"$set": {"fields": left}})
        catalog = MongoCatalog(mongodb_uri, name)
        await catalog.open()
        try:
            assert await catalog.holdings(10) == [holding_of(*FILES[:2]), holding_of(FILES[2])]
            assert await catalog.stored_bytes() == sum(new.blob.size for new in FILES)
        finally:
            await catalog.close()

    try:
        asyncio.run(go())
    finally:
        with MongoClient(mongodb_uri) as client:
            client.drop_database(name)
