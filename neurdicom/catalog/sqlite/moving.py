"""Merges, moves and splits: making, undoing and listing them, each within one transaction."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace

import orjson

from neurdicom.catalog.moves import (
    DisplacedFile,
    Move,
    MovedSeries,
    MoveRequest,
    demographics_of,
    study_values,
    subject_of,
)
from neurdicom.catalog.requested_moves import series_moves, study_moves
from neurdicom.catalog.shown import merged
from neurdicom.catalog.sqlite.demographics import claims_of_parts, know_demographics
from neurdicom.catalog.sqlite.lookup import any_moved, keys_of, parts_in, row_of
from neurdicom.catalog.sqlite.parts import OriginPart, keys_by, moved_parts, parts_below, parts_moved_to
from neurdicom.catalog.sqlite.relocation import RowRelocation
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import SEPARATOR, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Conflict, NotFound


class Mover:
    """Writer of the moves of one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._db = tx.db

    def move(self, request: MoveRequest) -> list[MovedSeries]:
        """Move entities, for `MovingCatalog.move`."""
        if request.level is not Level.SERIES:
            request = replace(request, patient=self._patient(request))
        rows = [self._row(request.level, entity) for entity in request.entities]
        parts = [part for row in rows for part in parts_below(self._db, request.level, row)]
        if request.level is Level.SERIES:
            moves, patient = self._series_moves(request, rows, parts)
        else:
            moves, patient = self._study_moves(request, parts), request.patient
        self._know(patient, request)
        self._tx.moves.put(moves)
        if request.demographics is not None:
            parts += parts_moved_to(self._db, patient)
        return RowRelocation(self._tx).run(_whole(self._db, parts))

    def _row(self, level: Level, reference: str) -> int:
        row = row_of(self._db, level, reference)
        if row is None:
            raise NotFound(f"there is no {level} {reference[:80]!r}")
        return row

    def _patient(self, request: MoveRequest) -> str:
        """Return the present id of the patient that a request names, maybe by an earlier one."""
        row = row_of(self._db, Level.PATIENT, request.patient)
        if row is not None:
            (patient,) = self._db.execute("SELECT id FROM patient WHERE pk = ?", (row,)).fetchone()
            return str(patient)
        if request.demographics is None:
            raise NotFound(f"there is no patient {request.patient[:80]!r}")
        return request.patient

    def _study_moves(self, request: MoveRequest, parts: Sequence[OriginPart]) -> list[Move]:
        """Make the moves of a study, or of a patient and its studies."""
        former = parts[0].patient_id
        if former == request.patient:
            raise Conflict(f"the {request.level} {request.entities[0]!r} is there already")
        studies = ((part.owner, part.study_uid) for part in parts)
        return study_moves(request, former, request.patient, studies)

    def _series_moves(
        self, request: MoveRequest, rows: Sequence[int], parts: Sequence[OriginPart]
    ) -> tuple[list[Move], str]:
        """Make the moves of series; return them, and the patient that they go to."""
        here = parts[0]
        if len({part.study for part in parts}) > 1:
            raise Conflict("the series are of several studies; split one study at a time")
        around = parts_below(self._db, Level.STUDY, here.study)
        before = keys_by(Level.STUDY, around)[0]
        if request.is_split:
            if {part.series for part in around} <= set(rows):
                raise Conflict("a split of all series would leave nothing in the study")
            owner, study_uid, patient = here.patient_id, request.study, here.patient_id
            (stored,) = self._db.execute("SELECT attributes FROM study WHERE pk = ?", (here.study,)).fetchone()
            values = study_values(orjson.loads(stored))
        else:
            target = self._row(Level.STUDY, request.study)
            if target == here.study:
                raise Conflict(f"the series {request.entities[0]!r} is there already")
            there = parts_below(self._db, Level.STUDY, target)
            key = keys_by(Level.STUDY, there)[0]
            owner = next(part.owner for part in there if part.key(Level.STUDY) == key)
            study_uid, patient = there[0].study_uid, there[0].patient_id
            values = study_values(merged(Level.STUDY, claims_of_parts(self._db, there)).values)
        naturals = (part.natural for part in parts)
        return series_moves(request, naturals, (owner, study_uid), values, before), patient

    def _know(self, patient: str, request: MoveRequest) -> None:
        """Store the demographics that files moved to a patient show from now on."""
        if request.demographics is not None:
            self._tx.moves.set_demographics(patient, demographics_of(request.demographics))
        else:
            know_demographics(self._tx, patient)

    def undo(self, edit: str) -> list[MovedSeries] | None:
        """Undo moves, for `MovingCatalog.undo_move`."""
        removed = self._tx.moves.remove(edit)
        if not removed:
            return None
        moved = RowRelocation(self._tx).run(_whole(self._db, self._parts_by(removed)))
        self._tx.moves.forget_demographics()
        for study_uid in dict.fromkeys(uid for move in removed for uid in move.studies):
            self._tx.entities.forget_claims(study_uid)
        return moved

    def _parts_by(self, moves: Sequence[Move]) -> list[OriginPart]:
        """List the parts that lie somewhere by the moves of an edit."""
        if any(move.from_now_on for move in moves):
            parts = moved_parts(self._db)  # of any study
        else:
            parts = parts_in(self._db, [move.studies[-1] for move in moves if move.studies])
        return [part for part in parts if part.moved and moves[0].edit in part.moved.via]


def moves_of(db: sqlite3.Connection, level: Level, reference: str) -> list[Move]:
    """List the moves of an entity, for `MovingCatalog.moves`."""
    row = row_of(db, level, reference)
    stored = MoveTable(db)
    if row is None or level is Level.INSTANCE or not stored.any:
        return []
    parts = parts_below(db, level, row)
    if level is Level.PATIENT:
        return stored.merges_into(parts[0].patient_id)
    if level is Level.SERIES:
        naturals = dict.fromkeys(part.natural for part in parts)
        return stored.of_any([subject_of(level, one.patient, one.study, one.series) for one in naturals])
    studies = dict.fromkeys((part.owner, part.study_uid) for part in parts)
    found = stored.of_any([subject_of(level, *path) for path in studies])
    return sorted((*found, *stored.at_study(keys_of(db, level, row))), key=lambda move: move.time)


def displaced(db: sqlite3.Connection, level: Level, reference: str) -> list[DisplacedFile]:
    """List displaced files, for `MovingCatalog.displaced`."""
    if not any_moved(db) or (row := row_of(db, level, reference)) is None:
        return []
    if level is Level.INSTANCE:
        parent, entity = db.execute("SELECT parent, id FROM instance WHERE pk = ?", (row,)).fetchone()
        series, uids = [parent], {uid_of(entity)}
    else:
        series, uids = list({part.series for part in parts_below(db, level, row)}), None
    rows = db.execute(
        f"SELECT uid, digest, blob_key, size, sha256, received FROM displaced WHERE parent {CHOSEN}"
        " ORDER BY received DESC, pk DESC",
        json_of(series),
    )
    return [
        DisplacedFile(f"{uid}{SEPARATOR}{digest}", BlobRef(*blob), received)
        for uid, digest, *blob, received in rows
        if uids is None or uid in uids
    ]


def _whole(db: sqlite3.Connection, parts: Iterable[OriginPart]) -> list[OriginPart]:
    """Complete some parts to all parts of their natural series, each of which lies in one series."""
    wanted = {part.natural for part in parts}
    series = dict.fromkeys(part.series for part in parts)
    return [part for pk in series for part in parts_below(db, Level.SERIES, pk) if part.natural in wanted]
