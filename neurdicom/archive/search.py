"""Search for patients, studies, series and instances."""

import asyncio
from dataclasses import replace

from neurdicom.archive.labels.store import LabelStore, names_in
from neurdicom.archive.lookup import find_below, get_entity
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import UidConflict
from neurdicom.catalog.records import Entity, Page
from neurdicom.dicom.geometry.slices import slice_order
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Query
from neurdicom.dicom.query.labels import LABELS

#: From so many instances on, ordering them would hold the event loop, so a thread does it.
_MANY = 500

#: Most entities whose labels are looked up without asking first whether any entity has one, which takes as long.
_FEW = 20


class SearchService:
    """Service that returns entities of the catalog, with their labels; edits are applied."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._labels = LabelStore(catalog)

    async def get(self, level: Level, entity: str) -> Entity:
        """Return an entity by id. Raises `NotFound` or `Ambiguous`."""
        return await self.with_labels(level, await get_entity(self._catalog, level, entity))

    async def with_labels(self, level: Level, entity: Entity) -> Entity:
        """Add its labels to an entity of the catalog."""
        return (await self._labelled(level, [entity]))[0]

    async def _labelled(self, level: Level, entities: list[Entity]) -> list[Entity]:
        keys = [entity["key"] for entity in entities]
        is_needed = len(keys) < _FEW or await self._labels.has_any(level)
        marks = await self._labels.marks(level, keys) if is_needed else {}
        return [{**entity, LABELS: names_in(marks.get(entity["key"], ()))} for entity in entities]

    async def find(self, query: Query) -> Page:
        """Find the entities that meet a query."""
        page = await self._catalog.find(query)
        return Page(await self._labelled(query.level, page.items), page.total)

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
        page = await self.below(level, entity, query)
        return Page(await self._labelled(query.level, page.items), page.total)

    async def below(self, level: Level, entity: str, query: Query) -> Page:
        """List the entities directly below one as `children` does, without their labels.

        Parameters
        ----------
        level : Level
            Level of the parent.
        entity : str
            Id of the entity.
        query : Query
            At the level below.

        Raises
        ------
        NotFound, Ambiguous
            As `children`.
        """
        if level is Level.SERIES and not query.sort:
            page = await self._in_slice_order(entity, query)
        else:
            page = await find_below(self._catalog, level, entity, query)
        if not page.total:
            await get_entity(self._catalog, level, entity)
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
