"""A catalog that is only queried."""

import asyncio
from pathlib import Path
from typing import Any

from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.query import Matches, QueryService
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.codec.dictionary import dictionary_vr, tag_of
from neurdicom.dicom.query.attributes import Level
from tests.support.files import ROOT


class QueryableArchive:
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
        """The UIDs of the matches, sorted."""
        tag = {Level.PATIENT: "00100020", Level.STUDY: "0020000D", Level.SERIES: "0020000E"}.get(level, "00080018")
        return sorted(match[tag]["Value"][0] for match in self.find(level, keys, **options).items)

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


def keys(**given: Any) -> dict[str, Any]:
    """An identifier in the DICOM JSON model; None for a return key."""
    made = {}
    for keyword, value in given.items():
        vr = dictionary_vr(int(tag_of(keyword), 16))
        values = [] if value is None else value if isinstance(value, list) else [value]
        made[tag_of(keyword)] = {"vr": vr, **({"Value": values} if values else {})}
    return made


def study(number: int) -> str:
    return f"{ROOT}.{number}"
