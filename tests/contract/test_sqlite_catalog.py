"""The embedded catalog keeps the contract."""

import json
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.documents import Documents
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.catalog.sqlite.documents import SqliteDocuments
from neurdicom.testing.catalog import CatalogContract
from neurdicom.testing.catalog_machine import CatalogMachine
from neurdicom.testing.document_machine import DocumentMachine


class TestSqliteCatalog(CatalogContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "new" / "catalog.sqlite"

    async def open_catalog(self) -> Catalog:
        catalog = SqliteCatalog(self.path)
        await catalog.open()
        return catalog

    async def reopen(self, catalog: Catalog) -> Catalog:
        return await self.open_catalog()

    async def backend_blobs(self, catalog: Catalog) -> dict[str, str]:
        with sqlite3.connect(self.path) as db:
            found = dict(
                db.execute(
                    "SELECT iif(instr(instance.id, '~'), instance.id, instance.id || '~' || series.below), blob_key"
                    " FROM instance JOIN series ON series.pk = instance.parent"
                )
            )
        db.close()
        return found

    async def backend_documents(self, catalog: Catalog, kind: str, key: str, document: dict[str, Any]) -> None:
        with sqlite3.connect(self.path) as db:
            db.execute("INSERT INTO document VALUES (?, ?, ?)", (kind, key, json.dumps(document)))
        db.close()


class PlainDocuments(SqliteDocuments):
    """The embedded catalog's documents with the defaults of the port."""

    sum = Documents.sum


class PlainCatalog(SqliteCatalog):
    """The embedded catalog with the defaults of the port in place of its own verbs."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.documents = PlainDocuments(self._connections)

    get = Catalog.get
    sop_classes = Catalog.sop_classes
    locate = Catalog.locate
    digests = Catalog.digests
    headers = Catalog.headers
    edits = Catalog.edits
    stored_bytes = Catalog.stored_bytes
    holdings = Catalog.holdings
    holdings_of = Catalog.holdings_of


class TestDefaults(TestSqliteCatalog):
    """An adapter that writes the abstract verbs alone keeps the contract."""

    async def open_catalog(self) -> Catalog:
        catalog = PlainCatalog(self.path)
        await catalog.open()
        return catalog


class InFolder:
    """A catalog in a folder that goes at the end."""

    catalog: Catalog | None

    async def open_catalog(self) -> Catalog:
        self.folder = tempfile.TemporaryDirectory()
        return await self.open_file()

    async def open_file(self) -> Catalog:
        catalog = SqliteCatalog(Path(self.folder.name) / "catalog.sqlite")
        await catalog.open()
        return catalog

    def teardown(self) -> None:
        super().teardown()  # type: ignore[misc]
        if self.catalog is not None:
            self.folder.cleanup()


class SqliteMachine(InFolder, CatalogMachine):
    async def reopen(self, catalog: Catalog) -> Catalog:
        await catalog.close()
        return await self.open_file()


class SqliteDocumentMachine(InFolder, DocumentMachine):
    pass


TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(
    max_examples=30, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)


TestSqliteDocumentMachine = SqliteDocumentMachine.TestCase
TestSqliteDocumentMachine.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
