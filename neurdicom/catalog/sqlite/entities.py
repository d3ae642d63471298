"""Rows of patients, studies, series and origins: making them, counting, and taking away what is left empty."""

import sqlite3
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import orjson

from neurdicom.catalog.claims import OriginClaims
from neurdicom.catalog.moves import claims_with
from neurdicom.catalog.projection import indexed, sort_values, to_json
from neurdicom.catalog.records import Edit
from neurdicom.catalog.shown import ShownAttributes, carried, merged, of_latest
from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.holdings import settle
from neurdicom.catalog.sqlite.lookup import KEY, key_range
from neurdicom.catalog.sqlite.origins import OriginRow, origin_at
from neurdicom.catalog.sqlite.parts import has_moved
from neurdicom.catalog.sqlite.places import Decision
from neurdicom.catalog.sqlite.refresh import adds_nothing, refresh
from neurdicom.catalog.sqlite.rows import CHOSEN, add_keys, json_of, marks, remove_keys
from neurdicom.catalog.sqlite.settle import settle_series_key, settle_study_key
from neurdicom.catalog.sqlite.shown_ids import ShownIds
from neurdicom.catalog.sqlite.stored_moves import MoveTable
from neurdicom.dicom.identity import SEPARATOR, earlier_keys, uid_of
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value

COMPRESSION = 1


