"""Translation of conditions to SQL."""

import sqlite3
from dataclasses import dataclass
from typing import Any

import orjson

from neurdicom.catalog.projection import clean, has_many_keys, uid_field, words_of
from neurdicom.catalog.query_check import IN_STUDY, LEVEL_NAMES, is_text, owner_of
from neurdicom.catalog.sqlite.labels import ROW
from neurdicom.catalog.sqlite.lookup import UID, any_shared, rows_of_all, shared
from neurdicom.catalog.sqlite.schema import MERGED
from neurdicom.dicom.identity import is_key
from neurdicom.dicom.query.attributes import BY_FIELD, Level
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Contains,
    Either,
    Like,
    Moment,
    Query,
    Word,
    folded,
)
from neurdicom.dicom.query.folding import word_key

#: Most values that are bound one by one, since SQLite limits the number of variables.
_MOST_VARIABLES = 500

Single = AnyOf | Like | Between | Word | Moment
_Clause = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class _Test:
    """A condition on a column, or an expression, of one table."""

    column: str
    condition: Single


def where_clause(db: sqlite3.Connection, query: Query, *, by_index: bool = True) -> _Clause:
    """Write the WHERE clause of a query.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection to the catalog, in which references are looked up.
    query : Query
        The query.
    by_index : bool
        False to let SQLite test conditions row by row, without their indexes, but for the one that is followed.
    """
    level, conditions = query.level, query.conditions
    first = query.sort[0][0] if query.sort else ""
    clauses: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        # Most studies have one of few modalities: the index on them is used only if there is no other.
        able = by_index and (condition.field not in IN_STUDY or len(conditions) == 1)
        follow = not by_index and condition.field == first
        clause, values = _condition(db, level, condition, "" if able else "+", follow=follow)
        clauses.append(clause)
        parameters += values
    if query.after is not None:
        clauses.append(f"{'+' if by_index and conditions else ''}{level}.id > ?")
        parameters.append(clean(query.after))
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), parameters


def rows_elsewhere(db: sqlite3.Connection, query: Query) -> _Clause | None:
    """Write a query for the rows that meet the only condition of a query, if other tables alone tell which.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection to the catalog.
    query : Query
        The query.

    Returns
    -------
    tuple of str and list, or None
        The query, which may name a row several times, and its values.
    """
    if len(query.conditions) != 1 or query.after is not None or isinstance(query.conditions[0], Either | Contains):
        return None
    condition = query.conditions[0]
    owner = _owner(query.level, condition)
    test, found = _parts(db, owner, condition)
    return _union(found) if owner is query.level and test is None else None


def is_run_of_order(db: sqlite3.Connection, query: Query) -> bool:
    """Tell whether the only condition of a query bounds the column that it is sorted by, whose index has its page."""
    if len(query.conditions) != 1 or not query.sort or query.after is not None:
        return False
    condition = query.conditions[0]
    if not isinstance(condition, AnyOf | Between | Moment) or condition.field != query.sort[0][0]:
        return False
    test, found = _parts(db, query.level, condition)
    return test is not None and not found


def _condition(
    db: sqlite3.Connection, level: Level, condition: Condition, plus: str, *, follow: bool = False
) -> _Clause:
    """Write a condition on the rows of a level.

    `plus` before its column keeps SQLite from using that index; with `follow` it is the index that is followed.
    """
    if isinstance(condition, Either):
        parts = [_condition(db, level, each, plus) for each in condition.conditions]
        return f"({' OR '.join(clause for clause, _ in parts)})", [value for _, each in parts for value in each]
    if isinstance(condition, Contains):
        rows, values = _containing(db, level, condition)
        return f"{plus}{level}.pk IN ({rows})", values
    owner = _owner(level, condition)
    test, found = _parts(db, owner, condition)
    if test is not None and owner is level:
        clause, values = _test(f"{'' if follow and not found else plus}{owner}.", test)
        if not found:
            return clause, values
        if plus:
            rows, more = _union(found)
            return f"({clause} OR +{level}.pk IN ({rows}))", [*values, *more]
    if test is not None:
        clause, values = _test(f"{owner}.", test)
        found = [(f"SELECT pk FROM {owner} WHERE {clause}", values), *found]
    rows, values = _union(found)
    if owner is level:
        return f"{plus}{level}.pk IN ({rows})", values
    if owner not in level.above:  # patients are found by their studies
        return f"{plus}{level}.pk IN (SELECT parent FROM {owner} WHERE pk IN ({rows}))", values
    while owner.child is not None and owner.child is not level:
        owner = owner.child
        rows = f"SELECT pk FROM {owner} WHERE parent IN ({rows})"
    return f"{plus}{level}.parent IN ({rows})", values


def _containing(db: sqlite3.Connection, level: Level, condition: Contains) -> _Clause:
    """Write the query for the rows of a level that contain what meets conditions."""
    below = condition.level
    parts = [_condition(db, below, each, "") for each in condition.conditions]
    where = " AND ".join(clause for clause, _ in parts)
    rows = f"SELECT {below}.parent FROM {below} WHERE {where}"
    while below.parent is not None and below.parent is not level:
        below = below.parent
        rows = f"SELECT {below}.parent FROM {below} WHERE {below}.pk IN ({rows})"
    return rows, [value for _, values in parts for value in values]


def _owner(level: Level, condition: Single) -> Level:
    """Look up the level whose table is searched for a condition of a query at a level."""
    if condition.field == ROW:
        return level
    return Level.STUDY if condition.field in IN_STUDY else owner_of(condition.field)


def _union(found: list[_Clause]) -> _Clause:
    return " UNION ".join(query for query, _ in found), [value for _, values in found for value in values]


