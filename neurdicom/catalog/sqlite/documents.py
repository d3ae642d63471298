"""The document port in SQLite.

`document` has the documents by kind and key. `termed` numbers the indexed ones in the order of creation; `term` has a
row for each term, so that the numbers of all that meet a condition are a range of its primary key.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from neurdicom.catalog.documents import ALL, DocumentPage, DocumentQuery, Documents, IndexedDocument
from neurdicom.catalog.projection import clean, to_json
from neurdicom.catalog.sqlite.connection import Connections
from neurdicom.catalog.terms import Term, TermCondition, TermRange, encode_all, term_range

_KEYS = "kind = ? AND key IN (SELECT value FROM json_each(?))"
_JSON_TYPES = {str: "text", int: "integer"}


class SqliteDocuments(Documents):
    """The documents of one SQLite file."""

    is_exclusive = True

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return await self._connections.read(lambda db: _get(db, kind, key))

    async def put(self, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
        await self._connections.write(lambda db: _put(db, kind, documents))

    async def swap(
        self, kind: str, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | IndexedDocument | None
    ) -> bool:
        return await self._connections.write(lambda db: _swap(db, kind, key, before, after))

    async def delete(self, kind: str, *keys: str) -> int:
        return await self._connections.write(lambda db: _delete(db, kind, keys))

    async def query(self, kind: str, query: DocumentQuery = ALL) -> DocumentPage:
        return await self._connections.read(lambda db: _query(db, kind, query))

    async def sum(self, kind: str, member: str) -> int:
        return await self._connections.read(lambda db: _sum(db, kind, member))


def _get(db: sqlite3.Connection, kind: str, key: str) -> dict[str, Any] | None:
    row = db.execute("SELECT value FROM document WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    return orjson.loads(row[0]) if row else None


# -- writing -------------------------------------------------------------------------------------------------


def _put(db: sqlite3.Connection, kind: str, documents: Mapping[str, Mapping[str, Any] | IndexedDocument]) -> None:
    for key, given in documents.items():
        if isinstance(given, IndexedDocument):
            _write(db, kind, key, given.document)
            _index(db, kind, key, given.terms)
        else:
            _write(db, kind, key, given)
            _remove_terms(db, kind, [key])


def _write(db: sqlite3.Connection, kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Store a document, replacing an earlier one but not its terms."""
    db.execute("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", (kind, key, to_json(dict(document)).decode()))


