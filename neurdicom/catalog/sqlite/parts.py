"""Parts: the origins of an entity, with their natural and their present places."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from neurdicom.catalog.moves import NaturalSeries, canonical
from neurdicom.catalog.sqlite.stored_moves import OriginMove
from neurdicom.dicom.identity import key_of, uid_of
from neurdicom.dicom.query.attributes import Level


@dataclass(frozen=True, slots=True)
class OriginPart:
    """Origin with the natural place of its files, and the place where they lie.

    Attributes
    ----------
    pk, series, study, patient : int
        Its row, and those above it.
    natural : NaturalSeries
        Natural path of its files.
    owner : str
        Id of the patient in the key of its study.
    study_uid, patient_id : str
        UID of the study and id of the patient where it lies.
    moved : OriginMove or None
        Placement by moves.
    """

    pk: int
    series: int
    study: int
    patient: int
    natural: NaturalSeries
    owner: str
    study_uid: str
    patient_id: str
    moved: OriginMove | None

    @property
    def is_unmoved(self) -> bool:
        """True if it lies in its natural place."""
        return (self.patient_id, self.study_uid) == (self.natural.patient, self.natural.study)

    def key(self, level: Level) -> str:
        """Return the natural key that it gives its study or series."""
        return self.natural.key if level is Level.SERIES else key_of(self.study_uid, self.owner)

    def is_in_place(self, level: Level) -> bool:
        """Tell whether its study or series, by the natural key that it gives, lies under its natural parent."""
        return self.is_unmoved if level is Level.SERIES else self.owner == self.patient_id


_SELECT = (
    "SELECT origin.pk, origin.moved, series.pk, series.id, study.pk, study.id, patient.pk, patient.id FROM"
    " {tables} WHERE {condition} ORDER BY origin.first"
)
_TABLES = {
    Level.SERIES: "series CROSS JOIN origin ON origin.parent = series.pk"
    " CROSS JOIN study ON study.pk = series.parent CROSS JOIN patient ON patient.pk = study.parent",
    Level.STUDY: "study CROSS JOIN series ON series.parent = study.pk CROSS JOIN origin ON origin.parent = series.pk"
    " CROSS JOIN patient ON patient.pk = study.parent",
    Level.PATIENT: "patient CROSS JOIN study ON study.parent = patient.pk CROSS JOIN series ON series.parent = study.pk"
    " CROSS JOIN origin ON origin.parent = series.pk",
}


def parts_below(db: sqlite3.Connection, level: Level, pk: int) -> list[OriginPart]:
    """List the origins below a patient, study or series, by the arrival of their earliest instances.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    level : Level
        Level of the entity.
    pk : int
        Its row.
    """
    return _parts(db.execute(_SELECT.format(tables=_TABLES[level], condition=f"{level}.pk = ?"), (pk,)))


def parts_moved_to(db: sqlite3.Connection, patient: str) -> list[OriginPart]:
    """List the origins that moves have placed at a patient, by the arrival of their earliest instances."""
    condition = "patient.id = ? AND origin.moved IS NOT NULL"
    return _parts(db.execute(_SELECT.format(tables=_TABLES[Level.PATIENT], condition=condition), (patient,)))


def moved_parts(db: sqlite3.Connection) -> list[OriginPart]:
    """List all origins that moves have placed, by the arrival of their earliest instances."""
    tables = "origin CROSS JOIN series ON series.pk = origin.parent CROSS JOIN study ON study.pk = series.parent"
    tables += " CROSS JOIN patient ON patient.pk = study.parent"
    return _parts(db.execute(_SELECT.format(tables=tables, condition="origin.moved IS NOT NULL")))


def has_moved(db: sqlite3.Connection, study: int) -> bool:
    """Tell whether moves have placed anything in a study, by its row."""
    found = db.execute(
        "SELECT 1 FROM series CROSS JOIN origin ON origin.parent = series.pk"
        " WHERE series.parent = ? AND origin.moved IS NOT NULL LIMIT 1",
        (study,),
    )
    return found.fetchone() is not None


def has_files(db: sqlite3.Connection, part: OriginPart) -> bool:
    """Tell whether a part has any files, shown or displaced; it has none while its only one is replaced."""
    found = db.execute(
        "SELECT 1 FROM instance WHERE parent = ?1 AND origin = ?2"
        " UNION ALL SELECT 1 FROM displaced WHERE origin = ?2 LIMIT 1",
        (part.series, part.pk),
    )
    return found.fetchone() is not None


def keys_by(level: Level, parts: Sequence[OriginPart]) -> list[str]:
    """List the natural keys that parts give their study or series, the canonical one first.

    Parameters
    ----------
    level : Level
        Level of the entity.
    parts : sequence of OriginPart
        Its parts, by the arrival of their earliest instances; none while the only one of its files is replaced.
    """
    if not parts:
        return []
    first = canonical((part.key(level), part.is_in_place(level)) for part in parts)
    return list(dict.fromkeys([first, *(part.key(level) for part in parts)]))


def displaced_keys(db: sqlite3.Connection, series: Iterable[int]) -> dict[tuple[int, str], list[str]]:
    """Map instances with displaced files, by row of the series and UID, to the natural keys of these files.

    Parameters
    ----------
    db : sqlite3.Connection
        A connection.
    series : iterable of int
        Rows of series.
    """
    rows = db.execute(
        "SELECT parent, uid, digest FROM displaced WHERE parent IN (SELECT value FROM json_each(?)) ORDER BY pk DESC",
        (orjson.dumps(list(series)).decode(),),
    )
    found: dict[tuple[int, str], list[str]] = {}
    for parent, uid, digest in rows:
        found.setdefault((parent, uid), []).append(f"{uid}~{digest}")
    return found


def _parts(rows: Iterable[Sequence[object]]) -> list[OriginPart]:
    found = []
    for pk, blob, series, series_id, study, study_id, patient, patient_id in rows:
        moved = OriginMove.from_blob(blob) if isinstance(blob, bytes) else None
        study_uid = uid_of(str(study_id))
        natural = moved.natural if moved else NaturalSeries(str(patient_id), study_uid, uid_of(str(series_id)))
        owner = moved.owner if moved else str(patient_id)
        found.append(
            OriginPart(
                int(str(pk)),
                int(str(series)),
                int(str(study)),
                int(str(patient)),
                natural,
                owner,
                study_uid,
                str(patient_id),
                moved,
            )
        )
    return found
