"""Selections of stored entities, by ids or by filters as in lists, and iteration over them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurdicom.archive.lookup import missing, series_of
from neurdicom.archive.search import SearchService
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Entity
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query
from neurdicom.dicom.query.filter_schemas import MAX_FILTERS
from neurdicom.dicom.query.filters import parse_filters
from neurdicom.errors import Ambiguous, Invalid, NotFound

#: Levels by their plural names.
MANY = {"patients": Level.PATIENT, "studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}
#: Levels by their names in requests, in lower case.
LEVELS = MANY | {level.value: level for level in Level}
NAME_OF = {level: name for name, level in MANY.items()}

#: Largest number of ids in a selection, which a job keeps in its record.
MAX_IDS = 1000

_PAGE = 500


def ids_schema(*, least: int = 0) -> dict[str, Any]:
    """Make the JSON schema of a list of ids; null has the same meaning as leaving it out, where `least` is 0."""
    ids = {"type": "array", "maxItems": MAX_IDS, "items": {"type": "string"}}
    return {**ids, "minItems": least} if least else {**ids, "type": ["array", "null"]}


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of stored entities: by ids, or by filters at a level.

    Attributes
    ----------
    ids : Mapping of Level to ids
        References to the selected entities; each instance below them counts once. A job keeps keys, which
        `Selector.resolve` finds once.
    level : Level or None
        Level of the entities that `filters` select; None for a selection by ids.
    filters : Mapping of str to texts
        Filters as in a list at that level; empty to select all that is stored.
    """

    ids: Mapping[Level, Sequence[str]] = field(default_factory=dict)
    level: Level | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, level: Level, entity: str) -> "Selection":
        """Make the selection of one entity."""
        return cls({level: (entity,)})

    @classmethod
    def from_document(cls, request: Mapping[str, Any], *, default: Level = Level.INSTANCE) -> "Selection":
        """Read a selection from `patients`, `studies`, `series`, `instances` (lists of ids), or `level` and `filters`.

        Parameters
        ----------
        request : Mapping[str, Any]
            A request that matches `archive.selection_schemas`, or a document of `to_document`.
        default : Level
            Level of `filters` where `level` is left out.

        Returns
        -------
        Selection

        Raises
        ------
        Invalid
            There are too many ids or filters, or there is no such filter at the default level; `field` names it.
        """
        ids = {level: tuple(dict.fromkeys(request[name])) for name, level in MANY.items() if request.get(name)}
        if ids:
            if (count := sum(map(len, ids.values()))) > MAX_IDS:
                raise Invalid(f"there are {count} ids; {MAX_IDS} at most", field=NAME_OF[next(iter(ids))])
            return cls(ids)
        named = request.get("level")
        level = default if named is None else LEVELS[named.lower()]
        selection = cls(level=level, filters=_filters(request["filters"]))
        selection.conditions()
        return selection

    def to_document(self) -> dict[str, Any]:
        """Convert the selection to a document for `from_document`."""
        if self.level is None:
            return {NAME_OF[level]: list(ids) for level, ids in self.ids.items()}
        return {
            "level": NAME_OF[self.level],
            "filters": {name: texts[0] if len(texts) == 1 else list(texts) for name, texts in self.filters.items()},
        }

    def conditions(self) -> tuple[Condition, ...]:
        """Convert the filters to conditions of the catalog. Raises `Invalid`."""
        assert self.level is not None
        return parse_filters(self.level, self.filters)

    def queries(self) -> list[tuple[Level, tuple[Condition, ...]]]:
        """Convert to queries: the selected entities are those that meet the conditions, and all below them."""
        if self.level is not None:
            return [(self.level, self.conditions())]
        return [(level, (AnyOf(level.value, tuple(ids)),)) for level, ids in self.ids.items()]


