"""Migration of the instances of an earlier version, in the order of their arrival."""

import sqlite3
import zlib
from typing import Any

import orjson

from neurdicom.catalog.claims import EntityClaims
from neurdicom.catalog.records import NewInstance
from neurdicom.catalog.sqlite.lookup import key_range
from neurdicom.catalog.sqlite.schema import SET_ASIDE
from neurdicom.catalog.sqlite.storing import ArrivalWriter
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import is_key, uid_of
from neurdicom.dicom.query.attributes import Level

#: Instances that are moved in one transaction.
BATCH = 500
#: Tables of before that `move` reads; all others can be made anew from them.
_READ = ("old_instance", "old_header")


def drop(db: sqlite3.Connection, statement: str) -> None:
    """Run one of the statements of `superfluous`."""
    db.execute(statement)


def superfluous(db: sqlite3.Connection) -> list[str]:
    """List the statements that drop indexes and tables of before which the migration does not read."""
    found = db.execute("SELECT type, name, tbl_name FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    old = {f"old_{name}" for name in SET_ASIDE}
    indexes = [f'DROP INDEX "{name}"' for kind, name, table in found if kind == "index" and table in _READ]
    return indexes + [
        f"DROP TABLE {name}" for kind, name, _ in found if kind == "table" and name in old and name not in _READ
    ]


def counts(db: sqlite3.Connection) -> tuple[int, int]:
    """Count the instances that were moved, and all of them."""
    (done,) = db.execute("SELECT count FROM total WHERE level = 'instance'").fetchone()
    (left,) = db.execute("SELECT count(*) FROM old_header").fetchone()
    return done, done + left


def move(db: sqlite3.Connection) -> int:
    """Move the earliest instances of before to the present tables; return how many.

    Edits of before name studies, series and instances by UID: those of a UID that now names several are adopted by the
    entity whose earliest instance comes first, which is the one that they were shown of.
    """
    rows = db.execute(
        "SELECT instance.pk, header.origin, header.data, instance.attributes, blob_key, size, sha256, received, layout"
        " FROM old_instance AS instance CROSS JOIN old_header AS header ON header.pk = instance.pk"
        " ORDER BY instance.pk LIMIT ?",
        (BATCH,),
    ).fetchall()
    if not rows:
        return 0
    arrivals = [_arrival(row) for row in rows]
    before = _patients_with_edits(db)
    outcomes = ArrivalWriter(Transaction(db), pack=bytes).store(arrivals)
    for table in _READ:
        db.execute(f"DELETE FROM {table} WHERE pk <= ?", (rows[-1][0],))
    found = [
        f"the edits of the patient {patient} are gone with it: its study belongs to the patient whom other files name"
        for patient in sorted(before - _patients_with_edits(db))
    ]
    for new, outcome in zip(arrivals, outcomes, strict=True):
        if outcome.status != "stored":
            db.execute("DELETE FROM garbage WHERE key = ?", (new.blob.key,))
            found.append(f"the instance {new.instance} could not be brought along; its file is {new.blob.key}")
    db.execute("CREATE TABLE IF NOT EXISTS old_finding (text TEXT)")
    db.executemany("INSERT INTO old_finding VALUES (?)", [(text,) for text in found])
    return len(rows)


def findings(db: sqlite3.Connection) -> tuple[str, ...]:
    """List what could not be brought along whole."""
    db.execute("CREATE TABLE IF NOT EXISTS old_finding (text TEXT)")
    found = [text for (text,) in db.execute("SELECT text FROM old_finding")]
    edited = db.execute("SELECT DISTINCT level, entity FROM edit WHERE level <> ?", (Level.PATIENT,)).fetchall()
    for level, entity in edited:
        if not is_key(entity):
            found.append(f"edits of the {level} {entity} are kept, but there is no such {level}")
            continue
        uid = uid_of(entity)
        (several,) = db.execute(
            f"SELECT count(*) FROM {Level(level)} WHERE id > ? AND id < ?", key_range(uid)
        ).fetchone()
        if several:
            found.append(
                f"the {level} {uid} is there {several} times, and whose its edits were can't be told: they are taken "
                f"to be of {entity}, the earliest"
            )
    return tuple(found)


def finish(db: sqlite3.Connection) -> None:
    """Drop the emptied tables of before."""
    for table in ("old_finding", "old_header", "old_instance"):
        db.execute(f"DROP TABLE IF EXISTS {table}")


def _patients_with_edits(db: sqlite3.Connection) -> set[str]:
    return {entity for (entity,) in db.execute("SELECT DISTINCT entity FROM edit WHERE level = ?", (Level.PATIENT,))}


def _arrival(row: tuple[Any, ...]) -> NewInstance:
    """Read an instance of before as an arrival, its header compressed as it is."""
    _, origin, header, attributes, blob_key, size, sha256, received, layout = row
    claims = EntityClaims.from_document(zlib.decompress(origin))
    return NewInstance(
        patient=claims.ids[Level.PATIENT],
        study=claims.ids[Level.STUDY],
        series=claims.ids[Level.SERIES],
        instance=claims.ids[Level.INSTANCE],
        attributes={**claims.attributes, **orjson.loads(attributes)},
        header=header,
        blob=BlobRef(blob_key, size, sha256),
        received=received,
        layout=orjson.loads(layout),
    )
