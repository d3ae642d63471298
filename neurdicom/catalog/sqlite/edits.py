"""The edits of entities, as a writer reads and writes them within one transaction."""

import sqlite3
from collections.abc import Iterable, Sequence

import orjson

from neurdicom.catalog.edits import effective, joined, moved_to
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit
from neurdicom.catalog.sqlite.rows import CHOSEN
from neurdicom.dicom.query.attributes import Level

_COLUMNS = "level, entity, field, value, user, time, before, id"


class StoredEdits:
    """The edits of entities, by level and key."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.any = db.execute("SELECT 1 FROM edit LIMIT 1").fetchone() is not None

    def of(self, level: Level, key: str) -> list[Edit]:
        """Look up the edits of an entity that count, in the order of fields."""
        if not self.any:
            return []
        where = "level = ? AND entity = ? AND NOT replaced ORDER BY field"
        return self._read(f"SELECT {_COLUMNS} FROM edit WHERE {where}", (level, key))

    def history(self, level: Level, key: str) -> list[Edit]:
        """List all edits of an entity, the earliest first."""
        where = "level = ? AND entity = ? ORDER BY position"
        return self._read(f"SELECT {_COLUMNS} FROM edit WHERE {where}", (level, key))

    def _read(self, statement: str, values: tuple[str, str]) -> list[Edit]:
        return [as_edit(row) for row in self._db.execute(statement, values)]

    def write(self, level: Level, key: str, history: Sequence[Edit]) -> None:
        """Write the edits of an entity anew.

        Parameters
        ----------
        level : Level
            Level of the entity.
        key : str
            Its key.
        history : sequence of Edit
            All its edits, in their order.
        """
        self.forget(level, [key])
        last = {edit.id for edit in effective(history)}
        self._db.executemany(
            "INSERT INTO edit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (level, key, e.id not in last, e.field, position, e.id, _json(e.value), _json(e.before), e.user, e.time)
                for position, e in enumerate(history)
            ],
        )
        self.any = self.any or bool(history)

    def adopt(self, level: Level, key: str, before: Iterable[str]) -> None:
        """Move edits of a new entity that are stored under its UID or an earlier key to its present key.

        Parameters
        ----------
        level : Level
            Level of the entity.
        key : str
            Its key.
        before : iterable of str
            Its UID, by which versions before keys named it, and its earlier keys.
        """
        if not self.any:
            return
        for name in dict.fromkeys(one for one in before if one != key):
            if earlier := self.history(level, name):
                self.write(level, key, joined(self.history(level, key), moved_to(earlier, key)))
                self.forget(level, [name])

    def forget(self, level: Level, keys: Sequence[str]) -> None:
        """Delete the edits of entities that are gone."""
        if self.any:
            self._db.execute(
                f"DELETE FROM edit WHERE level = ? AND entity {CHOSEN}", (level, orjson.dumps(keys).decode())
            )


def effective_edits(db: sqlite3.Connection, level: Level, keys: Iterable[str]) -> list[Edit]:
    """List the edits that count of entities, each entity's in the order of fields.

    Parameters
    ----------
    db : sqlite3.Connection
        Any connection.
    level : Level
        Level of the entities.
    keys : iterable of str
        Their keys.
    """
    rows = db.execute(
        "SELECT edit.level, entity, field, edit.value, user, time, before, edit.id FROM json_each(?) AS wanted"
        " CROSS JOIN edit ON level = ? AND entity = wanted.value AND NOT replaced ORDER BY entity, field",
        (orjson.dumps(list(keys)).decode(), level),
    )
    return [as_edit(row) for row in rows]


def as_edit(row: Sequence[str]) -> Edit:
    """Read a row of the table of edits."""
    level, entity, field, value, user, time, before, edit_id = row
    return Edit(Level(level), entity, field, orjson.loads(value), user, time, orjson.loads(before), edit_id)


def _json(value: object) -> str:
    return to_json(value).decode()
