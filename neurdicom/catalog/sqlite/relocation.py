"""Relocation of natural series: their instances go to the series, study and patient where moves place them."""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import orjson

from neurdicom.catalog.moves import MovedSeries, NaturalSeries, Placement, claims_with
from neurdicom.catalog.projection import to_json
from neurdicom.catalog.sqlite.demographics import know_demographics
from neurdicom.catalog.sqlite.displaced import apply_edits, settle_displaced
from neurdicom.catalog.sqlite.entities import COMPRESSION
from neurdicom.catalog.sqlite.lookup import KEY
from neurdicom.catalog.sqlite.parts import OriginPart, parts_moved_to
from neurdicom.catalog.sqlite.rows import CHOSEN, json_of, remove_keys
from neurdicom.catalog.sqlite.settle import settle_series_key, settle_study_key
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.identity import SEPARATOR, uid_of
from neurdicom.dicom.query.attributes import COUNTS, Level
from neurdicom.dicom.query.conditions import Value


@dataclass(frozen=True, slots=True)
class _Group:
    """Parts of a natural series, which lie in one series."""

    natural: NaturalSeries
    parts: Sequence[OriginPart]

    @property
    def pks(self) -> list[int]:
        return [part.pk for part in self.parts]


class RowRelocation:
    """Relocation of natural series within one transaction.

    Parameters
    ----------
    tx : Transaction
        The transaction, in which the moves are stored already.
    """

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._db = tx.db
        self._rows: dict[Level, set[int]] = {level: set() for level in (Level.PATIENT, Level.STUDY, Level.SERIES)}
        self._uids: dict[Level, set[str]] = {Level.STUDY: set(), Level.SERIES: set()}

    def run(
        self,
        parts: Iterable[OriginPart],
        renamed: Mapping[NaturalSeries, NaturalSeries] | None = None,
        *,
        know: bool = True,
    ) -> list[MovedSeries]:
        """Place parts again by the moves in force; return the natural series that lie somewhere else than before.

        Parameters
        ----------
        parts : iterable of OriginPart
            All parts of the natural series.
        renamed : Mapping, optional
            New natural paths of those whose study another patient takes over.
        know : bool
            False to leave `know_missing` to the caller.
        """
        self._tx.entities.write_counts()
        groups: dict[NaturalSeries, list[OriginPart]] = {}
        for part in parts:
            groups.setdefault(part.natural, []).append(part)
        before = {natural: self._keys(found[0].series) or ("", "", "") for natural, found in groups.items()}
        now: dict[NaturalSeries, int] = {}
        for natural, found in groups.items():
            after = (renamed or {}).get(natural, natural)
            group = _Group(after, found)
            now[natural] = self._place(group)
            if after is not natural:
                self._rekey(group)
        self._settle()
        if know:
            found_at = {natural: self._keys(series) for natural, series in now.items()}
            know_missing(self._tx, {at[2] for natural, at in found_at.items() if at and at[2] != natural.patient})
        moved = []
        for natural, series in now.items():
            after = (renamed or {}).get(natural, natural)
            found_now = self._keys(series)
            if found_now is None:  # its only file is just being replaced
                continue
            series_key, study, patient = found_now
            if before[natural] != (series_key, study, patient) or after is not natural:
                moved.append(MovedSeries(after.key, series_key, study, patient, before[natural]))
        return moved

    def _keys(self, series: int) -> tuple[str, str, str] | None:
        row = self._db.execute(
            f"SELECT {KEY[Level.SERIES]}, {KEY[Level.STUDY]}, patient.id FROM series JOIN study ON study.pk ="
            " series.parent JOIN patient ON patient.pk = study.parent WHERE series.pk = ?",
            (series,),
        ).fetchone()
        return None if row is None else (row[0], row[1], row[2])

    # -- placing ---------------------------------------------------------------------------------------------

    def _place(self, group: _Group) -> int:
        """Move a natural series to the series where it lies from now on; return the row of that."""
        here = group.parts[0]
        placement = self._tx.moves.placement(group.natural)
        for level, pk in ((Level.SERIES, here.series), (Level.STUDY, here.study), (Level.PATIENT, here.patient)):
            self._rows[level].add(pk)
        self._uids[Level.STUDY] |= {here.study_uid, placement.study}
        self._uids[Level.SERIES].add(group.natural.series)
        study = self._study_row(placement, here)
        self._rows[Level.STUDY].add(study)
        series = here.series
        if study != here.study:
            target = self._child(Level.SERIES, group.natural.series, study)
            if target is None and self._is_alone(here.series, group.pks):
                self._db.execute("UPDATE series SET parent = ? WHERE pk = ?", (study, here.series))
            else:
                series = target or self._make(Level.SERIES, group.natural.series, study, here, below="")
                self._give(group.pks, series)
            self._rows[Level.SERIES].add(series)
        self._write_origins(group, placement)
        return series

    def _study_row(self, placement: Placement, here: OriginPart) -> int:
        if (here.patient_id, here.study_uid) == (placement.patient, placement.study):
            return here.study
        patient = self._tx.entities.patient_row(placement.patient)
        if patient is None:
            patient = self._tx.entities.make_patient(placement.patient, {})
        self._rows[Level.PATIENT].add(patient)
        return self._child(Level.STUDY, placement.study, patient) or self._make(
            Level.STUDY, placement.study, patient, here, modalities="[]"
        )

    def _child(self, level: Level, uid: str, parent: int) -> int | None:
        found = self._tx.ids.namesakes(level, uid, all_of_them=True)
        return next((one.pk for one in found if one.parent == parent), None)

    def _make(self, level: Level, uid: str, parent: int, here: OriginPart, **more: object) -> int:
        """Insert a study or series without attributes, with a temporary id that `_settle` replaces."""
        (source,) = self._db.execute("SELECT first FROM origin WHERE pk = ?", (here.pk,)).fetchone()
        columns = {"id": self._tx.ids.placeholder(uid), "parent": parent, "digest": "", "source": source, **more}
        return self._tx.entities.insert_row(level, columns, {})

    def _is_alone(self, series: int, origins: Sequence[int]) -> bool:
        (others,) = self._db.execute(
            f"SELECT count(*) FROM origin WHERE parent = ? AND pk NOT {CHOSEN}", (series, *json_of(list(origins)))
        ).fetchone()
        return not others

    def _give(self, origins: Sequence[int], series: int) -> None:
        """Move the instances of origins, shown and displaced, to a series."""
        chosen = json_of(list(origins))
        for (former,) in self._db.execute(f"SELECT DISTINCT parent FROM origin WHERE pk {CHOSEN}", chosen).fetchall():
            for table in ("instance", "displaced"):
                self._db.execute(
                    f"UPDATE {table} SET parent = ? WHERE parent = ? AND origin {CHOSEN}", (series, former, *chosen)
                )
        self._db.execute(f"UPDATE origin SET parent = ? WHERE pk {CHOSEN}", (series, *chosen))

    def _rekey(self, group: _Group) -> None:
        """Give the instances of a natural series whose path has changed their new keys."""
        below, chosen = group.natural.below, json_of(group.pks)
        self._db.execute(f"UPDATE displaced SET digest = ? WHERE origin {CHOSEN}", (below, *chosen))
        rows = self._db.execute(
            f"SELECT instance.pk, instance.id FROM origin CROSS JOIN instance ON instance.parent = origin.parent AND"
            f" instance.origin = origin.pk WHERE origin.pk {CHOSEN} AND instr(instance.id, '{SEPARATOR}')",
            chosen,
        ).fetchall()
        for pk, entity in rows:
            self._tx.ids.rekey(Level.INSTANCE, pk, f"{uid_of(entity)}{SEPARATOR}{below}")

    def _write_origins(self, group: _Group, placement: Placement) -> None:
        """Write the attributes that files show where they lie, and the original ones, for an undo."""
        for part in group.parts:
            claims = part.moved.claims if part.moved else self._attributes(part.pk)
            moved = self._tx.moves.moved(group.natural, placement, claims)
            if moved is None and part.moved is None:
                continue
            shown = claims_with(claims, moved.edits if moved else ())
            values = (zlib.compress(to_json(shown), COMPRESSION), moved.to_blob() if moved else None, part.pk)
            self._db.execute("UPDATE origin SET attributes = ?, moved = ? WHERE pk = ?", values)

    def _attributes(self, origin: int) -> dict[str, Value]:
        (packed,) = self._db.execute("SELECT attributes FROM origin WHERE pk = ?", (origin,)).fetchone()
        found: dict[str, Value] = orjson.loads(zlib.decompress(packed))
        return found

    # -- settling --------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Delete empty rows, and recompute keys, ids, counts and attributes of all others that were touched."""
        series = self._left(Level.SERIES, "origin")
        for pk in series:
            settle_series_key(self._db, pk)
        growth = sum(settle_displaced(self._tx, pk) for pk in series)
        self._tx.entities.add_total(Level.INSTANCE, growth)
        for pk in series if self._tx.edits.any else ():
            apply_edits(self._tx, pk)
        studies = self._left(Level.STUDY, "series")
        for pk in studies:
            settle_study_key(self._db, pk)
        for level, uids in self._uids.items():
            self._tx.ids.settle(level, uids)
        self._count(Level.SERIES, series, "(SELECT count(*) FROM instance WHERE parent = series.pk)")
        below = "(SELECT coalesce(sum(images_count), 0) FROM {0} WHERE parent = {1}.pk)"
        children = "(SELECT count(*) FROM {0} WHERE parent = {1}.pk)"
        self._count(Level.STUDY, studies, children.format("series", "study"), below.format("series", "study"))
        patients = self._left(Level.PATIENT, "study")
        self._count(Level.PATIENT, patients, children.format("study", "patient"), below.format("study", "patient"))
        for level, pks in ((Level.SERIES, series), (Level.STUDY, studies), (Level.PATIENT, patients)):
            for pk in pks:
                self._tx.entities.touch(level, pk)
        for pk in studies:
            self._tx.entities.collect_modalities(pk)
        self._tx.entities.finish()
        self._tx.ids.changed = True

    def _left(self, level: Level, below: str) -> list[int]:
        """Delete the touched rows of a level that are empty; return the others."""
        left = []
        for pk in sorted(self._rows[level]):
            if self._db.execute(f"SELECT 1 FROM {below} WHERE parent = ? LIMIT 1", (pk,)).fetchone():
                left.append(pk)
                continue
            remove_keys(self._db, level, [pk])
            gone = self._db.execute(f"DELETE FROM {level} WHERE pk = ?", (pk,)).rowcount
            self._tx.entities.add_total(level, -gone)
        return left

    def _count(self, level: Level, pks: Sequence[int], *counts: str) -> None:
        names = COUNTS[level]
        terms = ", ".join(f"{name} = {count}" for name, count in zip(names, counts, strict=True))
        self._db.execute(f"UPDATE {level} SET {terms} WHERE pk {CHOSEN}", json_of(list(pks)))


def know_missing(tx: Transaction, patients: Iterable[str]) -> None:
    """Write the demographics of patients into the files moved to them, if they were unknown until now.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    patients : iterable of str
        Ids of the patients.
    """
    for patient in sorted(one for one in patients if tx.moves.demographics(one) is None):
        parts = [part for part in parts_moved_to(tx.db, patient) if part.natural.patient != patient]
        if parts:
            know_demographics(tx, patient)
            RowRelocation(tx).run(parts, know=False)


def renamed_paths(
    parts: Iterable[OriginPart], studies: Collection[str], former: str, to: str
) -> dict[NaturalSeries, NaturalSeries]:
    """Map the natural series of studies that go over to another patient to those that they are from now on.

    Parameters
    ----------
    parts : iterable of OriginPart
        Parts of any studies.
    studies : collection of str
        UIDs of the studies.
    former, to : str
        Ids of the patient that they had, and of the one that they have from now on.
    """
    of = [part.natural for part in parts if part.natural.patient == former and part.natural.study in studies]
    return {natural: replace(natural, patient=to) for natural in of}
