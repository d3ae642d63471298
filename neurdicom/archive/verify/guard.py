"""The guard of stored files, by which all services read them: a damaged file is refused, whoever asks for it."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from neurdicom.archive.lookup import missing
from neurdicom.archive.verify.check import FileChecker
from neurdicom.archive.verify.registry import DamageRegistry
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Damaged, Malformed, NotAvailable, NotDicom, NotFound, PluginError

#: What decoders raise, and processes that die of a file.
_OF_DECODERS = (NotAvailable, Malformed, NotDicom, NotFound, PluginError, OSError)

#: Seconds for which a file that could not be decoded, and is as it was received, is not read again to find that out.
_GOOD_SECONDS = 3600.0
_MOST_GOOD = 4096

#: Files that are looked at before others get the event loop.
_AT_ONCE = 500


class FileGuard:
    """Guard of stored files. Reads are not hashed: damage is known from the registry, and from a file's size.

    Parameters
    ----------
    catalog : Catalog
        Says which file an instance has.
    blobs : BlobStore
        Has the files.
    registry : DamageRegistry
        Knows the damage.
    checker : FileChecker
        Reads a file that looks damaged.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, registry: DamageRegistry, checker: FileChecker) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._registry = registry
        self._checker = checker
        self._good: OrderedDict[str, float] = OrderedDict()

    async def require(self, location: Location) -> None:
        """Refuse the file of an instance if it is damaged.

        Raises
        ------
        Damaged
            It is known to be damaged, or is missing, or has another size.
        NotFound
            The instance was deleted or replaced since it was located.
        Unavailable
            The blob store is not there.
        """
        blob = location.blob
        damage = await self._registry.find(blob.key)
        try:
            size = await self._blobs.size(blob.key)
        except NotFound:
            size = -1
        if damage is None and size == blob.size:
            return
        if damage is not None and (size != blob.size or damage.has_its_size):
            raise damage.to_error()
        damage = await self._checker.check(location)
        if damage is not None:
            raise damage.to_error()
        if not await self._checker.is_current(location):
            raise missing(Level.INSTANCE, location.instance)

    async def path(self, location: Location) -> Path:
        """Find a local file with the bytes of an instance, for reading only. Raises as `require`."""
        await self.require(location)
        return await self._blobs.path(location.blob.key)

    @asynccontextmanager
    async def decoding(self, *locations: Location) -> AsyncIterator[None]:
        """Explain the failure of a decoder within the context by damage of the files, if they are damaged."""
        try:
            yield
        except Damaged:
            raise
        except _OF_DECODERS as error:
            for location in locations:
                if (damaged := await self._examine(location)) is not None:
                    raise damaged from error
            raise

    async def explain(self, instances: Sequence[str]) -> Damaged | None:
        """Find out whether the file of one of several instances is damaged, after a decoder or a plugin failed."""
        for instance in dict.fromkeys(instances):
            location = await self._catalog.locate(instance)
            if location is not None and (damaged := await self._examine(location)) is not None:
                return damaged
        return None

    async def require_all(self, level: Level, entity: str) -> None:
        """Refuse an entity if any of its files is damaged. Raises `Damaged`, `Unavailable`."""
        for number, located in enumerate(await self._catalog.locate_all(level, entity), 1):
            with suppress(NotFound):  # deleted meanwhile
                await self.require(located.location)
            if not number % _AT_ONCE:
                await asyncio.sleep(0)

    async def _examine(self, location: Location) -> Damaged | None:
        """Read a file whose decoding failed, unless that was done recently."""
        key, now = location.blob.key, time.monotonic()
        try:
            await self.require(location)
        except NotFound:
            return None
        except Damaged as error:
            return error
        if self._good.get(key, 0.0) > now:
            return None
        damage = await self._checker.check(location)
        if damage is not None:
            return damage.to_error()
        self._good[key] = now + _GOOD_SECONDS
        if len(self._good) > _MOST_GOOD:
            self._good.popitem(last=False)
        return None
