"""Selections of stored entities, by their ids or by filters as a list takes them, and walks over them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neurdicom.archive.lookup import get_entity, series_of
from neurdicom.archive.search import SearchService
from neurdicom.catalog.base import Catalog, Entity
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query
from neurdicom.dicom.query.filters import parse_filters
from neurdicom.errors import Invalid, NotFound

#: What each level is called where there are several.
MANY = {"patients": Level.PATIENT, "studies": Level.STUDY, "series": Level.SERIES, "instances": Level.INSTANCE}
#: Levels by their names in requests, in lower case.
LEVELS = MANY | {level.value: level for level in Level}
NAME_OF = {level: name for name, level in MANY.items()}

#: Ids in one selection; a job keeps them.
MAX_IDS = 1000

#: Characters of all filters together.
_MAX_FILTERS = 16 * 1024

_PAGE = 500


def ids_schema(*, least: int = 0) -> dict[str, Any]:
    """Make the JSON schema of a list of ids; null is as if it were left out, where none are asked for."""
    ids = {"type": "array", "maxItems": MAX_IDS, "items": {"type": "string"}}
    return {**ids, "minItems": least} if least else {**ids, "type": ["array", "null"]}


@dataclass(frozen=True, slots=True)
class Selection:
    """A selection of stored entities.

    Attributes
    ----------
    ids : Mapping of Level to ids
        All of these; each instance below them once.
    level : Level or None
        Or else those of this level that meet `filters`.
    filters : Mapping of str to texts
        As a list at that level takes them; none means all that is stored.
    """

    ids: Mapping[Level, Sequence[str]] = field(default_factory=dict)
    level: Level | None = None
    filters: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, level: Level, entity: str) -> "Selection":
        """One entity."""
        return cls({level: (entity,)})

    @classmethod
    def from_document(cls, request: Mapping[str, Any], *, default: Level = Level.INSTANCE) -> "Selection":
        """Read `patients`, `studies`, `series`, `instances` (lists of ids), or `level` and `filters`.

        Parameters
        ----------
        request : Mapping[str, Any]
            What meets `archive.selection_schemas`, or a document that `to_document` wrote.
        default : Level
            Where `filters` come without `level`.

        Raises
        ------
        Invalid
            There are too many ids or filters, or a filter is none of the default level; `field` names it.
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
        """Write it as `from_document` takes it."""
        if self.level is None:
            return {NAME_OF[level]: list(ids) for level, ids in self.ids.items()}
        return {
            "level": NAME_OF[self.level],
            "filters": {name: texts[0] if len(texts) == 1 else list(texts) for name, texts in self.filters.items()},
        }

    def conditions(self) -> tuple[Condition, ...]:
        """Translate the filters for the catalog. Raises `Invalid`."""
        assert self.level is not None
        return parse_filters(self.level, self.filters)

    def queries(self) -> list[tuple[Level, tuple[Condition, ...]]]:
        """Translate all of it: the entities of these levels that meet the conditions, and all that lies below."""
        if self.level is not None:
            return [(self.level, self.conditions())]
        return [(level, (AnyOf(_ID_FIELD.get(level, level.value), tuple(ids)),)) for level, ids in self.ids.items()]


_ID_FIELD = {Level.INSTANCE: "sop_instance_uid", Level.SERIES: "series_instance_uid", Level.STUDY: "study_instance_uid"}


class Selector:
    """Walks over what is selected, a series at a time."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._search = SearchService(catalog)

    async def check(self, selection: Selection) -> None:
        """Check that the entities are there. Raises `NotFound`."""
        for level, ids in selection.ids.items():
            for entity in ids:
                await get_entity(self._catalog, level, entity, field=NAME_OF[level])

    async def series(self, selection: Selection) -> AsyncIterator[Entity]:
        """Yield the series that are selected as a whole, each once."""
        for level, conditions in selection.queries():
            if level is Level.INSTANCE:
                continue
            async for page in self._pages(level, conditions):
                for entity in page:
                    whole = [entity] if level is Level.SERIES else await series_of(self._catalog, level, entity["id"])
                    for series in whole:
                        if not _is_below(series, selection, level):
                            yield series

    async def instances(self, selection: Selection) -> AsyncIterator[tuple[Entity, list[Entity]]]:
        """Yield the instances, each once: a series and some of its instances, in slice order where it is whole."""
        async for series in self.series(selection):
            try:
                page = await self._search.children(Level.SERIES, series["id"], Query(Level.INSTANCE, limit=None))
            except NotFound:  # deleted meanwhile
                continue
            yield series, page.items
        if selection.level is Level.INSTANCE:
            pages = self._pages(Level.INSTANCE, selection.conditions())
        elif Level.INSTANCE in selection.ids:
            pages = self._pages(Level.INSTANCE, (AnyOf("sop_instance_uid", tuple(selection.ids[Level.INSTANCE])),))
        else:
            return
        async for page_items in pages:
            by_series: dict[str, list[Entity]] = {}
            for instance in page_items:
                if not _is_below(instance, selection, Level.INSTANCE):
                    by_series.setdefault(instance["series"], []).append(instance)
            for one, instances in by_series.items():
                found = await self._catalog.get(Level.SERIES, one)
                if found is not None:
                    yield found, instances

    async def _pages(self, level: Level, conditions: tuple[Condition, ...]) -> AsyncIterator[list[Entity]]:
        # By id: what is stored or deleted meanwhile does not move what comes after.
        after = ""
        while True:
            page = await self._catalog.find(Query(level, conditions, limit=_PAGE, after=after, counted=False))
            if page.items:
                yield page.items
            if len(page.items) < _PAGE:
                return
            after = page.items[-1]["id"]


def _is_below(entity: Entity, selection: Selection, level: Level) -> bool:
    """Whether an entity is also a part of one that is selected at a level above the one that it was found by."""
    return any(entity.get(above.value) in selection.ids.get(above, ()) for above in level.above)


def _filters(given: Mapping[str, Any]) -> dict[str, list[str]]:
    read = {name: [*map(str, value if isinstance(value, list) else [value])] for name, value in given.items()}
    if sum(len(text) for texts in read.values() for text in texts) > _MAX_FILTERS:
        raise Invalid(f"the filters are longer than {_MAX_FILTERS} characters", field="filters")
    return read
