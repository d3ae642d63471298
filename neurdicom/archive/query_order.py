"""Order of the matches of a query, and positions in it, from which the next page goes on."""

from collections.abc import Iterable

import orjson

from neurdicom.catalog.projection import sort_value
from neurdicom.catalog.records import Entity
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Condition, Query, Scalar

#: The newest study first, those without a date last, and ties by id. What is below comes in the order of ids.
NEWEST = (("study_date", True), ("study_time", True))


def sort_of(level: Level) -> tuple[tuple[str, bool], ...]:
    """Return the sort of the matches of a level."""
    return NEWEST if level is Level.STUDY else ()


def page_query(
    level: Level, conditions: tuple[Condition, ...], *, limit: int | None, offset: int, after: str | None
) -> Query:
    """Make the query for a page of matches.

    Parameters
    ----------
    level : Level
        Level of the query.
    conditions : tuple of Condition
        Its conditions.
    limit : int or None
        Most matches; None for all.
    offset : int
        Matches to skip; not with `after`.
    after : str or None
        `position` of the last match of the page before.
    """
    sort = sort_of(level)
    if not sort or after is None:
        return Query(level, conditions, sort, limit, offset, after, counted=False)
    past: list[Scalar | None] = orjson.loads(after)
    return Query(level, conditions, sort, limit, offset, counted=False, past=tuple(past))


def position(level: Level, entity: Entity) -> str:
    """Write where an entity is among the matches of a level."""
    sort = sort_of(level)
    if not sort:
        return str(entity["id"])
    return orjson.dumps([*(sort_value(field, entity[field]) for field, _ in sort), entity["id"]]).decode()


def in_order(level: Level, entities: Iterable[Entity]) -> list[Entity]:
    """Sort entities as the catalog does."""
    found = sorted(entities, key=lambda entity: str(entity["id"]))
    for field, descending in reversed(sort_of(level)):
        found.sort(key=lambda entity, field=field: str(entity[field] or ""), reverse=descending)  # type: ignore[misc]
    return found
