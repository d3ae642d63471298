"""Archives on each catalog, made once for a module and only read."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.query import Matches, QueryService
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.mongo import MongoCatalog
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level


class Archive:
    """A catalog that tests ask, with a loop of its own."""

    def __init__(self, catalog: Catalog, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.catalog = catalog
        self.folder = folder
        self.service = QueryService(catalog)

    def find(self, level: Level, keys: dict[str, Any] | None = None, **options: Any) -> Matches:
        """Ask the service."""
        return self.runner.run(self.service.find(level, keys or {}, **options))

    def ids(self, level: Level, keys: dict[str, Any] | None = None, **options: Any) -> list[str]:
        """The UIDs of the matches."""
        tag = {Level.PATIENT: "00100020", Level.STUDY: "0020000D", Level.SERIES: "0020000E"}.get(level, "00080018")
        return [match[tag]["Value"][0] for match in self.find(level, keys, **options).items]

    def store(self, files: list[bytes]) -> None:
        """Store files as ingest does."""

        async def go() -> None:
            blobs = LocalBlobStore(self.folder / "blobs")
            await blobs.open()
            ingest = IngestService(self.catalog, blobs)
            for file in files:
                arrival = ingest.receive("file")
                await arrival.write(file)
                result = await arrival.finish()
                assert result.status == "stored", result
            await ingest.close()
            await blobs.close()

        self.runner.run(go())

    def edit(self, level: Level, entity: str, **changes: Any) -> None:
        """Edit an entity."""
        assert self.runner.run(self.catalog.edit(level, entity, changes, user="u", time="t"))


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def make_archive(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Archive]]:
    """A function that makes empty archives on each catalog in turn."""
    made: list[Archive] = []
    names: list[str] = []

    def make() -> Archive:
        folder = tmp_path_factory.mktemp("archive")
        if request.param == "sqlite":
            catalog: Catalog = SqliteCatalog(folder / "catalog.sqlite")
        else:
            names.append(f"query_{uuid.uuid4().hex[:12]}")
            catalog = MongoCatalog(request.getfixturevalue("mongodb_uri"), names[-1])
        archive = Archive(catalog, folder)
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
