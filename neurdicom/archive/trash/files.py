"""Files of the entries of the trash: at their places, or still in the store while a backup keeps them there."""

from dataclasses import dataclass
from pathlib import Path

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import NotFound


@dataclass(frozen=True, slots=True)
class SetAsideFile:
    """File of an entry of the trash.

    Attributes
    ----------
    ref : BlobRef
        The blob.
    place : str
        Its place, or that to which it is moved when a backup has ended.
    is_waiting : bool
        Whether it is still in the store.
    """

    ref: BlobRef
    place: str
    is_waiting: bool = False


class SetAsideFiles:
    """Finder of the files of entries.

    Parameters
    ----------
    catalog : Catalog
        Lists as garbage the blobs that are to be set aside.
    blobs : BlobStore
        Has the files.
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore) -> None:
        self._catalog = catalog
        self._blobs = blobs

    async def of(self, place: str) -> list[SetAsideFile]:
        """List the files of a place, with those that are yet to be moved there."""
        waiting = await self.waiting(place)  # first: one that is moved meanwhile is at its place afterwards
        found = await self._at(place)
        for key in waiting:
            if key not in found:
                try:
                    found[key] = SetAsideFile(await self._blobs.find(key), place, is_waiting=True)
                except NotFound:  # moved just now, or deleted by hand
                    found |= await self._at(place)
        return [found[key] for key in sorted(found)]

    async def _at(self, place: str) -> dict[str, SetAsideFile]:
        return {ref.key: SetAsideFile(ref, place) for ref in await self._blobs.aside(place)}

    async def waiting(self, place: str) -> list[str]:
        """List the keys of the blobs that are yet to be moved to a place."""
        return [key for key, to in (await self._catalog.garbage()).items() if to == place]

    async def path(self, file: SetAsideFile) -> Path:
        """Find a local file with the bytes, for reading only. Raises `NotFound`."""
        if file.is_waiting:
            return await self._blobs.path(file.ref.key)
        return await self._blobs.path_aside(file.place, file.ref.key)
