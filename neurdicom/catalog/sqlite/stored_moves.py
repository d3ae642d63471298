"""The moves of patients, studies and series, as a writer reads and writes them within one transaction."""

import sqlite3
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import orjson

from neurdicom.catalog.moves import Move, NaturalSeries, Placement, placement_edits, placing, subject_of
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.records import Edit
from neurdicom.catalog.takeover import going_along, renamed
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


@dataclass(frozen=True, slots=True)
class OriginMove:
    """Placement of an origin's instances by moves, stored in the column `moved` of the origin.

    Attributes
    ----------
    natural : NaturalSeries
        Natural path of its files.
    owner : str
        Id of the patient in the key of its study.
    via : tuple of str
        Ids of the edits that placed it there.
    edits : tuple of Edit
        Edits that write that place into its files (`moves.placement_edits`).
    claims : Mapping[str, Value]
        Attributes of the levels above as its files say; the origin's attributes are these with the edits applied.
    """

    natural: NaturalSeries
    owner: str
    via: tuple[str, ...]
    edits: tuple[Edit, ...]
    claims: Mapping[str, Value]

    def to_blob(self) -> bytes:
        """Write the column of the origin."""
        natural = (self.natural.patient, self.natural.study, self.natural.series)
        edits = [edit.to_wire() for edit in self.edits]
        return zlib.compress(to_json([natural, self.owner, self.via, edits, dict(self.claims)]), 1)

    @classmethod
    def from_blob(cls, blob: bytes) -> Self:
        """Read the column that `to_blob` wrote."""
        natural, owner, via, edits, claims = orjson.loads(zlib.decompress(blob))
        made = tuple(Edit(**{**edit, "level": Level(edit["level"])}) for edit in edits)
        return cls(NaturalSeries(*natural), owner, tuple(via), made, claims)


#: Condition of the moves of series, which the index on subjects finds: there are few of them beside those of merges.
_OF_SERIES = r"subject >= 'series\' AND subject < 'series]'"


