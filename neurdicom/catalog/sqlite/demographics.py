"""Demographics that moves write into the files of a patient."""

import sqlite3
import zlib
from collections.abc import Iterable

import orjson

from neurdicom.catalog.moves import demographics_of
from neurdicom.catalog.shown import LATEST_STUDIES, merged, of_latest
from neurdicom.catalog.sqlite.parts import OriginPart, has_files, parts_below
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


def know_demographics(tx: Transaction, patient: str) -> None:
    """Store the demographics of a patient for the files that are moved there, unless they are stored already.

    They come from the files that name the patient, edits not applied.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    patient : str
        Id of the patient.
    """
    if tx.moves.demographics(patient) is not None:
        return
    studies = tx.db.execute(
        "SELECT pk FROM study WHERE parent = ? ORDER BY study_date DESC, study_time DESC, source DESC LIMIT ?",
        (tx.entities.patient_row(patient), LATEST_STUDIES),
    ).fetchall()
    said = []
    for (study,) in studies:
        inside = parts_below(tx.db, Level.STUDY, study)
        own = [part for part in inside if part.natural.patient == patient and has_files(tx.db, part)]
        said.append(merged(Level.STUDY, claims_of_parts(tx.db, own)).values)
    tx.moves.set_demographics(patient, demographics_of(of_latest(said)))


def claims_of_parts(db: sqlite3.Connection, parts: Iterable[OriginPart]) -> list[dict[str, Value]]:
    """Look up the attributes that the files of parts show of the levels above.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    parts : iterable of OriginPart
        The parts.
    """
    found = []
    for part in parts:
        (packed,) = db.execute("SELECT attributes FROM origin WHERE pk = ?", (part.pk,)).fetchone()
        found.append(orjson.loads(zlib.decompress(packed)))
    return found
