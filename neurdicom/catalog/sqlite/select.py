"""Translation of a `Query` to SQL, and of rows to entities."""

import math
import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson

from neurdicom.catalog.projection import assemble, uid_field
from neurdicom.catalog.query_check import check_query, is_sorted_by_own, sorted_at
from neurdicom.catalog.records import Entity, Page
from neurdicom.catalog.segments import Bound, segments_after
from neurdicom.catalog.sqlite.conditions import is_run_of_order, rows_elsewhere, where_clause
from neurdicom.catalog.sqlite.labels import by_row
from neurdicom.catalog.sqlite.lookup import DIGEST, UID, any_shared, joined, row_of, rows_of_all
from neurdicom.dicom.identity import SEPARATOR, is_key
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Query

_COLUMNS: dict[Level, str] = {
    Level.PATIENT: "patient.id, '', patient.attributes, patient.studies_count, patient.images_count",
    Level.STUDY: "study.id, study.digest, study.attributes, study.series_count, study.images_count, study.modalities,"
    " patient.id",
    Level.SERIES: "series.id, series.digest, series.attributes, series.images_count, patient.id, study.id",
    Level.INSTANCE: f"instance.id, {DIGEST[Level.INSTANCE]}, instance.attributes, instance.size, instance.sha256,"
    " instance.received, patient.id, study.id, series.id",
}
#: Members of an entity that are columns, in the order of `_COLUMNS`, and the ids that follow them.
_MEMBERS: dict[Level, tuple[str, ...]] = COUNTS | {
    Level.STUDY: (*COUNTS[Level.STUDY], "modalities"),
    Level.INSTANCE: ("size", "sha256", "received"),
}
_ABOVE = {level: tuple(above.value for above in level.above) for level in Level}
JOINS = {
    level: "".join(f" JOIN {above} ON {above}.pk = {above.child}.parent" for above in reversed(level.above))
    for level in Level
}


def get(db: sqlite3.Connection, level: Level, entity: str) -> Entity | None:
    """Look up an entity by a reference, for `Catalog.get`."""
    select = f"SELECT {_COLUMNS[level]} FROM {level}{JOINS[level]} WHERE {level}"
    found = db.execute(f"{select}.id = ?", (entity,)).fetchone()
    if found is None and (row := row_of(db, level, entity)) is not None:
        found = db.execute(f"{select}.pk = ?", (row,)).fetchone()
    return _entity(level, found) if found else None


def find(db: sqlite3.Connection, query: Query) -> Page:
    """Find a page of entities, and the exact total if it is counted."""
    check_query(query)
    query = by_row(db, query)
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
    elif query.limit is None or not is_sorted_by_own(query):
        pks = _page(db, query, end, follow=False)
    else:
        few = _few(db, query, many) if query.conditions and not is_run_of_order(db, query) else None
        pks = _page(db, query, end, follow=True) if few is None else few
    items = _entities(db, level, pks)
    return Page(items, total if query.counted and total is not None else query.offset + len(items))


def _count(db: sqlite3.Connection, query: Query) -> int:
    found = rows_elsewhere(db, query)
    if found is not None:
        rows, parameters = found
        return int(db.execute(f"SELECT count(*) FROM (SELECT DISTINCT * FROM ({rows}))", parameters).fetchone()[0])
    where, parameters = where_clause(db, query)
    return int(db.execute(f"SELECT count(*) FROM {query.level}{where}", parameters).fetchone()[0])


def _few(db: sqlite3.Connection, query: Query, many: int) -> list[int] | None:
    """Find the rows of a page by sorting all that meet the conditions; return None if there are `many` or more."""
    level, where, parameters = query.level, *where_clause(db, query)
    # Most often an index alone tells that there are too many.
    found = db.execute(f"SELECT {level}.pk FROM {level}{where} LIMIT ?", (*parameters, many)).fetchall()
    if len(found) >= many:
        return None
    columns = "".join(f', {level}."{field}"' for field, _ in query.sort)
    rows = db.execute(
        f"SELECT {level}.id, {level}.pk{columns} FROM json_each(?) CROSS JOIN {level} ON {level}.pk = value",
        (orjson.dumps([pk for (pk,) in found]).decode(),),
    ).fetchall()
    rows.sort()  # by id
    for place, (_, descending) in reversed([*enumerate(query.sort, 2)]):
        rows.sort(key=lambda row, place=place: (row[place] is not None, row[place] or 0), reverse=descending)  # type: ignore[misc]
    if query.past is not None:
        after = segments_after(query.sort, query.past)
        names = ("id", "pk", *(field for field, _ in query.sort))
        rows = [row for row in rows if any(_lies_in(dict(zip(names, row, strict=True)), each) for each in after)]
    return [row[1] for row in rows[query.offset : None if query.limit is None else query.offset + query.limit]]


def _lies_in(row: dict[str, Any], segment: list[Bound]) -> bool:
    """Tell whether a row lies in a segment."""
    for field, relation, bound in segment:
        value = row[field]
        if relation in ("missing", "present"):
            holds = (value is None) is (relation == "missing")
        elif value is None or bound is None:
            holds = False
        else:
            holds = value == bound if relation == "=" else value < bound if relation == "<" else value > bound
        if not holds:
            return False
    return True