class MoveTable:
    """Table of the moves in force, and of the demographics of patients that something was moved to.

    Attributes
    ----------
    any : bool
        True if there are any.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.any = db.execute("SELECT 1 FROM move LIMIT 1").fetchone() is not None

    def of(self, subject: str) -> list[Move]:
        """List the moves of a subject (`moves.subject_of`) in the order in which they were made."""
        rows = self._db.execute("SELECT document FROM move WHERE subject = ? ORDER BY number", (subject,))
        return [Move.from_document(orjson.loads(document)) for (document,) in rows]

    def placement(self, natural: NaturalSeries) -> Placement:
        """Find where a natural series lies."""
        if not self.any:
            return Placement(natural.patient, natural.study, natural.patient)
        search = placing(natural)
        subject = next(search)
        while True:
            try:
                subject = search.send(self.of(subject))
            except StopIteration as found:
                placement: Placement = found.value
                return placement

    def moved(self, natural: NaturalSeries, placement: Placement, claims: Mapping[str, Value]) -> OriginMove | None:
        """Make the placement of an origin of a natural series; None where no move is in force.

        Parameters
        ----------
        natural : NaturalSeries
            The series.
        placement : Placement
            Where it lies.
        claims : Mapping[str, Value]
            Attributes of the levels above as its files say.
        """
        if not placement.via:
            return None
        edits = placement_edits(natural, placement, self.demographics(placement.patient))
        via = tuple(move.edit for move in placement.via)
        return OriginMove(natural, placement.owner, via, edits, claims)

    def put(self, moves: Sequence[Move]) -> None:
        """Store moves, in the order in which they are made."""
        self._db.executemany(
            "INSERT INTO move VALUES (NULL, ?, ?, ?, ?, ?, ?)",
            [(one.edit, one.subject, "".join(one.path[1:2]), one.study, one.patient, _document(one)) for one in moves],
        )
        self.any = self.any or bool(moves)

    def remove(self, edit: str) -> list[Move]:
        """Delete the moves of an edit, and return them."""
        rows = self._db.execute("SELECT document FROM move WHERE edit = ?", (edit,)).fetchall()
        self._db.execute("DELETE FROM move WHERE edit = ?", (edit,))
        return [Move.from_document(orjson.loads(document)) for (document,) in rows]

    def forget_demographics(self) -> None:
        """Delete the demographics of patients that nothing is moved to any more."""
        self._db.execute("DELETE FROM moved_patient WHERE patient NOT IN (SELECT patient FROM move)")

    def demographics(self, patient: str) -> dict[str, Value] | None:
        """Look up the demographics that files moved to a patient show."""
        row = self._db.execute("SELECT attributes FROM moved_patient WHERE patient = ?", (patient,)).fetchone()
        return None if row is None else orjson.loads(row[0])

    def set_demographics(self, patient: str, attributes: Mapping[str, Value]) -> None:
        """Store the demographics that files moved to a patient show."""
        self._db.execute(
            "INSERT OR REPLACE INTO moved_patient VALUES (?, ?)", (patient, to_json(dict(attributes)).decode())
        )

    def going_along(self, study_uid: str, former: str, to: str) -> set[str]:
        """Find the studies that go over to another patient with one (`takeover.going_along`).

        Parameters
        ----------
        study_uid : str
            UID of the study.
        former, to : str
            Ids of the patient that it had, and of the one that it has from now on.
        """
        rows = self._db.execute(
            f"SELECT document FROM move WHERE {_OF_SERIES} AND document ->> '$.is_split' AND patient IN (?, ?)",
            (former, to),
        )
        splits = [Move.from_document(orjson.loads(document)) for (document,) in rows]
        return going_along(splits, study_uid, former, to)

    def studies_of(self, studies: Collection[str]) -> set[str]:
        """List the UIDs of the studies in which series lie whose files name some studies, by UID: these, and others."""
        rows = self._db.execute(
            "SELECT DISTINCT target_uid FROM move WHERE study_uid IN (SELECT value FROM json_each(?))"
            " AND target_uid <> ''",
            (orjson.dumps(list(studies)).decode(),),
        )
        return {*studies, *(uid for (uid,) in rows)}

    def rename(self, studies: Collection[str], former: str, to: str) -> None:
        """Rename what moves are of, and the studies that series go to, where studies go over to another patient.

        Parameters
        ----------
        studies : collection of str
            UIDs of the studies.
        former, to : str
            Ids of the patient that their files said to be of, and of the one that they are of from now on.
        """
        keys = [key_of(uid, former) for uid in studies]
        rows = self._db.execute(
            "SELECT number, document FROM move WHERE study_uid IN (SELECT value FROM json_each(?1))"
            f" OR target_uid IN (SELECT value FROM json_each(?1)) OR ({_OF_SERIES}"
            " AND document ->> '$.before' IN (SELECT value FROM json_each(?2)))",
            (orjson.dumps(list(studies)).decode(), orjson.dumps(keys).decode()),
        ).fetchall()
        for number, document in rows:
            move = Move.from_document(orjson.loads(document))
            after = renamed(move, studies, former, to)
            if after != move:
                self._db.execute(
                    "UPDATE move SET subject = ?, patient = ?, document = ? WHERE number = ?",
                    (after.subject, after.patient, _document(after), number),
                )

    def of_any(self, subjects: Sequence[str]) -> list[Move]:
        """List the moves of several subjects (`moves.subject_of`), in the order in which they were made."""
        rows = self._db.execute(
            "SELECT document FROM move WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY number",
            (orjson.dumps(list(subjects)).decode(),),
        )
        return [Move.from_document(orjson.loads(document)) for (document,) in rows]

    def at_study(self, keys: Sequence[str]) -> list[Move]:
        """List the moves of series out of a study, and the splits that made it, by its present and earlier keys."""
        rows = self._db.execute(
            f"SELECT document FROM move WHERE {_OF_SERIES} AND"
            " (document ->> '$.before' IN (SELECT value FROM json_each(?1)) OR (document ->> '$.is_split'"
            " AND document ->> '$.after' IN (SELECT value FROM json_each(?1)))) ORDER BY number",
            (orjson.dumps(list(keys)).decode(),),
        )
        return [Move.from_document(orjson.loads(document)) for (document,) in rows]

    def merges_into(self, patient: str) -> list[Move]:
        """List the merges of other patients into one."""
        rows = self._db.execute(
            "SELECT document FROM move WHERE patient = ? AND document ->> '$.level' = 'patient' ORDER BY number",
            (patient,),
        )
        return [Move.from_document(orjson.loads(document)) for (document,) in rows]

    def merged_into(self, patient: str) -> str | None:
        """Follow the merges of an absent patient to one that is there; None if there is none."""
        seen = set()
        while self._db.execute("SELECT 1 FROM patient WHERE id = ?", (patient,)).fetchone() is None:
            seen.add(patient)
            moves = self.of(subject_of(Level.PATIENT, patient))
            if not moves or moves[-1].patient in seen:
                return None
            patient = moves[-1].patient
        return patient if seen else None


def _document(move: Move) -> str:
    return to_json(move.to_document()).decode()
