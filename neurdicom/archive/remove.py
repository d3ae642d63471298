"""Deletion of entities, to the trash or for good, with what was derived from them."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from neurdicom.archive.garbage import GarbageCollector
from neurdicom.archive.labels.aside import LabelsAside
from neurdicom.archive.lookup import missing, names_of
from neurdicom.archive.trash.entry import SetAsideObserver
from neurdicom.archive.trash.service import Deletion, TrashService
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound, Unavailable

_log = logging.getLogger(__name__)

#: A deletion that no user asked for, such as that of what another took the place of.
BY_SERVER = Deletion()


class EntityObserver(SetAsideObserver, Protocol):
    """Observer of deletions, which also knows the DICOM instances that were made of results."""

    async def stored_of(self, name: str, id: str) -> Sequence[str]:
        """List the keys of DICOM instances that were made of an entity, by its key; `name` is that of its level."""


class RemoveService:
    """Service that deletes an entity with everything below it, and parents left empty.

    Parameters
    ----------
    catalog : Catalog
        Has the entities.
    garbage : GarbageCollector
        Deletes the files.
    trash : TrashService
        Keeps what is not deleted for good.
    observer : EntityObserver
        Is told of deletions for good.
    """

    def __init__(
        self, catalog: Catalog, garbage: GarbageCollector, trash: TrashService, observer: EntityObserver
    ) -> None:
        self._catalog = catalog
        self._garbage = garbage
        self._trash = trash
        self._observer = observer
        self._labels = LabelsAside(catalog)

    async def delete(
        self,
        level: Level,
        entity: str,
        deletion: Deletion = BY_SERVER,
        *,
        derived: bool = False,
        purge: bool = False,
    ) -> None:
        """Delete an entity: move it to the trash, or delete it for good.

        The catalog lists the files as garbage in the same transaction, so that files left by a crash or a failing disk
        are removed at the next start. A download under way is completed.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key or UID.
        deletion : Deletion
            Who deletes it, and why.
        derived : bool
            Delete the DICOM instances that were made of it as well, wherever they are.
        purge : bool
            Delete it for good, also where there is a trash.

        Raises
        ------
        NotFound
            Nothing has this id.
        Ambiguous
            The UID names several entities.
        """
        names = await names_of(self._catalog, level, entity)
        made = (
            [one for each, key in names for one in await self._observer.stored_of(each.value, key)] if derived else []
        )
        if purge or not self._trash.keeps:
            await self._delete_for_good(level, entity, names)
        else:
            await self._trash.delete(level, entity, deletion)
        await self.delete_instances(made, deletion, purge=purge)  # some were deleted with their source

    async def _delete_for_good(self, level: Level, entity: str, names: Sequence[tuple[Level, str]]) -> None:
        found = await self._catalog.get(*names[0]) if names else None
        if found is None:
            raise missing(level, entity)
        place = self._labels.new_purge()
        located = await self._catalog.locate_all(*names[0]) if await self._labels.are_needed() else []
        patient = found["id"] if level is Level.PATIENT else found["patient"]
        await self._labels.note(place, patient, located)
        unused = await self._catalog.delete(*names[0])
        if unused is None:
            await self._labels.discard(place)
            raise missing(level, entity)
        keys = unused

        async def finish() -> None:
            await self._labels.note(place, patient, located)  # again, for labels that were given meanwhile
            await self._labels.set_aside(place)
            await self._labels.discard(place)
            try:
                await self._garbage.collect(dict.fromkeys(keys, ""))
            except (OSError, Unavailable) as error:
                _log.warning("files of %s %s could not be deleted, which is tried again: %s", level, entity, error)
            for name in names:
                await self._observer.on_removed(*name)

        await self._trash.retries.attempt(f"labels and results of {level} {entity} could not be deleted", finish)

    async def delete_instances(
        self, instances: Sequence[str], deletion: Deletion = BY_SERVER, *, purge: bool = False
    ) -> None:
        """Delete several instances, as far as they still exist.

        Parameters
        ----------
        instances : sequence of str
            Their keys.
        deletion : Deletion
            Who deletes them, and why.
        purge : bool
            Delete them for good.
        """
        for instance in dict.fromkeys(instances):
            with suppress(NotFound):
                await self.delete(Level.INSTANCE, instance, deletion, purge=purge)
