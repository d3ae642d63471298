"""Displaced files, which are not shown since moves brought them together with later ones of the same UID."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from neurdicom.catalog.claims import with_edits
from neurdicom.catalog.projection import indexed, sort_values, to_json
from neurdicom.catalog.shown import ShownAttributes
from neurdicom.catalog.sqlite.lookup import UID, is_key_of, key_range
from neurdicom.catalog.sqlite.parts import displaced_keys
from neurdicom.catalog.sqlite.refresh import edits_of_all
from neurdicom.catalog.sqlite.rows import CHOSEN, add_keys, json_of, marks, remove_keys, write_row
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.identity import SEPARATOR, uid_of
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value

#: Attributes of an instance, but for its UID.
OWN_FIELDS = [attribute.field for attribute in AT_LEVEL[Level.INSTANCE] if attribute.field != "sop_instance_uid"]
_SHARED = "pk, parent, origin, blob_key, size, sha256, received, layout, attributes"
#: Columns of a new row of `instance`, in the order of `instance_row`.
INSTANCE_COLUMNS = ", ".join(
    ["pk", "id", "parent", "origin", "blob_key", "size", "sha256", "received", "layout", "attributes", "digest"]
    + [f'"{attribute.field}"' for attribute in indexed(Level.INSTANCE)]
)


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """A file of an instance, shown or displaced.

    Attributes
    ----------
    pk, parent, origin : int
        Its row, that of its series, and its origin.
    sha256, blob, received : str
        SHA-256, key in the blob store, and time of arrival.
    id : str
        Id of the instance; its UID for a displaced file.
    below : str
        Digest of its natural key.
    is_shown : bool
        False if it is displaced.
    """

    pk: int
    parent: int
    origin: int
    sha256: str
    blob: str
    received: str
    id: str
    below: str
    is_shown: bool = True


_SELECT_DISPLACED = "SELECT pk, parent, origin, sha256, blob_key, received, uid, digest FROM displaced"
_SELECT = (
    "SELECT instance.pk, instance.parent, origin, sha256, blob_key, received, instance.id,"
    " coalesce(instance.digest, series.below) FROM instance JOIN series ON series.pk = instance.parent"
)
#: Condition that any instance of the same UID has edits.
_IS_EDITED = (
    f"EXISTS (SELECT 1 FROM edit WHERE edit.level = 'instance' AND {is_key_of('edit.entity', UID[Level.INSTANCE])})"
)


def file_of(tx: Transaction, entity: str) -> InstanceFile | None:
    """Find the file of an instance by the id that it shows."""
    row = tx.db.execute(f"{_SELECT} WHERE instance.id = ?", (entity,)).fetchone()
    return InstanceFile(*row) if row else None


def shown_file(tx: Transaction, series: int, uid: str) -> InstanceFile | None:
    """Find the file that an instance of a series shows.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    series : int
        Row of the series.
    uid : str
        SOP Instance UID.
    """
    row = tx.db.execute(
        f"{_SELECT} WHERE instance.parent = ? AND (instance.id = ? OR (instance.id > ? AND instance.id < ?))",
        (series, uid, *key_range(uid)),
    ).fetchone()
    return InstanceFile(*row) if row else None


def shown_instead(tx: Transaction, pk: int) -> InstanceFile:
    """Find the file that is shown in the place of a file by its row: that itself, unless it is displaced."""
    row = tx.db.execute(f"{_SELECT} WHERE instance.pk = ?", (pk,)).fetchone()
    if row:
        return InstanceFile(*row)
    series, uid = tx.db.execute("SELECT parent, uid FROM displaced WHERE pk = ?", (pk,)).fetchone()
    shown = shown_file(tx, series, uid)
    if shown is None:
        raise LookupError(f"the instance {uid} has a displaced file, and none that is shown")
    return shown


def _displaced(row: Sequence[Any]) -> InstanceFile:
    pk, parent, origin, sha256, blob, received, uid, digest = row
    return InstanceFile(pk, parent, origin, sha256, blob, received, uid, digest, is_shown=False)


def remove_displaced(tx: Transaction, pks: list[int]) -> None:
    """Delete displaced files with their headers."""
    for table in ("header", "displaced"):
        tx.db.execute(f"DELETE FROM {table} WHERE pk {CHOSEN}", json_of(pks))


def displace(tx: Transaction, file: InstanceFile) -> None:
    """Replace the row of an instance by one of a displaced file; it is no longer counted."""
    tx.db.execute(
        f"INSERT INTO displaced (uid, digest, {_SHARED}) SELECT ?, ?, {_SHARED} FROM instance WHERE pk = ?",
        (uid_of(file.id), file.below, file.pk),
    )
    remove_keys(tx.db, Level.INSTANCE, [file.pk])
    tx.db.execute("DELETE FROM instance WHERE pk = ?", (file.pk,))
    tx.ids.release(Level.INSTANCE, [file.id])
    tx.ids.changed = True


def show(tx: Transaction, file: InstanceFile) -> None:
    """Replace the row of a displaced file by one of an instance; it is not counted yet, and its place must be free."""
    row = tx.db.execute(
        f"SELECT {_SHARED}, (SELECT below FROM series WHERE series.pk = displaced.parent) FROM displaced WHERE pk = ?",
        (file.pk,),
    ).fetchone()
    *own, series_below = row
    uid = uid_of(file.id)
    attributes = _edited(tx, file) if tx.edits.any else orjson.loads(own[-1])
    own[-1] = to_json(attributes)
    digest = None if file.below == series_below else file.below
    shown = tx.ids.take(Level.INSTANCE, uid, file.below)
    values = (*own, shown, digest, *sort_values(Level.INSTANCE, attributes))
    columns = ", ".join([_SHARED, "id", "digest", *(f'"{one.field}"' for one in indexed(Level.INSTANCE))])
    tx.db.execute(f"INSERT INTO instance ({columns}) VALUES ({marks(values)})", values)
    tx.db.execute("DELETE FROM displaced WHERE pk = ?", (file.pk,))
    add_keys(tx.db, Level.INSTANCE, file.pk, attributes)
    tx.ids.changed = True


def _edited(tx: Transaction, file: InstanceFile) -> dict[str, Value]:
    """Compute the attributes of an instance from its file and the edits of all files in its place."""
    from neurdicom.dicom.query.indexed import attributes_of  # pydicom takes 0.2 s, which other commands need not pay

    uid = uid_of(file.id)
    table = "instance" if file.is_shown else "displaced"
    stored, data = tx.db.execute(
        f"SELECT attributes, data FROM {table} JOIN header ON header.pk = {table}.pk WHERE {table}.pk = ?", (file.pk,)
    ).fetchone()
    said = attributes_of(orjson.loads(zlib.decompress(data)))
    # A file that has left the place took its edits along: such fields show the value in the file again.
    edited = tx.db.execute(
        "SELECT DISTINCT field FROM edit WHERE level = 'instance' AND entity > ? AND entity < ?", key_range(uid)
    ).fetchall()
    values = orjson.loads(stored) | {field: said.get(field) for (field,) in edited}
    keys = [f"{uid}{SEPARATOR}{file.below}", *displaced_keys(tx.db, [file.parent]).get((file.parent, uid), [])]
    shown = shown_file(tx, file.parent, uid)
    if shown is not None:
        keys.append(f"{uid}{SEPARATOR}{shown.below}")
    return with_edits(values, edits_of_all(tx.edits, Level.INSTANCE, list(dict.fromkeys(keys))))


def apply_edits(tx: Transaction, series: int) -> None:
    """Apply the edits of all instances of a series again, into or out of which files were moved.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    series : int
        Row of the series.
    """
    rows = tx.db.execute(f"{_SELECT} WHERE instance.parent = ? AND {_IS_EDITED}", (series,)).fetchall()
    for file in (InstanceFile(*row) for row in rows):
        write_row(tx.db, Level.INSTANCE, file.pk, ShownAttributes(_edited(tx, file)))


def settle_displaced(tx: Transaction, series: int) -> int:
    """Let each instance of a series show the file that arrived last; return the increase of its instances.

    Files of the same natural instance never meet here, so each file is of another natural series.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    series : int
        Row of the series, into or out of which files were moved.
    """
    displaced = tx.db.execute(f"{_SELECT_DISPLACED} WHERE parent = ?", (series,)).fetchall()
    shown = [InstanceFile(*row) for row in tx.db.execute(f"{_SELECT} WHERE instance.parent = ?", (series,))]
    of: dict[str, list[InstanceFile]] = {}
    for file in (*shown, *map(_displaced, displaced)):
        of.setdefault(uid_of(file.id), []).append(file)
    return sum(show_last(tx, files) for files in of.values() if len(files) > 1 or not files[0].is_shown)


def files_in_place(tx: Transaction, series: int, uid: str) -> list[InstanceFile]:
    """List the files of an instance, the one that is shown first.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    series : int
        Row of the series.
    uid : str
        SOP Instance UID.
    """
    shown = shown_file(tx, series, uid)
    displaced = tx.db.execute(f"{_SELECT_DISPLACED} WHERE parent = ? AND uid = ?", (series, uid)).fetchall()
    return [*([shown] if shown else []), *map(_displaced, displaced)]


def last_of(files: Iterable[InstanceFile]) -> InstanceFile:
    """Return the file that arrived last."""
    return max(files, key=lambda file: (file.received, file.pk))


def show_last(tx: Transaction, files: Sequence[InstanceFile]) -> int:
    """Show of several files in one place the one that arrived last; return the increase of the shown ones.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    files : sequence of InstanceFile
        All files of the place, each of another natural series.
    """
    last, growth = last_of(files), 0
    for file in files:
        if file.is_shown and file is not last:
            displace(tx, file)
            growth -= 1
    if not last.is_shown:
        show(tx, last)
        growth += 1
    return growth
