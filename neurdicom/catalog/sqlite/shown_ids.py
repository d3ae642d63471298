"""The ids that users see: the UID while it names one entity, the key otherwise."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from neurdicom.catalog.sqlite.lookup import DIGEST, any_shared, key_range
from neurdicom.dicom.identity import SEPARATOR, is_key, uid_of
from neurdicom.dicom.query.attributes import Level

_JOINED = {
    Level.STUDY: "study",
    Level.SERIES: "series",
    Level.INSTANCE: "instance JOIN series ON series.pk = instance.parent",
}


@dataclass(frozen=True, slots=True)
class Namesake:
    """An entity that has a certain UID: its row, the row above, its shown id, and the digest of its key."""

    pk: int
    parent: int
    id: str
    digest: str


class ShownIds:
    """Writer of the ids that users see of studies, series and instances, within one transaction.

    Attributes
    ----------
    changed : bool
        True once the id of an entity that was there has changed, so that a reference may name something else.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._shared = {level: any_shared(db, level) for level in DIGEST}
        self.changed = False
        self._placeholders = 0

    def any_shared(self, level: Level) -> bool:
        """Tell whether any UID of a level names several entities."""
        return self._shared[level]

    def namesakes(self, level: Level, uid: str, *, all_of_them: bool = False) -> list[Namesake]:
        """Find the entities that a UID names.

        Parameters
        ----------
        level : Level
            Their level.
        uid : str
            The UID.
        all_of_them : bool
            True to look for keys too where an entity shows the UID, as in the middle of a move.
        """
        select = f"SELECT {level}.pk, {level}.parent, {level}.id, {DIGEST[level]} FROM {_JOINED[level]}"
        rows = self._db.execute(f"{select} WHERE {level}.id = ?", (uid,)).fetchall()
        if all_of_them or (not rows and self._shared[level]):
            between = f"{level}.id > ? AND {level}.id < ? ORDER BY {level}.id"
            rows += self._db.execute(f"{select} WHERE {between}", key_range(uid)).fetchall()
        return [Namesake(*row) for row in rows]

    def take(self, level: Level, uid: str, digest: str) -> str:
        """Return the id of a new entity, which makes another of its UID show its key from now on.

        Parameters
        ----------
        level : Level
            Level of the entity.
        uid, digest : str
            The two parts of its key.
        """
        others = self.namesakes(level, uid)
        if not others:
            return uid
        for other in others:
            if not is_key(other.id):
                self._rename(level, other.pk, f"{uid}{SEPARATOR}{other.digest}")
                self._db.execute("INSERT OR IGNORE INTO conflict VALUES (?, ?)", (level, uid))
                self._shared[level] = True
        return f"{uid}{SEPARATOR}{digest}"

    def rekey(self, level: Level, pk: int, key: str) -> None:
        """Write the new key of an entity as its id, if its UID names several.

        Parameters
        ----------
        level : Level
            Level of the entity.
        pk : int
            Its row.
        key : str
            The new key.
        """
        self._rename(level, pk, key)

    def release(self, level: Level, ids: Iterable[str]) -> None:
        """Show UIDs of deleted entities as ids of the only ones left that have them.

        Parameters
        ----------
        level : Level
            Level of the entities.
        ids : iterable of str
            The ids that they had; a UID named one only.
        """
        for uid in sorted({uid_of(entity) for entity in ids if is_key(entity)}):
            left = self.namesakes(level, uid)
            if len(left) < 2:
                self._db.execute("DELETE FROM conflict WHERE level = ? AND uid = ?", (level, uid))
            for one in left if len(left) == 1 else ():
                self._rename(level, one.pk, uid)

    def settle(self, level: Level, uids: Iterable[str]) -> None:
        """Recompute the ids of all entities with some UIDs from the digests of their keys, after moves.

        Parameters
        ----------
        level : Level
            Level of the entities.
        uids : iterable of str
            The UIDs.
        """
        for uid in sorted(uids):
            found = self.namesakes(level, uid, all_of_them=True)
            if len(found) < 2:
                wanted = [(one, uid) for one in found]
                self._db.execute("DELETE FROM conflict WHERE level = ? AND uid = ?", (level, uid))
            else:
                wanted = [(one, f"{uid}{SEPARATOR}{one.digest}") for one in found]
                self._db.execute("INSERT OR IGNORE INTO conflict VALUES (?, ?)", (level, uid))
                self._shared[level] = True
            changed = [(one, entity) for one, entity in wanted if one.id != entity]
            for one, _ in changed:
                self._rename(level, one.pk, self.placeholder(uid))
            for one, entity in changed:
                self._rename(level, one.pk, entity)

    def placeholder(self, uid: str) -> str:
        """Make a temporary id that no entity has, which `settle` replaces."""
        self._placeholders += 1
        return f"{uid}{SEPARATOR}:{self._placeholders}"

    def _rename(self, level: Level, pk: int, entity: str) -> None:
        self._db.execute(f"UPDATE {level} SET id = ? WHERE pk = ?", (entity, pk))
        self.changed = True
