"""A study that goes to another patient, of whom a later file says more than those before."""

import sqlite3

from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.entities import Entities
from neurdicom.catalog.sqlite.shown_ids import ShownIds
from neurdicom.dicom.identity import SEPARATOR, is_key, key_of, uid_of
from neurdicom.dicom.query.attributes import Level


def take_over(
    db: sqlite3.Connection, entities: Entities, edits: StoredEdits, ids: ShownIds, study_uid: str, former: str, to: str
) -> None:
    """Give the study of a patient, with all claims on it, to another; keys follow, and edits with them.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    entities : Entities
        The levels above the instance in this transaction.
    edits : StoredEdits
        The edits of this transaction.
    ids : ShownIds
        The ids of this transaction.
    study_uid : str
        UID of the study.
    former, to : str
        Ids of the patient that it had, and of the one that it has from now on.
    """
    db.execute("UPDATE claim SET patient = ? WHERE study_uid = ? AND patient = ?", (to, study_uid, former))
    ids.changed = True
    before = key_of(study_uid, former)
    row = db.execute(
        "SELECT study.pk, study.id, study.parent FROM study JOIN patient ON patient.pk = study.parent"
        " WHERE patient.id = ? AND study.id IN (?, ?)",
        (former, study_uid, before),
    ).fetchone()
    if row is None:  # deleted by a reindex that goes on
        return
    study, entity, former_row = row
    patient = entities.patient_row(to)
    if patient is None:
        patient = entities.make_patient(to, {})
    key = key_of(study_uid, to)
    db.execute("UPDATE study SET parent = ?, digest = ? WHERE pk = ?", (patient, _digest(key), study))
    _follow(ids, edits, Level.STUDY, study, entity, before, key)
    for series, shown in db.execute("SELECT pk, id FROM series WHERE parent = ?", (study,)).fetchall():
        uid = uid_of(shown)
        _follow_instances(db, ids, edits, series, (study_uid, uid), former, to)
        key = key_of(uid, to, study_uid)
        below = _digest(key_of("", to, study_uid, uid))
        db.execute("UPDATE series SET digest = ?, below = ? WHERE pk = ?", (_digest(key), below, series))
        _follow(ids, edits, Level.SERIES, series, shown, key_of(uid, former, study_uid), key)
        entities.touch(Level.SERIES, series)
    entities.move_study(study, former_row, patient)


def _follow_instances(
    db: sqlite3.Connection, ids: ShownIds, edits: StoredEdits, series: int, above: tuple[str, str], former: str, to: str
) -> None:
    """Give the instances of a series that show their keys, or have edits, their new keys."""
    only = "" if edits.any else f" AND instr(id, '{SEPARATOR}')"
    rows = db.execute(f"SELECT pk, id FROM instance WHERE parent = ?{only}", (series,)).fetchall()
    for pk, entity in rows:
        uid = uid_of(entity)
        _follow(ids, edits, Level.INSTANCE, pk, entity, key_of(uid, former, *above), key_of(uid, to, *above))


def _follow(ids: ShownIds, edits: StoredEdits, level: Level, pk: int, entity: str, before: str, key: str) -> None:
    edits.adopt(level, key, (before,))
    if is_key(entity):
        ids.rekey(level, pk, key)


def _digest(key: str) -> str:
    return key.rpartition(SEPARATOR)[2]
