"""State that the verbs of one write transaction share."""

import sqlite3
from collections.abc import Iterable

from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.entities import Entities
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of, remove_keys
from neurdicom.catalog.sqlite.shown_ids import ShownIds
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.dicom.query.attributes import Level


class Transaction:
    """State of one write transaction on a connection.

    Attributes
    ----------
    db : sqlite3.Connection
        The writer's connection.
    edits : StoredEdits
        The edits.
    ids : ShownIds
        The ids of entities.
    moves : MoveTable
        The moves in force.
    entities : Entities
        The levels above the instance.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.edits = StoredEdits(db)
        self.ids = ShownIds(db)
        self.moves = MoveTable(db)
        self.entities = Entities(db, self.edits, self.ids, self.moves)

    def add_garbage(self, keys: Iterable[str], place: str = "") -> None:
        """Record the keys of blobs that are to leave the blob store.

        Parameters
        ----------
        keys : iterable of str
            The keys.
        place : str
            Place to which they are set aside; empty to delete them.
        """
        self.db.executemany("INSERT OR REPLACE INTO garbage VALUES (?, ?)", ((key, place) for key in keys))

    def remove_instances(self, pks: list[int]) -> None:
        """Delete the rows of instances with their headers and search keys."""
        remove_keys(self.db, Level.INSTANCE, pks)
        for table in ("header", "instance"):
            self.db.execute(f"DELETE FROM {table} WHERE pk {CHOSEN}", json_of(pks))
