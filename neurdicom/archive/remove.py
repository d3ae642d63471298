"""Deletion of entities: from the catalog first, then the files that it no longer refers to, and what came of it."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from neurdicom.archive.lookup import missing
from neurdicom.blobs.base import BlobStore
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable

_log = logging.getLogger(__name__)

#: Files deleted between two notes of it in the catalog.
_BATCH = 500


class EntityObserver(Protocol):
    """Observer of deletions, which holds what was computed from stored instances."""

    async def stored_of(self, name: str, id: str) -> Sequence[str]:
        """List the DICOM instances that were made of an entity; `name` is that of its level."""

    async def on_removed(self, level: Level, entity: str) -> None:
        """Delete what was computed from an entity that was deleted."""


class RemoveService:
    """Service that deletes an entity with everything below it, and parents left empty.

    Parameters
    ----------
    catalog : Catalog
    blobs : BlobStore
    observer : EntityObserver
    """

    def __init__(self, catalog: Catalog, blobs: BlobStore, observer: EntityObserver) -> None:
        self._catalog = catalog
        self._blobs = blobs
        self._observer = observer

    async def delete(self, level: Level, entity: str, *, derived: bool = False) -> None:
        """Delete an entity; on return its files are gone too, and its observer knows.

        The catalog notes the files as garbage in the same transaction, so that those which a crash or a failing
        disk leaves are deleted at the next start. A download that is under way ends whole.

        Parameters
        ----------
        level : Level
        entity : str
        derived : bool
            Delete the DICOM instances that were made of it as well, wherever they lie.

        Raises
        ------
        NotFound
            Nothing has this id.
        """
        made = await self._observer.stored_of(level.value, entity) if derived else []
        keys = await self._catalog.delete(level, entity)
        if keys is None:
            raise missing(level, entity)
        try:
            for start in range(0, len(keys), _BATCH):
                batch = keys[start : start + _BATCH]
                await self._blobs.delete(batch)
                await self._catalog.forget_garbage(batch)
        except (OSError, Unavailable) as error:
            _log.warning("files of %s %s stay until the next start: %s", level, entity, error)
        await self._observer.on_removed(level, entity)
        await self.delete_instances(made)  # some went with their source

    async def delete_instances(self, instances: Sequence[str]) -> None:
        """Delete several instances, as far as they are still there."""
        for instance in dict.fromkeys(instances):
            with suppress(NotFound):
                await self.delete(Level.INSTANCE, instance)
