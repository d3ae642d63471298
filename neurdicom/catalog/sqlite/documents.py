"""JSON documents by kind and key."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import orjson

from neurdicom.catalog.projection import holds, to_json


def put(db: sqlite3.Connection, kind: str, key: str, document: Mapping[str, Any]) -> None:
    """Store in place of any earlier one."""
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


def delete(db: sqlite3.Connection, kind: str, key: str) -> bool:
    """Delete a document."""
    return db.execute("DELETE FROM document WHERE kind = ? AND key = ?", (kind, key)).rowcount == 1
