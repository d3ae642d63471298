"""Documents that are found by their terms.

`termed` numbers them in the order in which they were made; `term` has a row for each term, so that the numbers of all
that meet a condition are a range of its primary key.
"""

import sqlite3
from collections.abc import Sequence

import orjson

from neurdicom.catalog.base import Page
from neurdicom.catalog.sqlite import documents
from neurdicom.catalog.terms import Having, Span, Termed, encode_all, span


def put(db: sqlite3.Connection, kind: str, given: Sequence[Termed]) -> None:
    """Store documents with their terms, in place of earlier ones."""
    for each in given:
        documents.write(db, kind, each.key, each.document)
        row = db.execute("SELECT number FROM termed WHERE kind = ? AND key = ?", (kind, each.key)).fetchone()
        if row is None:
            number = db.execute("INSERT INTO termed (kind, key) VALUES (?, ?)", (kind, each.key)).lastrowid
        else:
            number = int(row[0])
            db.execute("DELETE FROM term WHERE number = ?", (number,))
        terms = ((term, number) for term in encode_all(kind, each.terms))
        db.executemany("INSERT INTO term VALUES (?, ?)", terms)


def search(
    db: sqlite3.Connection, kind: str, conditions: Sequence[Having], limit: int, offset: int, descending: bool
) -> Page:
    """A page of the documents that meet all conditions, in the order of their making."""
    chosen, arguments = _numbers(kind, conditions)
    (total,) = db.execute(f"SELECT count(*) FROM ({chosen})", arguments).fetchone()
    order = "DESC" if descending else "ASC"
    rows = db.execute(
        f"SELECT value FROM (SELECT number FROM ({chosen}) ORDER BY number {order} LIMIT ? OFFSET ?) AS page"
        " JOIN termed ON termed.number = page.number"
        " JOIN document ON document.kind = termed.kind AND document.key = termed.key"
        f" ORDER BY page.number {order}",
        (*arguments, limit, offset),
    )
    return Page([orjson.loads(value) for (value,) in rows], total)


def _numbers(kind: str, conditions: Sequence[Having]) -> tuple[str, list[str]]:
    """A query for the numbers of the documents that meet all conditions."""
    if not conditions:
        return "SELECT number FROM termed WHERE kind = ?", [kind]
    # The first is a range of the primary key, and the others are looked up for each number in it: best one that is
    # narrow.
    spans = sorted((span(kind, condition) for condition in conditions), key=lambda each: not each.exact)
    parts, arguments = [], []
    for place, each in enumerate(spans):
        where, values = _where(each)
        parts.append(f"EXISTS (SELECT 1 FROM term WHERE number = found.number AND {where})" if place else where)
        arguments += values
        if each.without:
            excluded = f"SELECT 1 FROM term WHERE number = found.number AND term IN ({_marks(each.without)})"
            parts.append(f"NOT EXISTS ({excluded})")
            arguments += each.without
    return f"SELECT DISTINCT number FROM term AS found WHERE {' AND '.join(parts)}", arguments


def _where(each: Span) -> tuple[str, list[str]]:
    if each.exact:
        return f"term IN ({_marks(each.exact)})", [*each.exact]
    return "term >= ? AND term < ?", [each.low, each.high]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
