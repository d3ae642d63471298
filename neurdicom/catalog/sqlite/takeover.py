"""A study that goes to another patient, of whom a later file says more than those before."""

from collections.abc import Collection, Iterable

from neurdicom.catalog.sqlite.lookup import claims_of, parts_in
from neurdicom.catalog.sqlite.parts import OriginPart
from neurdicom.catalog.sqlite.relocation import RowRelocation, renamed_paths
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.catalog.takeover import claims_along
from neurdicom.dicom.identity import SEPARATOR, is_key, key_of, uid_of
from neurdicom.dicom.query.attributes import Level


def take_over(tx: Transaction, study_uid: str, former: str, to: str) -> set[str]:
    """Give the study of a patient, with all claims on it, to another; keys follow, and edits and moves with them.

    So do the studies that were split off it.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    study_uid : str
        UID of the study.
    former, to : str
        Ids of the patient that the study had, and of the one that it has from now on.

    Returns
    -------
    set of str
        UIDs of these studies, whose claims are left to `follow_claims`.
    """
    tx.db.execute("UPDATE claim SET patient = ? WHERE study_uid = ? AND patient = ?", (to, study_uid, former))
    tx.ids.changed = True
    if not tx.moves.any:
        _take_over_row(tx, study_uid, former, to)
        return set()
    studies = tx.moves.going_along(study_uid, former, to)
    _take_over_parts(tx, studies, former, to)
    return studies - {study_uid}


def follow_claims(tx: Transaction, study_uid: str, split_off: Iterable[str], former: str, to: str) -> None:
    """Write the claims of studies that go over to another patient with one that they were split off.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    study_uid : str
        UID of that study, whose claims are written already.
    split_off : iterable of str
        UIDs of the others.
    former, to : str
        Ids of the patient that they had, and of the one that they have from now on.
    """
    source = claims_of(tx.db, study_uid)
    for uid in sorted(split_off):
        claims = claims_along(claims_of(tx.db, uid), source, former, to)
        tx.db.execute("DELETE FROM claim WHERE study_uid = ?", (uid,))
        tx.db.executemany(
            "INSERT INTO claim VALUES (?, ?, ?, ?, ?, ?)",
            [(uid, one.key, one.patient_id, one.issuer, of, n) for n, (one, of) in enumerate(claims.items(), 1)],
        )


def _take_over_parts(tx: Transaction, studies: Collection[str], former: str, to: str) -> None:
    """Give all natural series of studies to the patient, wherever moves have placed them."""
    there = parts_in(tx.db, tx.moves.studies_of(studies))
    parts = [part for part in there if _goes_over(part, studies, former)]
    renamed = renamed_paths(parts, studies, former, to)
    tx.moves.rename(studies, former, to)
    tx.moves.forget_demographics()
    for uid in sorted(studies):
        tx.edits.adopt(Level.STUDY, key_of(uid, to), (key_of(uid, former),))
    for before, after in renamed.items():
        tx.edits.adopt(Level.SERIES, after.key, (before.key,))
        if tx.edits.any:
            pks = [part.pk for part in parts if part.natural == before]
            for uid in _instance_uids(tx, pks):
                tx.edits.adopt(Level.INSTANCE, f"{uid}{SEPARATOR}{after.below}", (f"{uid}{SEPARATOR}{before.below}",))
    RowRelocation(tx).run(parts, renamed, know=False)


def _goes_over(part: OriginPart, studies: Collection[str], former: str) -> bool:
    """Tell whether a part, or the study that moves gave it to, goes over with studies of a patient.

    Parameters
    ----------
    part : OriginPart
        The part.
    studies : collection of str
        UIDs of the studies.
    former : str
        Id of the patient that they have until then.
    """
    natural = part.natural
    return (natural.patient == former and natural.study in studies) or (
        part.owner == former and part.study_uid in studies
    )


def _instance_uids(tx: Transaction, origins: list[int]) -> set[str]:
    found = set()
    for origin in origins:
        rows = tx.db.execute(
            "SELECT instance.id FROM origin CROSS JOIN instance ON instance.parent = origin.parent"
            " AND instance.origin = origin.pk WHERE origin.pk = ?1 UNION SELECT uid FROM displaced WHERE origin = ?1",
            (origin,),
        )
        found |= {uid_of(entity) for (entity,) in rows}
    return found


def _row(tx: Transaction, study_uid: str, former: str) -> tuple[int, str, int] | None:
    """Find the study: its row, its id and the row of its patient."""
    row = tx.db.execute(
        "SELECT study.pk, study.id, study.parent FROM study JOIN patient ON patient.pk = study.parent"
        " WHERE patient.id = ? AND study.id IN (?, ?)",
        (former, study_uid, key_of(study_uid, former)),
    ).fetchone()
    return row or None


def _take_over_row(tx: Transaction, study_uid: str, former: str, to: str) -> None:
    """Give the row of the study to the patient."""
    row = _row(tx, study_uid, former)
    if row is None:  # deleted by a reindex that goes on
        return
    study, entity, former_row = row
    patient = tx.entities.patient_row(to)
    if patient is None:
        patient = tx.entities.make_patient(to, {})
    key = key_of(study_uid, to)
    tx.db.execute("UPDATE study SET parent = ?, digest = ? WHERE pk = ?", (patient, _digest(key), study))
    _follow(tx, Level.STUDY, study, entity, key_of(study_uid, former), key)
    for series, shown in tx.db.execute("SELECT pk, id FROM series WHERE parent = ?", (study,)).fetchall():
        uid = uid_of(shown)
        _follow_instances(tx, series, (study_uid, uid), former, to)
        key = key_of(uid, to, study_uid)
        below = _digest(key_of("", to, study_uid, uid))
        tx.db.execute("UPDATE series SET digest = ?, below = ? WHERE pk = ?", (_digest(key), below, series))
        _follow(tx, Level.SERIES, series, shown, key_of(uid, former, study_uid), key)
        tx.entities.touch(Level.SERIES, series)
    tx.entities.move_study(study, former_row, patient)


def _follow_instances(tx: Transaction, series: int, above: tuple[str, str], former: str, to: str) -> None:
    """Give the instances of a series that show their keys, or have edits, their new keys."""
    only = "" if tx.edits.any else f" AND instr(id, '{SEPARATOR}')"
    rows = tx.db.execute(f"SELECT pk, id FROM instance WHERE parent = ?{only}", (series,)).fetchall()
    for pk, entity in rows:
        uid = uid_of(entity)
        _follow(tx, Level.INSTANCE, pk, entity, key_of(uid, former, *above), key_of(uid, to, *above))


def _follow(tx: Transaction, level: Level, pk: int, entity: str, before: str, key: str) -> None:
    tx.edits.adopt(level, key, (before,))
    if is_key(entity):
        tx.ids.rekey(level, pk, key)


def _digest(key: str) -> str:
    return key.rpartition(SEPARATOR)[2]
