"""Translation of conditions to SQL."""

from typing import Any

import orjson

from neurdicom.catalog.projection import clean, has_many_keys, words_of
from neurdicom.catalog.query_check import IN_STUDY, is_text, owner_of
from neurdicom.dicom.query.attributes import BY_FIELD, UID_KEYWORD, Level, snake_case
from neurdicom.dicom.query.conditions import (
    AnyOf,
    Between,
    Condition,
    Either,
    Like,
    Moment,
    Query,
    Word,
    search_key,
    word_key,
)

#: Fields that are the id of an entity, at its own level or at one above.
ID_FIELDS = {snake_case(keyword) for keyword in UID_KEYWORD.values()} | set(Level)
#: Most values that are bound one by one, since SQLite limits the number of variables.
_MOST_VARIABLES = 500


def where_clause(query: Query, *, by_index: bool = True) -> tuple[str, list[Any]]:
    """Write the WHERE clause; without `by_index` SQLite tests conditions row by row, and uses no index for them."""
    level, conditions = query.level, query.conditions
    clauses: list[str] = []
    parameters: list[Any] = []
    for condition in conditions:
        # Most studies have one of few modalities: the index on them is used only if there is no other.
        able = by_index and (condition.field not in IN_STUDY or len(conditions) == 1)
        clause, values = _condition(level, condition, "" if able else "+")
        clauses.append(clause)
        parameters += values
    if query.after is not None:
        clauses.append(f"{'+' if by_index and conditions else ''}{level}.id > ?")
        parameters.append(clean(query.after))
    return (" WHERE " + " AND ".join(clauses) if clauses else ""), parameters


def _condition(level: Level, condition: Condition, plus: str) -> tuple[str, list[Any]]:
    """Write a condition on the rows of a level; `plus` before its column keeps SQLite from using that index."""
    if isinstance(condition, Either):
        clauses, values = zip(*(_condition(level, each, plus) for each in condition.conditions), strict=True)
        return f"({' OR '.join(clauses)})", [value for each in values for value in each]
    field = condition.field
    attribute = BY_FIELD.get(field)
    if field in IN_STUDY:
        owner = Level.STUDY
        rows, values = _studies_with(condition)
    elif isinstance(condition, Moment):
        owner = owner_of(field)
        if owner is level:
            return _within(condition, f"{plus}{owner}.")
        test, values = _within(condition, "")
        rows = f"SELECT pk FROM {owner} WHERE {test}"
    elif attribute is not None and has_many_keys(attribute) and not _any(condition):
        owner = owner_of(field)
        test, values = _test("key", condition)
        name = words_of(field) if isinstance(condition, Word) else field
        rows, values = f"SELECT entity FROM {owner}_key WHERE field = ? AND {test}", [name, *values]
    else:
        owner = owner_of(field)
        column = "id" if field in ID_FIELDS else field
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


def _studies_with(condition: Condition) -> tuple[str, list[Any]]:
    """Write a query for the studies in which something meets a condition."""
    below, field = IN_STUDY[condition.field]
    test, values = _test(f'{below}."{field}"', condition)
    if below is Level.SERIES:
        return f"SELECT parent FROM series WHERE {test}", values
    return f"SELECT series.parent FROM instance JOIN series ON series.pk = instance.parent WHERE {test}", values


def _within(condition: Moment, prefix: str) -> tuple[str, list[Any]]:
    """Write the test of a date and time; the bounds of the date alone come first, for which there is an index."""
    date, time = f'{prefix}"{condition.field}"', f'{prefix}"{condition.time}"'
    clauses, values = [f"{date} IS NOT NULL"], []
    for end, compare in ((condition.low, ">"), (condition.high, "<")):
        if end is not None:
            clauses.append(f"{date} {compare}= ? AND ({date} {compare} ? OR {time} IS NULL OR {time} {compare}= ?)")
            values += [end[0], *end]
    return " AND ".join(clauses), values


def _any(condition: Condition) -> bool:
    """Tell whether a condition accepts any value, so that the column of the sort key is enough to test it."""
    return isinstance(condition, Like) and bool(condition.pattern) and not condition.pattern.strip("*")


def _test(column: str, condition: Condition) -> tuple[str, list[Any]]:
    if isinstance(condition, AnyOf):
        values = [clean(v) if isinstance(v, str) else v for v in condition.values]
        if is_text(condition.field):
            values = list(dict.fromkeys(search_key(str(value)) for value in values))
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
        return _like(column, search_key(clean(condition.pattern)))
    raise TypeError(f"{condition} is not a condition on one column")


def _like(column: str, pattern: str) -> tuple[str, list[Any]]:
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
