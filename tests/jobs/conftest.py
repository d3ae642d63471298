"""Catalogs on each backend."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.catalogs import Opener


@pytest.fixture(params=["sqlite", "mongodb"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Makes catalogs on one backend, each as another process would."""
    if request.param == "sqlite":
        yield lambda: SqliteCatalog(tmp_path / "catalog.sqlite")
        return
    uri, name = request.getfixturevalue("mongodb_uri"), f"jobs_{uuid.uuid4().hex[:12]}"
    yield lambda: MongoCatalog(uri, name)
    with MongoClient(uri) as client:
        client.drop_database(name)
