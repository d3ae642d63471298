"""Deletion: from the catalog first, then the files that it no longer refers to."""

import logging

from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.attributes import Level
from neurdicom.errors import NotFound, Unavailable

_log = logging.getLogger(__name__)

#: Files deleted between two notes of it in the catalog.
_BATCH = 500


class RemoveService:
    """Deletes an entity with everything below it, and parents left empty."""

    def __init__(self, catalog: Catalog, blobs: BlobStore) -> None:
        self._catalog = catalog
        self._blobs = blobs

    async def delete(self, level: Level, entity: str) -> None:
        """Delete an entity; on return its files are gone too.

        The catalog notes the files as garbage in the same transaction, so that those which a crash or a failing
        disk leaves are deleted at the next start. A download that is under way ends whole.

        Raises
        ------
        NotFound
            Nothing has this id.
        """
        keys = await self._catalog.delete(level, entity)
        if keys is None:
            raise NotFound(f"there is no {level} {entity!r}")
        try:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                await self._blobs.delete(batch)
                await self._catalog.forget_garbage(batch)
        except (OSError, Unavailable) as error:
            _log.warning("files of %s %s stay until the next start: %s", level, entity, error)
