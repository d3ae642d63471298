"""Rows of entities: their index columns and search keys, and the edits that are stored beside them."""

import sqlite3
from collections.abc import Mapping, Sequence

import orjson

from neurdicom.catalog.projection import indexed, many_keys, other_keys, sort_values, to_json
from neurdicom.catalog.records import Edit
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


class StoredEdits:
    """The edits of entities, as a writer reads them within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.any = db.execute("SELECT 1 FROM edit LIMIT 1").fetchone() is not None

    def of(self, level: Level, key: str) -> list[Edit]:
        """Look up the edits of an entity by its key, in the order of fields."""
        if not self.any:
            return []
        rows = self._db.execute(
            "SELECT field, value, user, time FROM edit WHERE level = ? AND entity = ? ORDER BY field", (level, key)
        )
        return [Edit(level, key, field, orjson.loads(value), user, time) for field, value, user, time in rows]

    def adopt(self, level: Level, key: str, before: Sequence[str]) -> None:
        """Bring edits of a new entity to its key that were kept under what it was called before.

        Parameters
        ----------
        level : Level
            Level of the entity.
        key : str
            Its key.
        before : sequence of str
            Its UID, by which versions before keys named it, and its earlier keys.
        """
        if self.any:
            names = orjson.dumps([one for one in before if one != key]).decode()
            self._db.execute(
                f"UPDATE OR IGNORE edit SET entity = ? WHERE level = ? AND entity {CHOSEN}", (key, level, names)
            )

    def put(self, edits: Sequence[Edit]) -> None:
        """Store edits; each replaces an earlier one of the same field."""
        self._db.executemany(
            "INSERT OR REPLACE INTO edit VALUES (?, ?, ?, ?, ?, ?)",
            [(e.level, e.entity, e.field, to_json(e.value).decode(), e.user, e.time) for e in edits],
        )
        self.any = self.any or bool(edits)

    def forget(self, level: Level, keys: Sequence[str]) -> None:
        """Delete the edits of entities that are gone."""
        if self.any:
            self._db.execute(
                f"DELETE FROM edit WHERE level = ? AND entity {CHOSEN}", (level, orjson.dumps(keys).decode())
            )
