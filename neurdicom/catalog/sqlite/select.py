"""From a `Query` to SQL, and from rows to entities."""

import sqlite3
from itertools import pairwise
from typing import Any

import orjson

from neurdicom.catalog.base import Entity, Page
from neurdicom.catalog.projection import assemble, check_query, clean, has_many_keys, is_text, owner_of
from neurdicom.dicom.attributes import BY_FIELD, COUNTS, UID_KEYWORD, Level, snake_case
from neurdicom.dicom.query import AnyOf, Between, Condition, Like, Query, search_key

_ID_FIELDS = {snake_case(keyword) for keyword in UID_KEYWORD.values()} | set(Level)

_COLUMNS: dict[Level, str] = {
    Level.PATIENT: "patient.id, patient.attributes, patient.studies_count, patient.images_count",
    Level.STUDY: "study.id, study.attributes, study.series_count, study.images_count, study.modalities,"
    " patient.id, patient.attributes",
    Level.SERIES: "series.id, series.attributes, series.images_count, patient.id, study.id",
    Level.INSTANCE: "instance.id, instance.attributes, instance.size, instance.sha256, instance.received,"
    " patient.id, study.id, series.id",
}
_JOINS = {
    level: "".join(f" JOIN {above} ON {above}.pk = {above.child}.parent" for above in reversed(level.above))
    for level in Level
}


def get(db: sqlite3.Connection, level: Level, entity: str) -> Entity | None:
    """One entity by id."""
    row = db.execute(f"SELECT {_COLUMNS[level]} FROM {level}{_JOINS[level]} WHERE {level}.id = ?", (entity,))
    found = row.fetchone()
    return _entity(level, found) if found else None


def find(db: sqlite3.Connection, query: Query) -> Page:
    """A page of entities, and the exact total."""
    check_query(query)
    level, conditions = query.level, query.conditions
    everything = int(db.execute("SELECT count FROM total WHERE level = ?", (level,)).fetchone()[0])
    total = _count(db, level, conditions) if conditions else everything
    last = total if query.limit is None else min(total, query.offset + query.limit)
    if query.offset >= last:
        return Page([], total)
    # Of a large part of all, in order: follow the order and skip what does not match, which finds a page early. Of
    # a small part: find it by its conditions and sort it.
    follow = query.limit is not None and last * everything < total * total
    where, parameters = _where(level, conditions, by_index=not follow)
    tables, order = _in_order(level, query.sort, follow=follow)
    page = db.execute(
        f"SELECT {level}.pk FROM {tables}{where} ORDER BY {order} LIMIT ? OFFSET ?",
        (*parameters, last - query.offset, query.offset),
    )
    return Page(_entities(db, level, [pk for (pk,) in page]), total)


def _count(db: sqlite3.Connection, level: Level, conditions: tuple[Condition, ...]) -> int:
    where, parameters = _where(level, conditions)
    return int(db.execute(f"SELECT count(*) FROM {level}{where}", parameters).fetchone()[0])


def _entities(db: sqlite3.Connection, level: Level, pks: list[int]) -> list[Entity]:
    rows = db.execute(
        f"SELECT page.key, {_COLUMNS[level]} FROM json_each(?) AS page"
        f" CROSS JOIN {level} ON {level}.pk = page.value{_JOINS[level]}",
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


# -- conditions ----------------------------------------------------------------------------------------------


def _where(level: Level, conditions: tuple[Condition, ...], *, by_index: bool = True) -> tuple[str, list[Any]]:
    """The WHERE clause; without `by_index` SQLite may check the conditions on a row, but not look rows up by them."""
    clauses: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        # Most studies have one of few modalities: a bad way to find one if there is any other.
        able = by_index and (condition.field != "modalities" or len(conditions) == 1)
        clause, values = _condition(level, condition, "" if able else "+")
        clauses.append(clause)
        parameters += values
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), parameters