def _index(db: sqlite3.Connection, kind: str, key: str, terms: Sequence[Term]) -> None:
    row = db.execute("SELECT number FROM termed WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    if row is None:
        number = db.execute("INSERT INTO termed (kind, key) VALUES (?, ?)", (kind, key)).lastrowid
    else:
        number = int(row[0])
        db.execute("DELETE FROM term WHERE number = ?", (number,))
    db.executemany("INSERT INTO term VALUES (?, ?)", ((term, number) for term in encode_all(kind, terms)))


def _remove_terms(db: sqlite3.Connection, kind: str, keys: Sequence[str]) -> None:
    chosen = (kind, to_json(list(keys)).decode())
    found = db.execute(f"SELECT number FROM termed WHERE {_KEYS}", chosen).fetchall()
    db.executemany("DELETE FROM term WHERE number = ?", found)
    db.executemany("DELETE FROM termed WHERE number = ?", found)


def _swap(
    db: sqlite3.Connection,
    kind: str,
    key: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | IndexedDocument | None,
) -> bool:
    expected = None if before is None else orjson.loads(to_json(dict(before)))
    if _get(db, kind, key) != expected:
        return False
    if after is None:
        _delete(db, kind, [key])
    elif isinstance(after, IndexedDocument):
        _put(db, kind, {key: after})
    else:
        _write(db, kind, key, after)
    return True


def _delete(db: sqlite3.Connection, kind: str, keys: Sequence[str]) -> int:
    _remove_terms(db, kind, keys)
    return db.execute(f"DELETE FROM document WHERE {_KEYS}", (kind, to_json(list(keys)).decode())).rowcount


# -- listing -------------------------------------------------------------------------------------------------


def _query(db: sqlite3.Connection, kind: str, query: DocumentQuery) -> DocumentPage:
    order = "DESC" if query.descending else "ASC"
    if query.conditions or query.order == "creation":
        numbers, arguments = _numbers(kind, query)
        chosen, page = f"({numbers})", _page_of_numbers(numbers, query.order, order)
    else:
        where, arguments = _rows(kind, query)
        chosen = f"document WHERE {where}"
        page = f"SELECT value FROM {chosen} ORDER BY key {order} LIMIT ? OFFSET ?"
    limit = -1 if query.limit is None else query.limit
    items = [orjson.loads(value) for (value,) in db.execute(page, (*arguments, limit, query.offset))]
    total = None
    if query.needs_count(len(items)):
        (total,) = db.execute(f"SELECT count(*) FROM {chosen}", arguments).fetchone()
    return query.page(items, total)


#: Joins that make SQLite look up the documents of numbers, and not search all documents for numbers.
_TO_TERMED = "CROSS JOIN termed ON termed.number = chosen.number"
_TO_DOCUMENT = f"{_TO_TERMED} CROSS JOIN document ON document.kind = termed.kind AND document.key = termed.key"


def _page_of_numbers(numbers: str, by: str, order: str) -> str:
    """Write the query for a page of indexed documents; only those on the page are looked up."""
    column = "chosen.number" if by == "creation" else "termed.key"
    tables = f"({numbers}) AS chosen" if by == "creation" else f"({numbers}) AS chosen {_TO_TERMED}"
    page = f"SELECT chosen.number FROM {tables} ORDER BY {column} {order} LIMIT ? OFFSET ?"
    return f"SELECT value FROM ({page}) AS chosen {_TO_DOCUMENT} ORDER BY {column} {order}"


def _rows(kind: str, query: DocumentQuery) -> tuple[str, list[Any]]:
    """Write the condition on the rows of `document`."""
    clauses = ["document.kind = ?"]
    arguments: list[Any] = [kind]
    if query.after is not None:
        clauses.append(f"document.key {'<' if query.descending else '>'} ?")
        arguments.append(query.after)
    for name, value in query.equal.items():
        path = f'$."{name}"'
        clauses.append("json_extract(value, ?) = ?")
        arguments += [path, clean(value) if isinstance(value, str) else value]
        if not isinstance(value, str) or value.startswith(("{", "[")):
            # JSON's `true` is extracted as 1, an object or a list as its text.
            clauses.append("json_type(value, ?) = ?")
            arguments += [path, str(value).lower() if isinstance(value, bool) else _JSON_TYPES[type(value)]]
    return " AND ".join(clauses), arguments


def _numbers(kind: str, query: DocumentQuery) -> tuple[str, list[Any]]:
    """Write the query for the numbers of the indexed documents that meet a query."""
    chosen, arguments = _numbers_by_terms(kind, query.conditions)
    if not query.equal and query.after is None:
        return chosen, arguments
    where, values = _rows(kind, query)
    return f"SELECT chosen.number FROM ({chosen}) AS chosen {_TO_DOCUMENT} WHERE {where}", [*arguments, *values]


def _numbers_by_terms(kind: str, conditions: Sequence[TermCondition]) -> tuple[str, list[Any]]:
    if not conditions:
        return "SELECT number FROM termed WHERE kind = ?", [kind]
    # The first condition is a range of the primary key, and the others are tested for each number in it: a narrow one
    # is best.
    ranges = sorted((term_range(kind, condition) for condition in conditions), key=lambda each: not each.exact)
    parts, arguments = [], []
    for place, each in enumerate(ranges):
        where, values = _within(each)
        parts.append(f"EXISTS (SELECT 1 FROM term WHERE number = found.number AND {where})" if place else where)
        arguments += values
        if each.without:
            excluded = f"SELECT 1 FROM term WHERE number = found.number AND term IN ({_marks(each.without)})"
            parts.append(f"NOT EXISTS ({excluded})")
            arguments += each.without
    # Without DISTINCT the first numbers are found without looking at the others.
    several = "" if len(ranges[0].exact) == 1 else "DISTINCT "
    return f"SELECT {several}number FROM term AS found WHERE {' AND '.join(parts)}", arguments


def _within(terms: TermRange) -> tuple[str, list[str]]:
    if terms.exact:
        return f"term IN ({_marks(terms.exact)})", [*terms.exact]
    return "term >= ? AND term < ?", [terms.low, terms.high]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _sum(db: sqlite3.Connection, kind: str, member: str) -> int:
    path = f'$."{member}"'
    integers = "SELECT sum(value ->> ?) FROM document WHERE kind = ? AND json_type(value, ?) = 'integer'"
    return int(db.execute(integers, (path, kind, path)).fetchone()[0] or 0)