class Selector:
    """Iteration over the selected entities, one series at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._search = SearchService(catalog)

    async def resolve(self, selection: Selection) -> Selection:
        """Replace the ids of a selection by keys, which mean the same at any later time.

        Parameters
        ----------
        selection : Selection
            By ids or by filters; filters stay as they are.

        Returns
        -------
        Selection

        Raises
        ------
        NotFound
            Nothing has one of the ids; `field` names the list that holds it.
        Ambiguous
            One of them is a UID that names several entities; `field` names the list that holds it.
        """
        return Selection(
            {level: await self._keys(level, ids) for level, ids in selection.ids.items()},
            selection.level,
            selection.filters,
        )

    async def _keys(self, level: Level, ids: Sequence[str]) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for entity in ids:
            try:
                keys = await self._catalog.keys(level, entity)
            except Ambiguous as error:
                error.field = NAME_OF[level]
                raise
            if not keys:
                raise missing(level, entity, field=NAME_OF[level])
            found[keys[0]] = None
        return tuple(found)

    async def _present(self, selection: Selection) -> dict[Level, frozenset[str]]:
        """Look up the present ids of entities selected by id: all for an ambiguous UID, none for an unknown id."""
        if len(selection.ids) < 2:
            return {}  # nothing lies below another selected entity
        present: dict[Level, frozenset[str]] = {}
        for level, conditions in selection.queries():
            pages = [page async for page in self._pages(level, conditions)]
            present[level] = frozenset(entity["id"] for page in pages for entity in page)
        return present

    async def series(self, selection: Selection) -> AsyncIterator[Entity]:
        """Yield the series that are selected as a whole, each once."""
        present = await self._present(selection)
        for level, conditions in selection.queries():
            if level is Level.INSTANCE:
                continue
            async for page in self._pages(level, conditions):
                for entity in page:
                    whole = [entity] if level is Level.SERIES else await series_of(self._catalog, level, entity["key"])
                    for series in whole:
                        if not _is_below(series, present, level):
                            yield series

    async def instances(self, selection: Selection) -> AsyncIterator[tuple[Entity, list[Entity]]]:
        """Yield each selected instance once: a series and its selected ones, in slice order for a whole series."""
        async for series in self.series(selection):
            try:
                page = await self._search.below(Level.SERIES, series["key"], Query(Level.INSTANCE, limit=None))
            except NotFound:  # deleted meanwhile
                continue
            yield series, page.items
        selected = [conditions for level, conditions in selection.queries() if level is Level.INSTANCE]
        if not selected:
            return
        present = await self._present(selection)
        async for page_items in self._pages(Level.INSTANCE, selected[0]):
            by_series: dict[str, list[Entity]] = {}
            for instance in page_items:
                if not _is_below(instance, present, Level.INSTANCE):
                    by_series.setdefault(instance[Level.SERIES.value], []).append(instance)
            for one, instances in by_series.items():
                found = await self._catalog.get(Level.SERIES, one)
                if found is not None:
                    yield found, instances

    async def _pages(self, level: Level, conditions: tuple[Condition, ...]) -> AsyncIterator[list[Entity]]:
        # Pages continue after a key, so that entities stored or deleted meanwhile do not shift them.
        after = ""
        while True:
            page = await self._catalog.find(Query(level, conditions, limit=_PAGE, after=after, counted=False))
            if page.items:
                yield page.items
            if len(page.items) < _PAGE:
                return
            after = page.items[-1]["key"]


def _is_below(entity: Entity, present: Mapping[Level, frozenset[str]], found_by: Level) -> bool:
    """Tell whether an entity also lies below a selected one of a level above the one by which it was found.

    Parameters
    ----------
    entity : Entity
        The entity.
    present : Mapping
        Ids of the selected entities by level.
    found_by : Level
        Level of the selected entity that it was found by.
    """
    above = [each for each in found_by.above if present.get(each)]
    if not above:
        return False
    return any(entity[each.value] in present[each] for each in above)


def _filters(given: Mapping[str, Any]) -> dict[str, list[str]]:
    read = {name: [*map(str, value if isinstance(value, list) else [value])] for name, value in given.items()}
    if sum(len(text) for texts in read.values() for text in texts) > MAX_FILTERS:
        raise Invalid(f"the filters are longer than {MAX_FILTERS} characters", field="filters")
    return read
