"""Search for patients, studies, series and instances."""

import asyncio
from dataclasses import replace

from neurdicom.archive.lookup import find_below, get_entity
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import UidConflict
from neurdicom.catalog.records import Entity, Page
from neurdicom.dicom.geometry.slices import slice_order
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query

#: From so many instances on, ordering them would hold the event loop, so a thread does it.
_MANY = 500


class SearchService:
    """Service that returns entities of the catalog; edits are applied."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def get(self, level: Level, entity: str) -> Entity:
        """Return an entity by id. Raises `NotFound` or `Ambiguous`."""
        return await get_entity(self._catalog, level, entity)

    async def find(self, query: Query) -> Page:
        """Find the entities that meet a query."""
        return await self._catalog.find(query)

    async def conflicts(self) -> list[UidConflict]:
        """List the UIDs that name several entities."""
        return await self._catalog.conflicts()

    async def children(self, level: Level, entity: str, query: Query) -> Page:
        """List the entities directly below one that meet a query.

        Parameters
        ----------
        level : Level
            Level of the parent.
        entity : str
            Id of the entity.
        query : Query
            At the level below. A series' instances come in slice order unless the query sorts them.

        Raises
        ------
        NotFound
            Nothing has the parent's id.
        Ambiguous
            The UID names several parents.
        """
        if level is Level.SERIES and not query.sort:
            page = await self._in_slice_order(entity, query)
        else:
            page = await find_below(self._catalog, level, entity, query)
        if not page.total:
            await self.get(level, entity)
        return page

    async def _in_slice_order(self, series: str, query: Query) -> Page:
        # The order depends on every slice, so the page is cut from the whole series.
        page = await find_below(self._catalog, Level.SERIES, series, replace(query, limit=None, offset=0))
        if len(page.items) < _MANY:
            items = slice_order(page.items)
        else:
            items = await asyncio.to_thread(slice_order, page.items)
        end = None if query.limit is None else query.offset + query.limit
        return Page(items[query.offset : end], page.total)