def _page(db: sqlite3.Connection, query: Query, end: int, *, follow: bool) -> list[int]:
    """Find the rows of a page, in order."""
    level, where, parameters = query.level, *where_clause(db, query, by_index=not follow)
    tables, order = _in_order(db, level, query.sort, follow=follow)
    select = f"SELECT {level}.pk FROM {tables}"
    left = max(end - query.offset, 0)
    if query.past is None:
        page = db.execute(f"{select}{where} ORDER BY {order} LIMIT ? OFFSET ?", (*parameters, left, query.offset))
        return [pk for (pk,) in page]
    found: list[int] = []
    for segment in segments_after(query.sort, query.past):
        clause, values = _bounds(level, segment)
        page = db.execute(
            f"{select}{f'{where} AND' if where else ' WHERE'} {clause} ORDER BY {order} LIMIT ?",
            (*parameters, *values, left - len(found)),
        )
        found += [pk for (pk,) in page]
        if len(found) >= left:
            break
    return found


def _bounds(level: Level, segment: list[Bound]) -> tuple[str, list[Any]]:
    """Write the condition of a segment."""
    tests = {"missing": "IS NULL", "present": "IS NOT NULL"}
    clause = " AND ".join(f'{level}."{field}" {tests.get(relation, f"{relation} ?")}' for field, relation, _ in segment)
    return clause, [value for _, relation, value in segment if relation not in tests]


def _entities(db: sqlite3.Connection, level: Level, pks: list[int]) -> list[Entity]:
    rows = db.execute(
        f"SELECT page.key, {_COLUMNS[level]} FROM json_each(?) AS page"
        f" CROSS JOIN {level} ON {level}.pk = page.value{JOINS[level]}",
        (orjson.dumps(pks).decode(),),
    )
    return [_entity(level, row[1:]) for row in sorted(rows, key=lambda row: row[0])]


def _entity(level: Level, row: tuple[Any, ...]) -> Entity:
    shown, digest, attributes, *rest = row
    ids = {"id": shown, "key": shown if level is Level.PATIENT or is_key(shown) else f"{shown}{SEPARATOR}{digest}"}
    names = _ABOVE[level]
    if names:
        ids |= zip(names, rest[-len(names) :], strict=True)
    members = dict(zip(_MEMBERS[level], rest, strict=False))
    if level is Level.STUDY:
        members["modalities"] = orjson.loads(members["modalities"])
    return assemble(level, attributes, ids, members)


def sop_classes(db: sqlite3.Connection, studies: Sequence[str]) -> dict[str, list[str]]:
    """List the SOP Class UIDs of each study, by the given references, sorted."""
    named = rows_of_all(db, Level.STUDY, studies)
    rows = db.execute(
        "SELECT DISTINCT study.value, instance.sop_class_uid FROM json_each(?) AS study"
        " CROSS JOIN series ON series.parent = study.value CROSS JOIN instance ON instance.parent = series.pk",
        (orjson.dumps([pk for _, pk in named]).decode(),),
    ).fetchall()
    found: dict[str, set[str]] = {reference: set() for reference, _ in named}
    of: dict[int, set[str]] = {}
    for study, uid in rows:
        of.setdefault(study, set()).update([uid] if uid else [])
    for reference, study in named:
        found[reference] |= of.get(study, set())
    return {reference: sorted(uids) for reference, uids in found.items()}


def digests(db: sqlite3.Connection, instances: Sequence[str]) -> dict[str, str]:
    """Look up the SHA-256 of the files of instances, by the given references. Raises `Ambiguous`."""
    found = dict(
        db.execute(
            "SELECT instance.id, sha256 FROM json_each(?) CROSS JOIN instance ON instance.id = value",
            (joined(*instances),),
        ).fetchall()
    )
    for reference in instances:
        if reference not in found and (row := row_of(db, Level.INSTANCE, reference)) is not None:
            (found[reference],) = db.execute("SELECT sha256 FROM instance WHERE pk = ?", (row,)).fetchone()
    return found


def _in_order(
    db: sqlite3.Connection, level: Level, sort: tuple[tuple[str, bool], ...], *, follow: bool
) -> tuple[str, str]:
    """Write the FROM and ORDER BY terms; with `follow` the table of the first sort field is the outer loop."""
    terms, highest, first = [], level, level
    for field, descending in sort:
        owner = sorted_at(level, field)
        column = f'{owner}."{field}"'
        if field == uid_field(owner):
            column = UID[owner] if any_shared(db, owner) else f"{owner}.id"
        terms.append(f"{column}{' DESC' if descending else ''}")
        highest = owner if owner in highest.above else highest
        first = owner if len(terms) == 1 else first
    levels = [highest, *(below for below in Level if highest in below.above and below in (*level.above, level))]
    tables = levels[0].value
    for above, below in pairwise(levels):
        tables += f" {'CROSS ' if follow and first is highest else ''}JOIN {below} ON {below}.parent = {above}.pk"
    return tables, ", ".join([*terms, f"{level}.id"])
