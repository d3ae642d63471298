"""Rows of origins, with those of the entities above."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from neurdicom.catalog.moves import NaturalSeries
from neurdicom.catalog.sqlite.stored_moves import OriginMove
from neurdicom.dicom.identity import SEPARATOR, Place, uid_of

_SELECT = (
    "SELECT origin.pk, series.pk, study.pk, study.parent, patient.id, study.id, study.digest, series.id, series.digest,"
    " series.below, origin.moved FROM origin JOIN series ON series.pk = origin.parent"
    " JOIN study ON study.pk = series.parent JOIN patient ON patient.pk = study.parent"
)


@dataclass(frozen=True, slots=True)
class OriginRow:
    """Row of an origin, and those of the entities above.

    Attributes
    ----------
    pk, series, study, patient : int
        The rows.
    natural : NaturalSeries
        Where its files say that they lie.
    place : Place
        Keys of its patient, study and series where they lie; that of an instance is made of its UID and `below`.
    below : str
        Digest in the keys of its instances.
    series_below : str
        That of the instances of the series that were not moved there.
    """

    pk: int
    series: int
    study: int
    patient: int
    natural: NaturalSeries
    place: Place
    below: str
    series_below: str

    def place_of(self, instance: str) -> Place:
        """Return the place of an instance by its UID."""
        return replace(self.place, instance=f"{instance}{SEPARATOR}{self.below}")


def find_origin(db: sqlite3.Connection, digest: bytes) -> OriginRow | None:
    """Look up the origin of claims by their digest."""
    row = db.execute(f"{_SELECT} WHERE origin.digest = ?", (digest,)).fetchone()
    return _origin_row(row) if row else None


def origin_at(db: sqlite3.Connection, pk: int) -> OriginRow:
    """Return the origin in a row."""
    return _origin_row(db.execute(f"{_SELECT} WHERE origin.pk = ?", (pk,)).fetchone())


def _origin_row(row: Sequence[Any]) -> OriginRow:
    """Read a row of `_SELECT`."""
    pk, series, study, patient, patient_id, study_id, study_digest, series_id, series_digest, series_below, blob = row
    study_uid, series_uid = uid_of(study_id), uid_of(series_id)
    if blob is None:
        natural, below = NaturalSeries(patient_id, study_uid, series_uid), series_below
    else:
        natural = OriginMove.from_blob(blob).natural
        below = natural.below
    study_key, series_key = f"{study_uid}{SEPARATOR}{study_digest}", f"{series_uid}{SEPARATOR}{series_digest}"
    place = Place(patient_id, study_key, series_key, "")
    return OriginRow(pk, series, study, patient, natural, place, below, series_below)