def _condition(level: Level, condition: Condition, plus: str) -> tuple[str, list[Any]]:
    """A condition on the rows of a level; `plus` before its column keeps SQLite from using an index on that."""
    field = condition.field
    if field == "modalities":
        test, values = _test("modality", condition)
        return f"{plus}study.pk IN (SELECT parent FROM series WHERE {test})", values
    owner, attribute = owner_of(field), BY_FIELD.get(field)
    if attribute is not None and has_many_keys(attribute) and not _any(condition):
        test, values = _test("key", condition)
        rows, values = f"SELECT entity FROM {owner}_key WHERE field = ? AND {test}", [field, *values]
    else:
        column = "id" if field in _ID_FIELDS else field
        if owner is level:
            return _test(f'{plus}{owner}."{column}"', condition)
        test, values = _test(f'"{column}"', condition)
        rows = f"SELECT pk FROM {owner} WHERE {test}"
    if owner is level:
        return f"{plus}{level}.pk IN ({rows})", values
    while owner.child is not None and owner.child is not level:
        owner = owner.child
        rows = f"SELECT pk FROM {owner} WHERE parent IN ({rows})"
    return f"{plus}{level}.parent IN ({rows})", values


def _any(condition: Condition) -> bool:
    """Whether any value will do, which the column of the sort key tells too."""
    return isinstance(condition, Like) and bool(condition.pattern) and not condition.pattern.strip("*")


def _test(column: str, condition: Condition) -> tuple[str, list[Any]]:
    if isinstance(condition, AnyOf):
        values = [clean(v) if isinstance(v, str) else v for v in condition.values]
        if is_text(condition.field):
            values = list(dict.fromkeys(search_key(str(value)) for value in values))
        if len(values) == 1:
            return f"{column} = ?", list(values)
        return f"{column} IN ({', '.join('?' * len(values))})", list(values)
    if isinstance(condition, Between):
        ends = [(op, end) for op, end in ((">=", condition.low), ("<=", condition.high)) if end is not None]
        if not ends:
            return f"{column} IS NOT NULL", []
        return " AND ".join(f"{column} {op} ?" for op, _ in ends), [end for _, end in ends]
    return _like(column, condition)


def _like(column: str, condition: Like) -> tuple[str, list[Any]]:
    pattern = search_key(clean(condition.pattern))
    prefix = pattern[: next((i for i, char in enumerate(pattern) if char in "*?"), len(pattern))]
    if prefix == pattern:
        return f"{column} = ?", [pattern]
    glob = pattern.replace("[", "[[]")
    if pattern.strip("*") == "":
        return f"{column} IS NOT NULL", []
    if not prefix:
        return f"{column} GLOB ?", [glob]
    # The bounds let the index find the prefix whatever SQLite makes of GLOB with a bound pattern.
    bounds, values = f"{column} >= ?", [prefix]
    after = _after(prefix)
    if after is not None:
        bounds, values = f"{bounds} AND {column} < ?", [prefix, after]
    if pattern == prefix + "*":
        return bounds, values
    return f"{bounds} AND {column} GLOB ?", [*values, glob]


def _after(prefix: str) -> str | None:
    """The least text above all that begin with a prefix, None if there is none."""
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    last = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if 0xD800 <= last < 0xE000 else last)


def _in_order(level: Level, sort: tuple[tuple[str, bool], ...], *, follow: bool) -> tuple[str, str]:
    """The FROM and ORDER BY terms; with `follow` the table that the order begins with is the outer loop."""
    terms, highest, first = [], level, level
    for field, descending in sort:
        owner = owner_of(field) if field in BY_FIELD else level
        column = "id" if field in _ID_FIELDS else field
        terms.append(f'{owner}."{column}"{" DESC" if descending else ""}')
        highest = owner if owner in highest.above else highest
        first = owner if len(terms) == 1 else first
    levels = [highest, *(below for below in Level if highest in below.above and below in (*level.above, level))]
    tables = levels[0].value
    for above, below in pairwise(levels):
        tables += f" {'CROSS ' if follow and first is highest else ''}JOIN {below} ON {below}.parent = {above}.pk"
    return tables, ", ".join([*terms, f"{level}.id"])
