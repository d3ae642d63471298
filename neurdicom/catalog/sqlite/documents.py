"""JSON documents by kind and key."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from neurdicom.catalog.base import Page
from neurdicom.catalog.projection import holds, to_json


def put(db: sqlite3.Connection, kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Store in place of any earlier one, whose terms go."""
    write(db, kind, key, document)
    forget_terms(db, kind, key)


def write(db: sqlite3.Connection, kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Store in place of any earlier one, and leave its terms alone."""
    db.execute("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", (kind, key, to_json(dict(document)).decode()))


def add(db: sqlite3.Connection, kind: str, key: str, document: Mapping[str, Any]) -> bool:
    """Store if the key is free."""
    values = (kind, key, to_json(dict(document)).decode())
    return db.execute("INSERT OR IGNORE INTO document VALUES (?, ?, ?)", values).rowcount == 1


def get(db: sqlite3.Connection, kind: str, key: str) -> dict[str, Any] | None:
    """A document by key."""
    row = db.execute("SELECT value FROM document WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    return orjson.loads(row[0]) if row else None


def find(db: sqlite3.Connection, kind: str, equal: Mapping[str, str | int | bool]) -> list[dict[str, Any]]:
    """Documents whose members equal those given, by key."""
    rows = db.execute("SELECT value FROM document WHERE kind = ? ORDER BY key", (kind,))
    documents = (orjson.loads(value) for (value,) in rows)
    return [document for document in documents if holds(document, equal)]


def after(db: sqlite3.Connection, kind: str, key: str, limit: int) -> list[dict[str, Any]]:
    """Documents by key, from the first after this one on."""
    rows = db.execute(
        "SELECT value FROM document WHERE kind = ? AND key > ? ORDER BY key LIMIT ?", (kind, key, limit)
    ).fetchall()
    return [orjson.loads(value) for (value,) in rows]


def page(
    db: sqlite3.Connection, kind: str, where: Mapping[str, str], limit: int, offset: int, descending: bool
) -> Page:
    """A page of the documents whose members are these texts, by key."""
    condition = "".join([" WHERE kind = ?", *(" AND json_extract(value, ?) = ?" for _ in where)])
    arguments = [kind, *(text for name, value in where.items() for text in (f'$."{name}"', value))]
    (total,) = db.execute(f"SELECT count(*) FROM document{condition}", arguments).fetchone()
    order = "DESC" if descending else "ASC"
    rows = db.execute(
        f"SELECT value FROM document{condition} ORDER BY key {order} LIMIT ? OFFSET ?", (*arguments, limit, offset)
    )
    return Page([orjson.loads(value) for (value,) in rows], total)


def swap(
    db: sqlite3.Connection, kind: str, key: str, before: Mapping[str, Any], after: Mapping[str, Any] | None
) -> bool:
    """Store in place of one that is as expected, or delete it."""
    if get(db, kind, key) != orjson.loads(to_json(dict(before))):
        return False
    if after is None:
        return delete(db, kind, key)
    write(db, kind, key, after)
    return True


def delete(db: sqlite3.Connection, kind: str, key: str) -> bool:
    """Delete a document, with its terms."""
    forget_terms(db, kind, key)
    return db.execute("DELETE FROM document WHERE kind = ? AND key = ?", (kind, key)).rowcount == 1


def delete_all(db: sqlite3.Connection, kind: str, keys: Sequence[str]) -> int:
    """Delete documents, with their terms; how many there were."""
    chosen = (kind, to_json(list(keys)).decode())
    those = "kind = ? AND key IN (SELECT value FROM json_each(?))"
    db.execute(f"DELETE FROM term WHERE number IN (SELECT number FROM termed WHERE {those})", chosen)
    db.execute(f"DELETE FROM termed WHERE {those}", chosen)
    return db.execute(f"DELETE FROM document WHERE {those}", chosen).rowcount


def forget_terms(db: sqlite3.Connection, kind: str, key: str) -> None:
    """A document has no terms any more."""
    row = db.execute("SELECT number FROM termed WHERE kind = ? AND key = ?", (kind, key)).fetchone()
    if row is not None:
        db.execute("DELETE FROM term WHERE number = ?", row)
        db.execute("DELETE FROM termed WHERE number = ?", row)
