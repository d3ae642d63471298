"""Rows of entities: their index columns and search keys."""

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from neurdicom.catalog.projection import indexed, many_keys, other_keys, sort_values, to_json
from neurdicom.catalog.shown import ShownAttributes
from neurdicom.catalog.sqlite.schema import MERGED, has_keys
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


def marks(values: Sequence[object]) -> str:
    """Write the marks of bound parameters."""
    return ", ".join("?" * len(values))


def json_of(pks: Sequence[int]) -> tuple[str]:
    """Write rows as the one parameter of a statement with `CHOSEN`."""
    return (orjson.dumps(pks).decode(),)


#: Condition that a column is among the rows of `json_of`.
CHOSEN = "IN (SELECT value FROM json_each(?))"


def write_row(db: sqlite3.Connection, level: Level, pk: int, shown: ShownAttributes) -> None:
    """Rewrite the attributes of a row, with its sort keys and search keys.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    shown : ShownAttributes
        Effective values of its attributes.
    """
    columns = ", ".join(f'"{attribute.field}" = ?' for attribute in indexed(level))
    values = (to_json(shown.values), *sort_values(level, shown.values), pk)
    db.execute(f"UPDATE {level} SET attributes = ?, {columns} WHERE pk = ?", values)
    remove_keys(db, level, [pk])
    add_keys(db, level, pk, shown.values, shown.others)


def add_keys(
    db: sqlite3.Connection,
    level: Level,
    pk: int,
    attributes: Mapping[str, Value],
    others: Mapping[str, Sequence[Value]] | None = None,
) -> None:
    """Add the search keys of a new row.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    attributes : Mapping[str, Value]
        Effective values of its attributes.
    others : Mapping, optional
        Further values by which it is found.
    """
    if has_keys(level):
        rows = [(field, key, pk) for field, key in many_keys(level, attributes, others)]
        if rows:
            db.executemany(f"INSERT OR IGNORE INTO {level}_key VALUES (?, ?, ?)", rows)
    if others:
        more = [(field, key, pk) for field, key in other_keys(level, others)]
        db.executemany(f"INSERT OR IGNORE INTO {level}_other VALUES (?, ?, ?)", more)


def remove_keys(db: sqlite3.Connection, level: Level, pks: Sequence[int]) -> None:
    """Remove the search keys of rows.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    level : Level
        Level of the entities.
    pks : sequence of int
        The rows.
    """
    if has_keys(level):
        db.execute(f"DELETE FROM {level}_key WHERE entity {CHOSEN}", json_of(pks))
    if level in MERGED:
        db.execute(f"DELETE FROM {level}_other WHERE entity {CHOSEN}", json_of(pks))
