"""Deletion of entities: from the catalog first, then the files that it no longer refers to, and derived results."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.lookup import missing
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable

_log = logging.getLogger(__name__)

#: Files that are deleted before the catalog is told.
_BATCH = 500


class EntityObserver(Protocol):
    """Observer of deletions, which holds the results computed from stored instances."""

    async def stored_of(self, name: str, id: str) -> Sequence[str]:
        """List the DICOM instances that were made of an entity; `name` is that of its level."""

    async def on_removed(self, level: Level, entity: str) -> None:
        """Delete the results of an entity that was deleted."""


class RemoveService:
    """Service that deletes an entity with everything below it, and parents left empty.

    Parameters
    ----------
    catalog : Catalog
        Has the entities.
    garbage : GarbageCollector
        Deletes the files.
    observer : EntityObserver
        Is told of deletions.
    """

    def __init__(self, catalog: Catalog, garbage: GarbageCollector, observer: EntityObserver) -> None:
        self._catalog = catalog
        self._garbage = garbage
        self._observer = observer

    async def delete(self, level: Level, entity: str, *, derived: bool = False) -> None:
        """Delete an entity; on return its files are gone too, unless a backup holds them, and its observer knows.

        The catalog lists the files as garbage in the same transaction, so that files left by a crash or a failing disk
        are deleted at the next start. A download under way is completed.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.
        derived : bool
            Delete the DICOM instances that were made of it as well, wherever they are.

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
                if await self._garbage.delete(batch):
                    await self._catalog.forget_garbage(batch)
        except (OSError, Unavailable) as error:
            _log.warning("files of %s %s could not be deleted, which is tried again: %s", level, entity, error)
        await self._observer.on_removed(level, entity)
        await self.delete_instances(made)  # some were deleted with their source

    async def delete_instances(self, instances: Sequence[str]) -> None:
        """Delete several instances, as far as they still exist."""
        for instance in dict.fromkeys(instances):
            with suppress(NotFound):
                await self.delete(Level.INSTANCE, instance)
