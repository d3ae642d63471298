"""A catalog, a blob store and the services of ingest on a folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from neurdicom.archive.ingest.result import IngestResult
from neurdicom.archive.ingest.service import IngestService
from neurdicom.archive.trash.check import SetAsideChecker
from neurdicom.archive.upload import UploadService
from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.guard import FileGuard
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.local import LocalBlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import KEEP_ALL, StorePolicy
from neurdicom.catalog.sqlite import SqliteCatalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query


@dataclass
class ArchiveSite:
    """A folder with its catalog, blobs and ingest, for tests to look at."""

    folder: Path
    catalog: Catalog
    blobs: LocalBlobStore
    ingest: IngestService

    async def add(self, file: bytes, name: str = "file") -> IngestResult:
        """Store one file."""
        arrival = self.ingest.receive(name)
        await arrival.write(file)
        return await arrival.finish()

    async def send(
        self, body: bytes, content_type: str = "", *, piece: int = 65536, max_upload: int = 0
    ) -> list[IngestResult]:
        """Send a body in pieces."""
        upload = UploadService(self.ingest, max_upload).begin(content_type, len(body))
        for start in range(0, len(body), piece):
            await upload.write(body[start : start + piece])
        return await upload.finish()

    @property
    def guard(self) -> FileGuard:
        """The guard of the files."""
        registry = DamageRegistry(self.catalog.documents, self.folder)
        return FileGuard(self.catalog, self.blobs, registry, FileChecker(self.catalog, self.blobs, registry))

    @property
    def checker(self) -> SetAsideChecker:
        """The checker of files that are set aside."""
        return SetAsideChecker(self.catalog, self.blobs, DamageRegistry(self.catalog.documents, self.folder))

    @property
    def files(self) -> list[bytes]:
        """The bytes of all blobs, in the order of their arrival."""
        return [path.read_bytes() for path in sorted((self.folder / "blobs" / "objects").glob("*/*"))]

    @property
    def spools(self) -> list[Path]:
        """Files in the spool."""
        return list((self.folder / "blobs" / "spool").iterdir())

    async def instances(self) -> list[str]:
        """Ids of all instances."""
        page = await self.catalog.find(Query(Level.INSTANCE, limit=None))
        assert page.total == len(page.items)
        return [item["id"] for item in page.items]

    async def check(self) -> None:
        """Check that every instance has its file, every file its instance, and that nothing is left over."""
        refs = {ref.key: ref async for ref in self.blobs.walk()}
        locations = [await self.catalog.locate(instance) for instance in await self.instances()]
        assert {location.blob.key: location.blob for location in locations if location} == refs
        assert self.spools == []


@asynccontextmanager
async def archive(folder: Path, *, recover: bool = True, policy: StorePolicy = KEEP_ALL) -> AsyncIterator[ArchiveSite]:
    """Open a folder as a server does."""
    catalog, blobs = SqliteCatalog(folder / "catalog.sqlite"), LocalBlobStore(folder / "blobs")
    await catalog.open()
    await blobs.open()
    ingest = IngestService(catalog, blobs, policy=policy)
    try:
        if recover:
            await ingest.recover()
        yield ArchiveSite(folder, catalog, blobs, ingest)
    finally:
        await ingest.close()
        await blobs.close()
        await catalog.close()
