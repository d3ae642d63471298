"""Edits of descriptive attributes: stored beside the files, and applied whenever an instance is shown or sent."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from neurdicom.archive.lookup import find_below, get_entity, missing
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Edit, Entity
from neurdicom.dicom.edits.values import check_changes
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.errors import NotFound


class EditService:
    """Service that edits attributes; the stored files are never changed."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

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
        key = (await get_entity(self._catalog, level, entity))["key"]
        checked = check_changes(level, changes)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        known = await self._catalog.edit(level, key, checked, user=user, time=now)
        edited = await self._catalog.get(level, key) if known else None
        if edited is None:
            raise NotFound(f"the {level} {entity!r} was deleted meanwhile")
        return edited

    async def history(self, level: Level, entity: str) -> list[Edit]:
        """List the edits of an entity that are in force, the earliest first. Raises `NotFound` or `Ambiguous`."""
        one = Query(Level.INSTANCE, limit=1, counted=False)
        page = await find_below(self._catalog, level, entity, one)
        if not page.items:
            raise missing(level, entity)
        edits = await self._catalog.edits(page.items[0]["key"])
        return sorted((edit for edit in edits if edit.level is level), key=lambda edit: (edit.time, edit.field))