class Entities:
    """Writer of the levels above the instance, within one transaction.

    Counts are added up, and what entities show is recomputed, in `finish`.
    """

    def __init__(self, db: sqlite3.Connection, edits: StoredEdits, ids: ShownIds, moves: MoveTable) -> None:
        self._db = db
        self._edits = edits
        self._ids = ids
        self._moves = moves
        self._images: dict[tuple[Level, int], int] = defaultdict(int)
        self._children: dict[tuple[Level, int], int] = defaultdict(int)
        self._totals: dict[Level, int] = defaultdict(int)
        self._dirty: dict[Level, set[int]] = {level: set() for level in Level}
        self._lost: dict[Level, set[int]] = {level: set() for level in Level}
        self._touched: dict[int, int] = {}

    # -- making ----------------------------------------------------------------------------------------------

    def make_origin(self, claims: OriginClaims, decision: Decision, source: int) -> OriginRow:
        """Insert an origin, and the entities above it that are new.

        Parameters
        ----------
        claims : OriginClaims
            What the arrival says of the levels above.
        decision : Decision
            Where it lies.
        source : int
            Row of the arrival.
        """
        placement, natural = decision.placement, decision.natural
        moved = self._moves.moved(natural, placement, claims.attributes)
        if moved:
            claims = claims.with_attributes(claims_with(claims.attributes, moved.edits))
        if decision.study is not None and decision.series is not None:
            study, series = decision.study, decision.series
        else:
            self._adopt(Level.SERIES, natural.key, decision)
            shown = self._first(Level.SERIES, claims, self._edits.of(Level.SERIES, natural.key))
            modality = shown.values.get("modality")
            if decision.study is None:
                study = self._make_study(claims, decision, source, [modality] if modality else [])
            else:
                study = decision.study
                self._add_modality(study, modality)
            series = self._make(Level.SERIES, natural.key, shown, source, parent=study, below=natural.below)
            self._children[Level.STUDY, study] += 1
        packed = zlib.compress(claims.document, COMPRESSION)
        blob = moved.to_blob() if moved else None
        pk = self._insert(
            "INSERT INTO origin VALUES (NULL, ?, ?, ?, ?, ?)", (claims.digest, series, source, packed, blob)
        )
        for level, known in ((Level.SERIES, decision.series), (Level.STUDY, decision.study)):
            if known is None or known in self._dirty[level]:
                continue
            if not adds_nothing(self._db, level, known, claims.attributes):
                self._dirty[level].add(known)
        if self._moves.any and (moved or has_moved(self._db, study)):
            self.settle_keys([series], [study])
        return origin_at(self._db, pk)

    def settle_keys(self, series: Iterable[int], studies: Iterable[int]) -> None:
        """Recompute the keys and ids of series and studies that moves may have made of several.

        Parameters
        ----------
        series, studies : iterable of int
            Rows of series and studies that have instances.
        """
        for pk in dict.fromkeys(series):
            settle_series_key(self._db, pk)
        for pk in dict.fromkeys(studies):
            settle_study_key(self._db, pk)
        for level, pks in ((Level.SERIES, series), (Level.STUDY, studies)):
            rows = self._db.execute(f"SELECT id FROM {level} WHERE pk {CHOSEN}", json_of(list(pks))).fetchall()
            self._ids.settle(level, {uid_of(entity) for (entity,) in rows})

    def _make_study(self, claims: OriginClaims, decision: Decision, source: int, modalities: Sequence[Value]) -> int:
        placement = decision.placement
        key = placement.study_key
        if key == decision.place.study:  # the claims are on another study otherwise
            self._adopt(Level.STUDY, key, decision)
        demographics = self._edits.of(Level.PATIENT, placement.patient)
        shown = self._first(Level.STUDY, claims, [*demographics, *self._edits.of(Level.STUDY, key)])
        patient = self.patient_row(placement.patient)
        if patient is None:
            patient = self.make_patient(placement.patient, of_latest([shown.values], demographics))
        else:
            self._dirty[Level.PATIENT].add(patient)
        self._children[Level.PATIENT, patient] += 1
        text = orjson.dumps(modalities).decode()
        return self._make(Level.STUDY, key, shown, source, parent=patient, modalities=text)

    def _first(self, level: Level, claims: OriginClaims, edits: Sequence[Edit]) -> ShownAttributes:
        """Compute what the first file of an entity shows."""
        if edits:
            return merged(level, [claims.attributes], edits)
        given = claims.attributes
        return ShownAttributes({each.field: given[each.field] for each in carried(level) if each.field in given})

    def _make(self, level: Level, key: str, shown: ShownAttributes, source: int, **more: object) -> int:
        uid, _, digest = key.partition(SEPARATOR)
        columns = {"id": self._ids.take(level, uid, digest), "digest": digest, "source": source, **more}
        pk = self.insert_row(level, columns, shown.values)
        add_keys(self._db, level, pk, shown.values, shown.others)
        return pk

    def patient_row(self, patient: str) -> int | None:
        """Find the row of a patient by its id."""
        row = self._db.execute("SELECT pk FROM patient WHERE id = ?", (patient,)).fetchone()
        return int(row[0]) if row else None

    def make_patient(self, patient: str, shown: dict[str, Value]) -> int:
        """Insert a patient with the demographics that it shows."""
        return self.insert_row(Level.PATIENT, {"id": patient}, shown)

    def insert_row(self, level: Level, columns: Mapping[str, object], shown: dict[str, Value]) -> int:
        """Insert an entity, which is counted among all of its level; return its row.

        Parameters
        ----------
        level : Level
            Level of the entity.
        columns : Mapping[str, object]
            Values of its columns besides those of attributes.
        shown : dict of str to Value
            What it shows.
        """
        names = [*columns, "attributes", *(f'"{attribute.field}"' for attribute in indexed(level))]
        values = [*columns.values(), to_json(shown), *sort_values(level, shown)]
        self._totals[level] += 1
        return self._insert(f"INSERT INTO {level} ({', '.join(names)}) VALUES ({marks(values)})", values)

    def _insert(self, statement: str, values: Sequence[object]) -> int:
        pk = self._db.execute(statement, values).lastrowid
        if pk is None:
            raise LookupError("a new row has no number")
        return pk

    def _adopt(self, level: Level, key: str, decision: Decision) -> None:
        if self._edits.any:
            uid = uid_of(key)
            between = () if level is Level.STUDY else (decision.natural.study,)
            self._edits.adopt(level, key, (uid, *earlier_keys(uid, decision.claimed, *between)))

    def _add_modality(self, study: int, modality: Value) -> None:
        (row,) = self._db.execute("SELECT modalities FROM study WHERE pk = ?", (study,)).fetchone()
        known = orjson.loads(row)
        if modality and modality not in known:
            self._set_modalities(study, [*known, modality])

    def _set_modalities(self, study: int, modalities: Iterable[Value]) -> None:
        text = orjson.dumps(sorted(map(str, modalities))).decode()
        self._db.execute("UPDATE study SET modalities = ? WHERE pk = ?", (text, study))

    def collect_modalities(self, study: int) -> None:
        """Write the modalities of a study anew, from its series."""
        rows = self._db.execute("SELECT attributes FROM series WHERE parent = ?", (study,)).fetchall()
        found = {orjson.loads(attributes).get("modality") for (attributes,) in rows}
        self._set_modalities(study, found - {None, ""})

    # -- counting --------------------------------------------------------------------------------------------

    def count(self, series: int, study: int, patient: int, change: int) -> None:
        """Count instances that have come or, by a negative number, gone.

        Parameters
        ----------
        series, study, patient : int
            Rows of the entities above them.
        change : int
            How many.
        """
        self._totals[Level.INSTANCE] += change
        self._images[Level.SERIES, series] += change
        self._images[Level.STUDY, study] += change
        self._images[Level.PATIENT, patient] += change

    def uncount(self, series: int) -> None:
        """Subtract an instance that is no longer shown from the counts above it.

        Parameters
        ----------
        series : int
            Row of the series.
        """
        study, patient = self._db.execute(
            "SELECT study.pk, study.parent FROM series JOIN study ON study.pk = series.parent WHERE series.pk = ?",
            (series,),
        ).fetchone()
        self.count(series, study, patient, -1)

    def move_study(self, study: int, former: int, patient: int) -> None:
        """Count a study with its instances at another patient; what all of them show is recomputed.

        Parameters
        ----------
        study : int
            Row of the study.
        former, patient : int
            Rows of the patient that it had, and of the one that it has now.
        """
        self.write_counts()
        (images,) = self._db.execute("SELECT images_count FROM study WHERE pk = ?", (study,)).fetchone()
        for row, sign in ((former, -1), (patient, 1)):
            self._children[Level.PATIENT, row] += sign
            self._images[Level.PATIENT, row] += sign * images
        self._lost[Level.PATIENT].add(former)
        self.touch(Level.STUDY, study)
        for row in (former, patient):
            self.touch(Level.PATIENT, row)

    def add_total(self, level: Level, change: int) -> None:
        """Add to the number of a level's entities, or subtract by a negative number, in `finish`."""
        self._totals[level] += change

    def touch(self, level: Level, pk: int) -> None:
        """Mark an entity, which `finish` recomputes."""
        self._dirty[level].add(pk)

    def touch_origin(self, origin: int, series: int) -> None:
        """Mark an origin that lost an instance, which `finish` checks."""
        self._touched[origin] = series

    def finish(self) -> None:
        """Write the counts, take away what is empty, and recompute what has changed."""
        self.write_counts()
        for origin, series in self._touched.items():
            self._refresh_origin(origin, series)
        for level in (Level.SERIES, Level.STUDY, Level.PATIENT):
            for pk in sorted(self._lost[level]):
                self._remove_if_empty(level, pk)
        self.write_counts()
        if self._moves.any:
            studies = {series: self._parent(Level.SERIES, series) for series in self._touched.values()}
            left = {series: study for series, study in studies.items() if study is not None}
            self.settle_keys(left, left.values())
        collected = set()
        for pk in sorted(self._dirty[Level.SERIES]):
            study = self._parent(Level.SERIES, pk)
            if refresh(self._db, self._edits, Level.SERIES, pk) and study is not None:
                collected.add(study)
        for study in sorted(collected):
            self.collect_modalities(study)
        for pk in sorted(self._dirty[Level.STUDY] | collected):
            patient = self._parent(Level.STUDY, pk)
            if refresh(self._db, self._edits, Level.STUDY, pk) and patient is not None:
                self._dirty[Level.PATIENT].add(patient)
        for pk in sorted(self._dirty[Level.PATIENT]):
            refresh(self._db, self._edits, Level.PATIENT, pk)
        settle(self._db)
        self._touched.clear()
        for rows in (*self._dirty.values(), *self._lost.values()):
            rows.clear()

    def write_counts(self) -> None:
        """Add the collected counts to the rows."""
        for level, pk in self._images.keys() | self._children.keys():
            images, children = self._images.get((level, pk), 0), self._children.get((level, pk), 0)
            if images < 0:
                self._lost[level].add(pk)
            changes = [(name, n) for name, n in zip(reversed(COUNTS[level]), (images, children), strict=False) if n]
            if changes:
                names = ", ".join(f"{name} = {name} + ?" for name, _ in changes)
                self._db.execute(f"UPDATE {level} SET {names} WHERE pk = ?", (*(n for _, n in changes), pk))
        for level, count in self._totals.items():
            if count:
                self._db.execute("UPDATE total SET count = count + ? WHERE level = ?", (count, level))
        self._images.clear()
        self._children.clear()
        self._totals.clear()

    # -- taking away -----------------------------------------------------------------------------------------

    def _refresh_origin(self, origin: int, series: int) -> None:
        """Look for the earliest instance of an origin that lost one; delete it if there is none."""
        (first,) = self._db.execute(
            "SELECT min(pk) FROM (SELECT pk FROM instance WHERE parent = ? AND origin = ?"
            " UNION ALL SELECT pk FROM displaced WHERE origin = ?)",
            (series, origin, origin),
        ).fetchone()
        if first is None:
            changed = self._db.execute("DELETE FROM origin WHERE pk = ?", (origin,))
        else:
            values = (first, origin, first)
            changed = self._db.execute("UPDATE origin SET first = ? WHERE pk = ? AND first <> ?", values)
        if changed.rowcount:
            self._dirty[Level.SERIES].add(series)
            study = self._parent(Level.SERIES, series)
            if study is not None:
                self._dirty[Level.STUDY].add(study)

    def _remove_if_empty(self, level: Level, pk: int) -> None:
        row = self._db.execute(
            f"SELECT id, {KEY[level]} FROM {level} WHERE pk = ? AND images_count = 0", (pk,)
        ).fetchone()
        if row is None:
            return
        entity, key = row
        parent = self._parent(level, pk)
        remove_keys(self._db, level, [pk])
        self._db.execute(f"DELETE FROM {level} WHERE pk = ?", (pk,))
        self._edits.forget(level, [key])
        self._totals[level] -= 1
        if level.parent and parent is not None:
            self._children[level.parent, parent] -= 1
            self._ids.release(level, [entity])
        if level is Level.SERIES and parent is not None:
            self._db.execute("DELETE FROM origin WHERE parent = ?", (pk,))
            self.collect_modalities(parent)
            self._dirty[Level.STUDY].add(parent)
        if level is Level.STUDY and parent is not None:
            self.forget_claims(uid_of(entity))
            self._dirty[Level.PATIENT].add(parent)

    def forget_claims(self, study_uid: str) -> None:
        """Delete the claims of a Study Instance UID of which no instance is left, and which no move names."""
        self._db.execute(
            "DELETE FROM claim WHERE study_uid = ?1"
            " AND NOT EXISTS (SELECT 1 FROM move WHERE move.study_uid = ?1 OR target_uid = ?1)"
            " AND NOT EXISTS (SELECT 1 FROM study WHERE id = ?1 OR (id > ?2 AND id < ?3))",
            (study_uid, *key_range(study_uid)),
        )

    def _parent(self, level: Level, pk: int) -> int | None:
        if level.parent is None:
            return None
        row = self._db.execute(f"SELECT parent FROM {level} WHERE pk = ?", (pk,)).fetchone()
        return int(row[0]) if row else None
