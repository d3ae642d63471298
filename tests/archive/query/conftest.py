"""Archives on each catalog, made once for a module and only read."""

import uuid
from collections.abc import Callable, Iterator

import pytest
from pymongo import MongoClient

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from tests.support.query_archive import QueryableArchive


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def make_archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], QueryableArchive]]:
    """A function that makes empty archives on each catalog in turn."""
    made: list[QueryableArchive] = []
    names: list[str] = []

    def make() -> QueryableArchive:
        folder = tmp_path_factory.mktemp("archive")
        if request.param == "sqlite":
            catalog: Catalog = SqliteCatalog(folder / "catalog.sqlite")
        else:
            names.append(f"query_{uuid.uuid4().hex[:12]}")
            catalog = MongoCatalog(request.getfixturevalue("mongodb_uri"), names[-1])
        archive = QueryableArchive(catalog, folder)
        archive.runner.run(catalog.open())
        made.append(archive)
        return archive

    yield make
    for archive in made:
        archive.runner.run(archive.catalog.close())
        archive.runner.close()
    if names:
        with MongoClient(request.getfixturevalue("mongodb_uri")) as client:
            for name in names:
                client.drop_database(name)
