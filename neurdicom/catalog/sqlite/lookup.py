"""Lookup of entities by references: keys, UIDs, and keys of before."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence

import orjson

from neurdicom.catalog.outcomes import ambiguous
from neurdicom.catalog.sqlite.parts import OriginPart, keys_by, parts_below
from neurdicom.dicom.identity import SEPARATOR, PatientClaim, is_key, key_of
from neurdicom.dicom.query.attributes import Level

#: Column with the digest of an entity's key, by level.
DIGEST = {
    Level.STUDY: "study.digest",
    Level.SERIES: "series.digest",
    Level.INSTANCE: "coalesce(instance.digest, series.below)",
}
#: The key of an entity as SQL, in a query that joins the series to instances.
KEY = {Level.PATIENT: "patient.id"} | {
    level: f"iif(instr({level}.id, '{SEPARATOR}'), {level}.id, {level}.id || '{SEPARATOR}' || {digest})"
    for level, digest in DIGEST.items()
}
#: The UID of an entity as SQL.
UID = {
    level: f"iif(instr({level}.id, '{SEPARATOR}'), substr({level}.id, 1, instr({level}.id, '{SEPARATOR}') - 1),"
    f" {level}.id)"
    for level in DIGEST
}
_AFTER = "\x7f"  # above all digits


def is_key_of(column: str, uid: str) -> str:
    """Write the condition that a column has a key of a UID, both as SQL; an index on the column finds it."""
    return f"{column} > {uid} || '{SEPARATOR}' AND {column} < {uid} || '{SEPARATOR}{_AFTER}'"


#: Condition that a patient has the study of a claim; claims outlive the entities while a reindex enters them anew.
_PRESENT = (
    "EXISTS (SELECT 1 FROM study WHERE study.parent = patient.pk AND (study.id = claim.study_uid"
    f" OR ({is_key_of('study.id', 'claim.study_uid')})))"
)
_WITH_DIGEST = {
    Level.STUDY: "study",
    Level.SERIES: "series",
    Level.INSTANCE: "instance JOIN series ON series.pk = instance.parent",
}


def _tables(level: Level) -> str:
    """Join the tables in the order in which SQLite should visit them: from the entity down, then up from it."""
    tables, below = str(level), level
    while below.child is not None:
        tables += f" CROSS JOIN {below.child} ON {below.child}.parent = {below}.pk"
        below = below.child
    return tables + "".join(f" CROSS JOIN {each} ON {each}.pk = {each.child}.parent" for each in reversed(level.above))


#: All tables from an entity down to its instances, and up to its patient.
TABLES = {level: _tables(level) for level in Level}


def joined(*references: str) -> str:
    """Write a list of texts as JSON, to be bound as one parameter."""
    return orjson.dumps(references).decode()


def key_range(uid: str) -> tuple[str, str]:
    """Return the ends of the range in which all keys of a UID lie, for an index on ids."""
    return uid + SEPARATOR, uid + SEPARATOR + _AFTER


def rows_of(db: sqlite3.Connection, level: Level, reference: str) -> list[int]:
    """Find the rows that a reference names, in the order of their ids: one by a key, all by a UID.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entities.
    reference : str
        A key, a UID or a key of before; a patient's id, or one of before.
    """
    found = db.execute(f"SELECT pk FROM {level} WHERE id = ?", (reference,)).fetchall()
    if not found and level is Level.PATIENT:
        found = db.execute(
            "SELECT DISTINCT patient.pk FROM claim CROSS JOIN patient ON patient.id = claim.patient"
            f" WHERE claim.key = ? AND claim.key <> claim.patient AND {_PRESENT} ORDER BY patient.id",
            (reference,),
        ).fetchall()
    elif not found and is_key(reference):
        return _by_key(db, level, reference)
    elif not found:
        found = db.execute(
            f"SELECT pk FROM {level} WHERE id > ? AND id < ? ORDER BY id", key_range(reference)
        ).fetchall()
    return [pk for (pk,) in found]


def _by_key(db: sqlite3.Connection, level: Level, key: str) -> list[int]:
    """Find the row of an entity that shows its UID alone, or that had another key before."""
    uid, _, digest = key.partition(SEPARATOR)
    rows = db.execute(
        f"SELECT {level}.pk, {DIGEST[level]} FROM {_WITH_DIGEST[level]}"
        f" WHERE {level}.id = ? OR ({level}.id > ? AND {level}.id < ?)",
        (uid, *key_range(uid)),
    ).fetchall()
    for pk, own in rows:
        if own == digest:
            return [pk]
    for pk, _ in rows:
        if key in keys_of(db, level, pk):
            return [pk]
    return []


def row_of(db: sqlite3.Connection, level: Level, reference: str) -> int | None:
    """Find the row of the one entity that a reference names, None if nothing has it. Raises `Ambiguous`.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity.
    reference : str
        A key, of now or of before, or a UID.
    """
    rows = rows_of(db, level, reference)
    if len(rows) > 1:
        found = db.execute(
            f"SELECT id FROM {level} WHERE pk IN (SELECT value FROM json_each(?)) ORDER BY id", (_json(rows),)
        )
        raise ambiguous(level, reference, [entity for (entity,) in found])
    return rows[0] if rows else None


def rows_of_all(db: sqlite3.Connection, level: Level, references: Iterable[str]) -> list[tuple[str, int]]:
    """Find the rows that several references name, each with its reference.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entities.
    references : iterable of str
        Keys, of now or of before, and UIDs.
    """
    wanted = list(dict.fromkeys(references))
    direct = db.execute(
        f"SELECT value, {level}.pk FROM json_each(?) CROSS JOIN {level} ON {level}.id = value", (joined(*wanted),)
    ).fetchall()
    missing = [one for one in wanted if one not in dict(direct)] if len(direct) < len(wanted) else []
    if missing and not any(map(is_key, missing)) and level is not Level.PATIENT:
        present = shared(db, level, missing)
        missing = [one for one in missing if one in present]
    return direct + [(one, pk) for one in missing for pk in rows_of(db, level, one)]


def parts_in(db: sqlite3.Connection, study_uids: Iterable[str]) -> list[OriginPart]:
    """List the origins in all studies that have one of several UIDs."""
    rows = [pk for uid in sorted(set(study_uids)) for pk in rows_of(db, Level.STUDY, uid)]
    return [part for pk in rows for part in parts_below(db, Level.STUDY, pk)]


def shared(db: sqlite3.Connection, level: Level, uids: Collection[str]) -> set[str]:
    """Select the UIDs that name several entities of a level.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        The level.
    uids : collection of str
        The UIDs.
    """
    found = db.execute(
        "SELECT uid FROM json_each(?) CROSS JOIN conflict ON level = ? AND uid = value", (joined(*uids), level)
    )
    return {uid for (uid,) in found}


def any_shared(db: sqlite3.Connection, level: Level) -> bool:
    """Tell whether any UID of a level names several entities."""
    return db.execute("SELECT 1 FROM conflict WHERE level = ? LIMIT 1", (level,)).fetchone() is not None


def keys_of(db: sqlite3.Connection, level: Level, pk: int) -> tuple[str, ...]:
    """List the keys of an entity, its own first, then those that it had before.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    """
    if level is Level.PATIENT:
        (key,) = db.execute("SELECT id FROM patient WHERE pk = ?", (pk,)).fetchone()
        rows = db.execute(
            "SELECT DISTINCT key FROM patient CROSS JOIN claim ON claim.patient = patient.id AND key <> claim.patient"
            f" WHERE patient.pk = ? AND {_PRESENT}"
            " AND NOT EXISTS (SELECT 1 FROM patient AS own WHERE own.id = claim.key) ORDER BY key",
            (pk,),
        ).fetchall()
        return (key, *(before for (before,) in rows))
    keys, earlier = [], []
    for uid, patient, *between in natural_paths(db, level, pk):
        keys.append(key_of(uid, patient, *between))
        study_uid = between[0] if between else uid
        claimed = db.execute(
            "SELECT key FROM claim WHERE study_uid = ? AND patient = ? ORDER BY number", (study_uid, patient)
        )
        earlier += [key_of(uid, one, *between) for (one,) in claimed.fetchall()]
    return tuple(dict.fromkeys((*keys, *earlier)))


def own_keys(db: sqlite3.Connection, level: Level, pk: int) -> list[str]:
    """List the natural keys of an entity, of which moves may have given it several; its own is the first.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    """
    if level is Level.PATIENT:
        (key,) = db.execute("SELECT id FROM patient WHERE pk = ?", (pk,)).fetchone()
        return [key]
    return [key_of(*path) for path in natural_paths(db, level, pk)]


def natural_paths(db: sqlite3.Connection, level: Level, pk: int) -> list[tuple[str, ...]]:
    """List the elements of each natural key of an entity: its UID, the id of a patient, and the UIDs between.

    That of its own key is the first; moves may have given it several.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity, below the patient.
    pk : int
        Its row.
    """
    if any_moved(db):
        if level is Level.INSTANCE:
            return _instance_paths(db, pk)
        parts = parts_below(db, level, pk)
        paths: dict[str, tuple[str, ...]]
        if level is Level.STUDY:
            paths = {one.key(level): (one.study_uid, one.owner) for one in parts}
        else:
            paths = {one.natural.key: (one.natural.series, one.natural.patient, one.natural.study) for one in parts}
        return [paths[key] for key in keys_by(level, parts)]
    joins, ids = "", [UID[level]]
    for below in reversed((*level.above[1:], level)):
        joins += f" JOIN {below.parent} ON {below.parent}.pk = {below}.parent"
        ids.append("patient.id" if below is Level.STUDY else UID[below.above[-1]])
    uid, *above = db.execute(f"SELECT {', '.join(ids)} FROM {level}{joins} WHERE {level}.pk = ?", (pk,)).fetchone()
    return [(uid, *reversed(above))]


def _instance_paths(db: sqlite3.Connection, pk: int) -> list[tuple[str, ...]]:
    """List the natural paths of an instance, that of the shown file first, then those of displaced ones."""
    uid, parent, origin = db.execute(
        f"SELECT {UID[Level.INSTANCE]}, parent, origin FROM instance WHERE pk = ?", (pk,)
    ).fetchone()
    displaced = db.execute(
        "SELECT origin FROM displaced WHERE parent = ? AND uid = ? ORDER BY received DESC, pk DESC", (parent, uid)
    )
    of = {part.pk: part.natural for part in parts_below(db, Level.SERIES, parent)}
    naturals = [of[each] for each in (origin, *(one for (one,) in displaced))]
    return [(uid, one.patient, one.study, one.series) for one in naturals]


def any_moved(db: sqlite3.Connection) -> bool:
    """Tell whether moves have placed any files."""
    return db.execute("SELECT 1 FROM origin WHERE moved IS NOT NULL LIMIT 1").fetchone() is not None


def claims_of(db: sqlite3.Connection, study_uid: str) -> dict[PatientClaim, str]:
    """Look up the claims of a Study Instance UID in the order of their arrival, each with its patient."""
    rows = db.execute(
        "SELECT key, patient_id, issuer, patient FROM claim WHERE study_uid = ? ORDER BY number", (study_uid,)
    )
    return {PatientClaim(key, patient_id, issuer): patient for key, patient_id, issuer, patient in rows}


def _json(pks: Sequence[int]) -> str:
    return orjson.dumps(pks).decode()
