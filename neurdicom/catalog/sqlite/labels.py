"""Rows of entities that have labels, which are documents of the same file."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from neurdicom.catalog.labels import label_term
from neurdicom.catalog.sqlite.lookup import rows_of
from neurdicom.dicom.identity import SEPARATOR
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import AnyOf, Condition, Query
from neurdicom.dicom.query.labels import LABELS

#: Field of a condition on the rows themselves.
ROW = "pk"

_UID = f"substr(marked.key, 1, instr(marked.key, '{SEPARATOR}') - 1)"
_DIGEST = f"substr(marked.key, instr(marked.key, '{SEPARATOR}') + 1)"


def by_row(db: sqlite3.Connection, query: Query) -> Query:
    """Translate the conditions on labels of a query to conditions on rows, so that they are looked up once.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection to the catalog.
    query : Query
        The query.
    """
    if not any(condition.field == LABELS for condition in query.conditions):
        return query
    return replace(query, conditions=tuple(_by_row(db, query.level, condition) for condition in query.conditions))


def _by_row(db: sqlite3.Connection, level: Level, condition: Condition) -> Condition:
    if condition.field != LABELS or not isinstance(condition, AnyOf):
        return condition
    return AnyOf(ROW, tuple(labelled_rows(db, level, [str(value) for value in condition.values])))


def labelled_rows(db: sqlite3.Connection, level: Level, labels: Sequence[str]) -> list[int]:
    """Find the rows of the entities of a level that have one of some labels, by any of their keys.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection to the catalog.
    level : Level
        Level of the entities.
    labels : sequence of str
        The labels.
    """
    found: dict[int, None] = {}
    for label in dict.fromkeys(labels):
        rows = db.execute(_select(level), (len(level) + 2, len(level) + len(label) + 2, label_term(level, label)))
        for key, row in rows.fetchall():
            # One that is not found by its key had another before, or is gone.
            found |= dict.fromkeys([row] if row is not None else rows_of(db, level, key))
    return list(found)


def _select(level: Level) -> str:
    """Write the query for the keys in documents of a label, each with the row that has it as its key now."""
    marked = (
        "(SELECT substr(termed.key, ?, length(termed.key) - ?) AS key FROM term"
        " CROSS JOIN termed ON termed.number = term.number WHERE term.term = ?) AS marked"
    )
    if level is Level.PATIENT:
        return f"SELECT marked.key, patient.pk FROM {marked} LEFT JOIN patient ON patient.id = marked.key"
    series = " LEFT JOIN series ON series.pk = instance.parent" if level is Level.INSTANCE else ""
    digest = "series.below" if level is Level.INSTANCE else f"{level}.digest"
    return (
        f"SELECT marked.key, iif({level}.id = marked.key OR {digest} = {_DIGEST}, {level}.pk, NULL) FROM {marked}"
        f" LEFT JOIN {level} ON {level}.id IN ({_UID}, marked.key){series}"
    )
