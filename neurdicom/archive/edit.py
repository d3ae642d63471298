"""Edits of descriptive attributes: stored beside the files, and applied whenever an instance is shown or sent."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from heapq import merge
from operator import attrgetter
from typing import Any, Protocol

from neurdicom.archive.lookup import LONGEST_ID, get_entity
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit, Entity
from neurdicom.dicom.edits.values import check_changes
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NotFound

log = logging.getLogger(__name__)


class EditSource(Protocol):
    """Store of one kind of edits; the catalog is that of edited attributes, `MoveService` that of moves."""

    async def history(self, level: Level, entity: str) -> list[Edit]:
        """List the edits of an entity by its key, the earliest first."""

    async def undo(self, level: Level, entity: str, edit_id: str) -> bool:
        """Undo an edit of an entity; return False if it has no such edit.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key.
        edit_id : str
            Id of the edit.
        """


class EditObserver(Protocol):
    """Observer of edits, which keeps those of what is being deleted."""

    async def take_along(self, level: Level, entity: Entity) -> None:
        """Let the edits of an entity, which has just been edited, go with what is being deleted of it."""


class EditService:
    """Service that edits entities, and undoes edits; the stored files are never changed.

    Parameters
    ----------
    catalog : Catalog
        Has the entities, and the edits of their attributes.
    further : sequence of EditSource
        Sources of edits of other kinds.
    trash : EditObserver, optional
        Is told of what is edited while it is deleted.
    """

    def __init__(self, catalog: Catalog, further: Sequence[EditSource] = (), trash: EditObserver | None = None) -> None:
        self._catalog = catalog
        self._trash = trash
        self._sources: tuple[EditSource, ...] = (catalog, *further)

    async def change(self, level: Level, entity: str, changes: Mapping[str, Any], *, user: str) -> Entity:
        """Change some of an entity's own attributes, all or none.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Id of the entity.
        changes : Mapping[str, Any]
            Field name to new value; None empties the attribute.
        user : str
            The user who changes it, recorded with the edit.

        Returns
        -------
        Entity
            The entity with the edits.

        Raises
        ------
        NotFound
            Nothing has this id.
        Ambiguous
            The UID names several entities.
        Invalid
            A field is unknown, of another level or not editable, or its value is wrong; the error names it.
        """
        before = await get_entity(self._catalog, level, entity)
        key = before["key"]
        checked = check_changes(level, changes)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = await self._catalog.edit(level, key, checked, user=user, time=now)
        if known and self._trash is not None:
            await self._trash.take_along(level, before)
        # Only now: it may have been deleted without the edit, which is not acknowledged then.
        edited = await self._catalog.get(level, key) if known else None
        if edited is None:
            raise NotFound(f"the {level} {entity!r} was deleted meanwhile")
        return edited

    async def history(self, level: Level, entity: str) -> list[Edit]:
        """List all edits of an entity, the earliest first. Raises `NotFound` or `Ambiguous`."""
        key = (await get_entity(self._catalog, level, entity))["key"]
        found = [await source.history(level, key) for source in self._sources]
        return list(merge(*found, key=attrgetter("time")))

    async def undo(self, level: Level, entity: str, edit_id: str, *, user: str) -> None:
        """Undo one edit; others of the same field stay.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its id.
        edit_id : str
            Id of the edit.
        user : str
            The user who undoes it, for the log.

        Raises
        ------
        NotFound
            Nothing has this id, or it has no such edit, or not any more.
        Ambiguous
            The UID names several entities.
        """
        key = (await get_entity(self._catalog, level, entity))["key"]
        for source in self._sources:
            undone = next((edit for edit in await source.history(level, key) if edit.id == edit_id), None)
            if undone is not None and await source.undo(level, key, edit_id):
                log.info(
                    "the edit %s of %s of the %s %s, by %s at %s, was undone by %s",
                    *(edit_id, undone.field, level, key, undone.user, undone.time, user),
                )
                return
        raise NotFound(f"the {level} {entity[:LONGEST_ID]!r} has no edit {edit_id[:LONGEST_ID]!r}")
