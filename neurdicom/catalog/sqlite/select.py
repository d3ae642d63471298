"""Translation of a `Query` to SQL, and of rows to entities."""

import math
import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson

from neurdicom.catalog.base import Entity, Page
from neurdicom.catalog.projection import assemble
from neurdicom.catalog.query_check import check_query, owner_of
from neurdicom.catalog.sqlite.conditions import ID_FIELDS, where_clause
from neurdicom.dicom.query.attributes import BY_FIELD, COUNTS, Level
from neurdicom.dicom.query.conditions import Query

_COLUMNS: dict[Level, str] = {
    Level.PATIENT: "patient.id, patient.attributes, patient.studies_count, patient.images_count",
    Level.STUDY: "study.id, study.attributes, study.series_count, study.images_count, study.modalities,"
    " patient.id, patient.attributes",
    Level.SERIES: "series.id, series.attributes, series.images_count, patient.id, study.id",
    Level.INSTANCE: "instance.id, instance.attributes, instance.size, instance.sha256, instance.received,"
    " patient.id, study.id, series.id",
}
JOINS = {
    level: "".join(f" JOIN {above} ON {above}.pk = {above.child}.parent" for above in reversed(level.above))
    for level in Level
}


def get(db: sqlite3.Connection, level: Level, entity: str) -> Entity | None:
    """Look up an entity by id, for `Catalog.get`."""
    row = db.execute(f"SELECT {_COLUMNS[level]} FROM {level}{JOINS[level]} WHERE {level}.id = ?", (entity,))
    found = row.fetchone()
    return _entity(level, found) if found else None


def find(db: sqlite3.Connection, query: Query) -> Page:
    """Find a page of entities, and the exact total if it is counted."""
    check_query(query)
    level = query.level
    everything = int(db.execute("SELECT count FROM total WHERE level = ?", (level,)).fetchone()[0])
    end = everything if query.limit is None else min(everything, query.offset + query.limit)
    # From so many matches on, following the order finds this page earlier.
    many = math.isqrt(end * everything) + 1
    if query.after is None and not query.conditions:
        total: int | None = everything
    else:
        total = _count(db, query) if query.counted else None
    if total is not None:
        # Where many match: follow the order and skip what does not match, which finds a page early.
        # Where few match: find them by their conditions and sort them.
        follow = query.limit is not None and total >= many
        pks = _page(db, query, end, follow=follow) if query.offset < min(total, end) else []
    elif query.limit is None or query.sort:
        pks = _page(db, query, end, follow=False)
    else:
        few = _few(db, query, many) if query.conditions else None
        pks = _page(db, query, end, follow=True) if few is None else few[query.offset : end]
    items = _entities(db, level, pks)
    return Page(items, total if query.counted and total is not None else query.offset + len(items))


def _count(db: sqlite3.Connection, query: Query) -> int:
    where, parameters = where_clause(query)
    return int(db.execute(f"SELECT count(*) FROM {query.level}{where}", parameters).fetchone()[0])


def _few(db: sqlite3.Connection, query: Query, many: int) -> list[int] | None:
    """Find all rows that meet the conditions, by id; return None if there are `many` or more."""
    where, parameters = where_clause(query)
    rows = db.execute(
        f"SELECT {query.level}.id, {query.level}.pk FROM {query.level}{where} LIMIT ?", (*parameters, many)
    )
    found = rows.fetchall()
    return [pk for _, pk in sorted(found)] if len(found) < many else None


def _page(db: sqlite3.Connection, query: Query, end: int, *, follow: bool) -> list[int]:
    """Find the rows of a page, in order."""
    where, parameters = where_clause(query, by_index=not follow)
    tables, order = _in_order(query.level, query.sort, follow=follow)
    page = db.execute(
        f"SELECT {query.level}.pk FROM {tables}{where} ORDER BY {order} LIMIT ? OFFSET ?",
        (*parameters, max(end - query.offset, 0), query.offset),
    )
    return [pk for (pk,) in page]


def _entities(db: sqlite3.Connection, level: Level, pks: list[int]) -> list[Entity]:
    rows = db.execute(
        f"SELECT page.key, {_COLUMNS[level]} FROM json_each(?) AS page"
        f" CROSS JOIN {level} ON {level}.pk = page.value{JOINS[level]}",
        (orjson.dumps(pks).decode(),),
    )
    return [_entity(level, row[1:]) for row in sorted(rows, key=lambda row: row[0])]


def _entity(level: Level, row: tuple[Any, ...]) -> Entity:
    entity, attributes, *rest = row
    if level is Level.INSTANCE:
        size, sha256, received, *above = rest
        members = {"size": size, "sha256": sha256, "received": received}
    else:
        names = COUNTS[level]
        members, above = dict(zip(names, rest, strict=False)), rest[len(names) :]
    if level is Level.STUDY:
        modalities, patient, demographics = above
        shown = assemble(Level.PATIENT, demographics, {}, {})
        members |= {"modalities": orjson.loads(modalities)}
        ids = {"id": entity, "patient": patient}
        return ids | shown | assemble(level, attributes, ids, members)
    ids = {"id": entity, **dict(zip((above_level.value for above_level in level.above), above, strict=True))}
    return assemble(level, attributes, ids, members)


def sop_classes(db: sqlite3.Connection, studies: Sequence[str]) -> dict[str, list[str]]:
    """List the SOP Class UIDs of each study, sorted."""
    rows = db.execute(
        "SELECT DISTINCT study.id, instance.sop_class_uid FROM json_each(?) AS page"
        " CROSS JOIN study ON study.id = page.value CROSS JOIN series ON series.parent = study.pk"
        " CROSS JOIN instance ON instance.parent = series.pk ORDER BY study.id, instance.sop_class_uid",
        (orjson.dumps(list(studies)).decode(),),
    )
    found: dict[str, list[str]] = {}
    for study, uid in rows:
        found.setdefault(study, []).extend([uid] if uid else [])
    return found


def _in_order(level: Level, sort: tuple[tuple[str, bool], ...], *, follow: bool) -> tuple[str, str]:
    """Write the FROM and ORDER BY terms; with `follow` the table of the first sort field is the outer loop."""
    terms, highest, first = [], level, level
    for field, descending in sort:
        owner = owner_of(field) if field in BY_FIELD else level
        column = "id" if field in ID_FIELDS else field
        terms.append(f'{owner}."{column}"{" DESC" if descending else ""}')
        highest = owner if owner in highest.above else highest
        first = owner if len(terms) == 1 else first
    levels = [highest, *(below for below in Level if highest in below.above and below in (*level.above, level))]
    tables = levels[0].value
    for above, below in pairwise(levels):
        tables += f" {'CROSS ' if follow and first is highest else ''}JOIN {below} ON {below}.parent = {above}.pk"
    return tables, ", ".join([*terms, f"{level}.id"])
