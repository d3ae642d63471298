"""The catalog on MongoDB keeps the contract, with transactions and without."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.testing.catalog import CatalogContract
from neurdicom.testing.catalog_machine import CatalogMachine
from neurdicom.testing.document_machine import DocumentMachine


class TestMongoCatalog(CatalogContract):
    transactions = False

    @pytest.fixture(autouse=True)
    def _database(self, mongodb_uri: str) -> Iterator[None]:
        self.uri = mongodb_uri
        self.name = f"contract_{uuid.uuid4().hex[:12]}"
        yield
        with MongoClient(self.uri) as client:
            client.drop_database(self.name)

    async def open_catalog(self) -> Catalog:
        catalog = MongoCatalog(self.uri, self.name, transactions=self.transactions)
        await catalog.open()
        return catalog

    async def reopen(self, catalog: Catalog) -> Catalog:
        return await self.open_catalog()

    async def backend_blobs(self, catalog: Catalog) -> dict[str, str]:
        with MongoClient(self.uri) as client:
            return {one["key"]: one["blob_key"] for one in client[self.name]["instances"].find({})}

    async def backend_documents(self, catalog: Catalog, kind: str, key: str, document: dict[str, Any]) -> None:
        whole = {"_id": f"{kind}/{key}", "kind": kind, "key": key, "value": json.dumps(document)}
        with MongoClient(self.uri) as client:
            client[self.name]["documents"].insert_one(whole)


class TestMongoCatalogWithTransactions(TestMongoCatalog):
    transactions = True


class MongoMachine(CatalogMachine):
    uri = ""
    name = ""
    reopens = False

    async def open_catalog(self) -> Catalog:
        with MongoClient(self.uri) as client:
            for name in client[self.name].list_collection_names():
                if name not in ("meta", "documents"):
                    client[self.name][name].delete_many({})
        return await self.reopen(None)

    async def reopen(self, catalog: Catalog | None) -> Catalog:
        if catalog is not None:
            await catalog.close()
        again = MongoCatalog(self.uri, self.name)
        await again.open()
        return again


class MongoDocumentMachine(DocumentMachine):
    uri = ""
    name = ""

    async def open_catalog(self) -> Catalog:
        with MongoClient(self.uri) as client:
            client[self.name]["documents"].delete_many({})
        catalog = MongoCatalog(self.uri, self.name)
        await catalog.open()
        return catalog


@pytest.mark.parametrize(("machine", "examples"), [(MongoMachine, 8), (MongoDocumentMachine, 10)])
def test_random_operations(mongodb_uri: str, machine: type[MongoMachine | MongoDocumentMachine], examples: int) -> None:
    database = f"machine_{uuid.uuid4().hex[:12]}"
    made: Any = type("Machine", (machine,), {"uri": mongodb_uri, "name": database})
    case = made.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=10, deadline=None, suppress_health_check=list(HealthCheck)
    )
    try:
        case().runTest()
    finally:
        with MongoClient(mongodb_uri) as client:
            client.drop_database(database)
