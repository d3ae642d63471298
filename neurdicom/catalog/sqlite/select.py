"""From a `Query` to SQL, and from rows to entities."""

import sqlite3
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
    level = query.level
    where, parameters = _where(level, query.conditions)
    limit = -1 if query.limit is None else query.limit
    order, highest = _order(level, query.sort)
    joins = "".join(
        f" JOIN {above} ON {above}.pk = {above.child}.parent"
        for above in reversed(level.above)
        if highest in (above, *above.above)
    )
    page = db.execute(
        f"SELECT {level}.pk FROM {level}{joins}{where} ORDER BY {order} LIMIT ? OFFSET ?",
        (*parameters, limit, query.offset),
    )
    pks = [pk for (pk,) in page]
    last = len(pks) != query.limit and (bool(pks) or not query.offset)
    total = query.offset + len(pks) if last else _count(db, level, where, parameters)
    return Page(_entities(db, level, pks), total)


def _count(db: sqlite3.Connection, level: Level, where: str, parameters: list[Any]) -> int:
    if not where:
        return int(db.execute("SELECT count FROM total WHERE level = ?", (level,)).fetchone()[0])
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
        return shown | assemble(level, attributes, {"id": entity, "patient": patient}, members)
    ids = {"id": entity, **dict(zip((above_level.value for above_level in level.above), above, strict=True))}
    return assemble(level, attributes, ids, members)


# -- conditions ----------------------------------------------------------------------------------------------


def _where(level: Level, conditions: tuple[Condition, ...]) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        owner = owner_of(condition.field)
        clause, values = _clause(owner, condition)
        if condition.field == "modalities":
            clause = f"study.pk IN (SELECT parent FROM series WHERE {clause})"
        else:
            step = owner
            while step is not level and step.child is not None:
                clause = f"{step.child}.parent IN (SELECT pk FROM {step} WHERE {clause})"
                step = step.child
        clauses.append(clause)
        parameters += values
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), parameters


def _clause(owner: Level, condition: Condition) -> tuple[str, list[Any]]:
    """A condition on the rows of the table that owns the field."""
    field = condition.field
    attribute = BY_FIELD.get(field)
    if attribute is not None and has_many_keys(attribute):
        test, values = _test("key", condition)
        return f"{owner}.pk IN (SELECT entity FROM {owner}_key WHERE field = ? AND {test})", [field, *values]
    column = "id" if field in _ID_FIELDS else "modality" if field == "modalities" else field
    return _test(f'{owner}."{column}"', condition)


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


def _order(level: Level, sort: tuple[tuple[str, bool], ...]) -> tuple[str, Level]:
    """The ORDER BY terms, and the highest level they touch."""
    terms, highest = [], level
    for field, descending in sort:
        owner = owner_of(field) if field in BY_FIELD else level
        column = "id" if field in _ID_FIELDS else field
        terms.append(f'{owner}."{column}"{" DESC" if descending else ""}')
        highest = owner if owner in highest.above else highest
    return ", ".join([*terms, f"{level}.id"]), highest