def _parts(db: sqlite3.Connection, owner: Level, condition: Single) -> tuple[_Test | None, list[_Clause]]:
    """Split a condition into a test of a column of the table of a level, and queries for further rows of it."""
    field = condition.field
    if field == ROW:
        return _Test('"pk"', condition), []
    if field in IN_STUDY:
        return None, _studies_with(db, condition)
    if field in LEVEL_NAMES or field == uid_field(owner):
        return _named(db, owner, condition)
    attribute = BY_FIELD[field]
    others = _others(db, owner, condition)
    if has_many_keys(attribute) and not isinstance(condition, Moment) and not _any(condition):
        name = words_of(field) if isinstance(condition, Word) else field
        test, values = _compare("key", condition)
        return None, [(f"SELECT entity FROM {owner}_key WHERE field = ? AND {test}", [name, *values])]
    return _Test(f'"{field}"', condition), others


def _others(db: sqlite3.Connection, owner: Level, condition: Single) -> list[_Clause]:
    """Write the query for what is found by a further value of an attribute; few archives have any."""
    field = IN_STUDY[condition.field][1] if condition.field in IN_STUDY else condition.field
    if owner not in MERGED:
        return []
    if db.execute(f"SELECT 1 FROM {owner}_other WHERE field = ? LIMIT 1", (field,)).fetchone() is None:
        return []
    if isinstance(condition, Moment):  # a date without a time
        low, high = (end and end[0] for end in (condition.low, condition.high))
        condition = Between(field, low, high)
    test, values = _compare("key", condition)
    return [(f"SELECT entity FROM {owner}_other WHERE field = ? AND {test}", [field, *values])]


def _named(db: sqlite3.Connection, owner: Level, condition: Single) -> tuple[_Test | None, list[_Clause]]:
    """Split a condition on the references or the UID of an entity."""
    if not isinstance(condition, AnyOf):
        return _Test(UID[owner] if any_shared(db, owner) else '"id"', condition), []
    references = [clean(str(value)) for value in condition.values]
    if condition.field not in LEVEL_NAMES:
        references = [one for one in references if not is_key(one)]
    if owner is Level.PATIENT:
        plain = db.execute("SELECT 1 FROM claim WHERE key <> patient LIMIT 1").fetchone() is None
    else:
        plain = not any(map(is_key, references)) and not shared(db, owner, references)
    if plain and references:
        return _Test('"id"', AnyOf(condition.field, tuple(references))), []
    rows = [pk for _, pk in rows_of_all(db, owner, references)]
    return _Test('"pk"', AnyOf(owner.value, tuple(dict.fromkeys(rows)))), []


def _studies_with(db: sqlite3.Connection, condition: Single) -> list[_Clause]:
    """Write queries for the studies in which something meets a condition."""
    below, field = IN_STUDY[condition.field]
    test, values = _compare(f'{below}."{field}"', condition)
    if below is Level.SERIES:
        others = [
            (f"SELECT parent FROM series WHERE pk IN ({query})", more) for query, more in _others(db, below, condition)
        ]
        return [(f"SELECT parent FROM series WHERE {test}", values), *others]
    inside = "SELECT series.parent FROM instance JOIN series ON series.pk = instance.parent"
    return [(f"{inside} WHERE {test}", values)]


def _test(prefix: str, test: _Test) -> _Clause:
    """Write a test of a column, with a prefix before its name."""
    if isinstance(test.condition, Moment):
        return _within(test.condition, prefix)
    column = test.column if test.column.startswith("iif") else prefix + test.column
    return _compare(column, test.condition)


def _within(condition: Moment, prefix: str) -> _Clause:
    """Write the test of a date and time; the bounds of the date alone come first, for which there is an index."""
    date, time = f'{prefix}"{condition.field}"', f'{prefix}"{condition.time}"'
    clauses, values = [f"{date} IS NOT NULL"], []
    for end, compare in ((condition.low, ">"), (condition.high, "<")):
        if end is not None:
            clauses.append(f"{date} {compare}= ? AND ({date} {compare} ? OR {time} IS NULL OR {time} {compare}= ?)")
            values += [end[0], *end]
    return " AND ".join(clauses), values


def _any(condition: Single) -> bool:
    """Tell whether a condition accepts any value, so that the column of the sort key is enough to test it."""
    return isinstance(condition, Like) and bool(condition.pattern) and not condition.pattern.strip("*")


def _compare(column: str, condition: Single) -> _Clause:
    if isinstance(condition, AnyOf):
        values = [clean(v) if isinstance(v, str) else v for v in condition.values]
        if is_text(condition.field):
            values = list(dict.fromkeys(folded(condition.field, str(value)) for value in values))
        if len(values) == 1:
            return f"{column} = ?", list(values)
        if len(values) > _MOST_VARIABLES:
            return f"{column} IN (SELECT value FROM json_each(?))", [orjson.dumps(values).decode()]
        return f"{column} IN ({', '.join('?' * len(values))})", list(values)
    if isinstance(condition, Between):
        ends = [(op, end) for op, end in ((">=", condition.low), ("<=", condition.high)) if end is not None]
        if not ends:
            return f"{column} IS NOT NULL", []
        return " AND ".join(f"{column} {op} ?" for op, _ in ends), [end for _, end in ends]
    if isinstance(condition, Word):
        return _like(column, word_key(clean(condition.pattern)))
    if isinstance(condition, Like):
        return _like(column, folded(condition.field, clean(condition.pattern)))
    raise TypeError(f"{condition} is not a condition on one column")


def _like(column: str, pattern: str) -> _Clause:
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
    """Return the least text above all that begin with a prefix, None if there is none."""
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    last = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if 0xD800 <= last < 0xE000 else last)
