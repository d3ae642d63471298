"""Storing, editing and deleting: the work of one write transaction.

An arrival whose claims are known changes no attribute above it: it is looked up by one digest, inserted and counted.
"""

import sqlite3
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from neurdicom.catalog.claims import OriginClaims, with_edits
from neurdicom.catalog.outcomes import KEEP_ALL, Refusal, Status, StoreOutcome, StorePolicy
from neurdicom.catalog.projection import sort_values, to_json
from neurdicom.catalog.records import NewInstance
from neurdicom.catalog.sqlite.edits import StoredEdits
from neurdicom.catalog.sqlite.entities import COMPRESSION, Entities, OriginRow
from neurdicom.catalog.sqlite.lookup import KEY, TABLES, key_range, row_of, shared
from neurdicom.catalog.sqlite.places import Decision, decide, refusal_of
from neurdicom.catalog.sqlite.rows import CHOSEN, add_keys, json_of, marks, remove_keys
from neurdicom.catalog.sqlite.schema import has_keys
from neurdicom.catalog.sqlite.shown_ids import Namesake, ShownIds
from neurdicom.catalog.sqlite.takeover import take_over
from neurdicom.dicom.identity import SEPARATOR, PatientClaim, Place, earlier_keys, is_key, uid_of
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value

_OWN_FIELDS = [attribute.field for attribute in AT_LEVEL[Level.INSTANCE] if attribute.field != "sop_instance_uid"]


@dataclass(frozen=True, slots=True)
class _Stored:
    """An instance that is there, in the place of an arrival."""

    pk: int
    parent: int
    origin: int
    sha256: str
    blob: str
    id: str


class Writer:
    """Writer of one transaction on a connection.

    Parameters
    ----------
    db : sqlite3.Connection
        The writer's connection.
    pack : callable, optional
        Compresses headers.
    """

    def __init__(
        self, db: sqlite3.Connection, pack: Callable[[bytes], bytes] = lambda header: zlib.compress(header, COMPRESSION)
    ) -> None:
        self._db = db
        self._pack = pack
        self._edits = StoredEdits(db)
        self._ids = ShownIds(db)
        self._entities = Entities(db, self._edits, self._ids)
        self._origins: dict[bytes, OriginRow] = {}
        self._former: dict[int, tuple[str, ...]] = {}

    @property
    def renamed(self) -> bool:
        """Tell whether a reference may name something else than before."""
        return self._ids.changed

    # -- storing ---------------------------------------------------------------------------------------------

    def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        """Store arrivals in order."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'instance'").fetchone()
        first = (last[0] if last else 0) + 1
        outcomes = [self._store_one(pk, new, policy) for pk, new in enumerate(arrivals, first)]
        self._entities.finish()
        return self._with_shared(outcomes)

    def _store_one(self, pk: int, new: NewInstance, policy: StorePolicy) -> StoreOutcome:
        claims = OriginClaims.from_arrival(new)
        origin = self._origins.get(claims.digest) or self._entities.find_origin(claims.digest)
        decision: Decision | None = None
        if origin is None:
            decision = decide(self._db, self._ids, new, policy)
            place, series = decision.place, decision.series
        else:
            self._origins[claims.digest] = origin
            place, series = Place.of(origin.patient_id, new.study, new.series, new.instance), origin.series
        # Until the arrival is stored its study is with the patient that it had.
        former = decision.moved_from if decision else None
        present = Place.of(former, new.study, new.series, new.instance) if former else place
        old, alone = self._find(present, series)
        if old is not None and (left_out := self._left_out(old, new, policy, present)):
            return left_out
        refusal = decision.refusal if decision else self._meets_another(place, policy, old, alone)
        if refusal:
            return self._unstored("conflict", new, None, refusal)
        if old is not None:
            self._take_out(old)
        if decision is not None:
            origin = self._make(claims, decision, new, pk)
        if origin is None:
            raise LookupError(f"the instance {new.instance} has no origin")
        if old is not None:
            shown = place.instance if is_key(old.id) else old.id
            self._entities.count(origin.series, origin.study, origin.patient, -1)
        else:
            shown = new.instance if alone else self._ids.take(Level.INSTANCE, *_parts(place.instance))
        self._insert(pk, shown, place, origin, new)
        if old is None:
            return StoreOutcome("stored", None, place)
        unused = None if old.blob == new.blob.key else old.blob
        aside = policy.place_of("replaced", unused) if unused else ""
        self._add_garbage([unused] if unused else [], aside)
        return StoreOutcome("replaced", unused, place, aside=aside, previous=old.sha256)

    def _find(self, place: Place, series: int | None) -> tuple[_Stored | None, bool]:
        """Find the instance in a place, and tell whether its UID is nowhere else."""
        uid = uid_of(place.instance)
        select = "SELECT pk, parent, origin, sha256, blob_key, id FROM instance WHERE id = ?"
        row = self._db.execute(select, (uid,)).fetchone()
        if row is None and self._ids.any_shared(Level.INSTANCE):
            row = self._db.execute(select, (place.instance,)).fetchone()
            if row is None:
                low, high = key_range(uid)
                others = self._db.execute("SELECT 1 FROM instance WHERE id > ? AND id < ? LIMIT 1", (low, high))
                return None, others.fetchone() is None
        if row is None:
            return None, True
        found = _Stored(*row)
        return (found, True) if found.parent == series else (None, False)

    def _left_out(self, old: _Stored, new: NewInstance, policy: StorePolicy, place: Place) -> StoreOutcome | None:
        """Return the outcome for an arrival that an instance in its place stays instead of."""
        if old.sha256 == new.blob.sha256:
            return self._unstored("duplicate", new, place)
        if policy.same_instance in ("keep", "earlier"):
            return self._unstored("kept", new, place, aside=policy.place_of("kept", new.blob.key))
        if policy.same_instance == "refuse":
            holder = Namesake(old.pk, old.parent, old.id, "")
            refusal = refusal_of(self._db, Level.INSTANCE, [holder], same_place=True)
            return self._unstored("conflict", new, None, refusal)
        return None

    def _meets_another(self, place: Place, policy: StorePolicy, old: _Stored | None, alone: bool) -> Refusal | None:
        """Refuse an instance of a known series whose UID is elsewhere, where the policy or a digest forbids it."""
        if old is not None or alone:
            return None
        uid, digest = _parts(place.instance)
        others = self._ids.namesakes(Level.INSTANCE, uid)
        same_key = [one for one in others if one.digest == digest]
        if same_key or policy.conflicts == "refuse":
            return refusal_of(self._db, Level.INSTANCE, same_key or others)
        return None

    def _unstored(
        self, status: Status, new: NewInstance, place: Place | None, refusal: Refusal | None = None, aside: str = ""
    ) -> StoreOutcome:
        used = self._db.execute("SELECT 1 FROM instance WHERE blob_key = ?", (new.blob.key,)).fetchone()
        unused = None if used else new.blob.key  # in use where a file is stored again, as by a reindex
        self._add_garbage([unused] if unused else [], aside)
        return StoreOutcome(status, unused, place, refusal, aside if unused else "")

    def _make(self, claims: OriginClaims, decision: Decision, new: NewInstance, pk: int) -> OriginRow:
        """Write what an arrival of an unknown origin changes above it."""
        patient = decision.place.patient
        if decision.moved_from:
            take_over(self._db, self._entities, self._edits, self._ids, new.study, decision.moved_from, patient)
            self._origins.clear()
        if not decision.known:
            claim = decision.claim
            self._db.execute(
                "INSERT INTO claim SELECT ?, ?, ?, ?, ?, coalesce(max(number), 0) + 1 FROM claim WHERE study_uid = ?",
                (new.study, claim.key, claim.patient_id, claim.issuer, patient, new.study),
            )
            self._former.clear()
        origin = self._origins[claims.digest] = self._entities.make_origin(claims, decision, pk)
        return origin

    def _insert(self, pk: int, shown: str, place: Place, origin: OriginRow, new: NewInstance) -> None:
        given = new.attributes
        attributes: dict[str, Value] = {
            field: value for field in _OWN_FIELDS if (value := given.get(field)) is not None
        }
        if self._edits.any:
            self._edits.adopt(Level.INSTANCE, place.instance, (new.instance, *self._former_keys(origin, new)))
            attributes = with_edits(attributes, self._edits.of(Level.INSTANCE, place.instance))
        blob = new.blob
        own = (pk, shown, origin.series, origin.pk, blob.key, blob.size, blob.sha256, new.received)
        values = (*own, to_json(dict(new.layout)), to_json(attributes), *sort_values(Level.INSTANCE, attributes))
        self._db.execute(f"INSERT INTO instance VALUES ({marks(values)})", values)
        add_keys(self._db, Level.INSTANCE, pk, attributes)
        self._db.execute("INSERT INTO header VALUES (?, ?)", (pk, self._pack(new.header)))
        # A reindex may store a blob again that was garbage: it is in use now.
        self._db.execute("DELETE FROM garbage WHERE key = ?", (blob.key,))
        self._entities.count(origin.series, origin.study, origin.patient, 1)

    def _former_keys(self, origin: OriginRow, new: NewInstance) -> list[str]:
        """List the keys that an instance had by the claims on its study."""
        digests = self._former.get(origin.series)
        if digests is None:
            rows = self._db.execute(
                "SELECT key FROM claim WHERE study_uid = ? AND patient = ?", (origin.study_uid, origin.patient_id)
            )
            claims = [PatientClaim(key) for (key,) in rows]
            keys = earlier_keys("", claims, new.study, new.series)
            digests = self._former[origin.series] = tuple(key.rpartition(SEPARATOR)[2] for key in keys)
        return [f"{new.instance}{SEPARATOR}{digest}" for digest in digests]

    def _take_out(self, old: _Stored) -> None:
        """Remove an instance that another of its place replaces; its edits stay."""
        self._remove_rows([old.pk])
        self._entities.touch_origin(old.origin, old.parent)

    def _with_shared(self, outcomes: list[StoreOutcome]) -> list[StoreOutcome]:
        """Add to the outcomes which UIDs name several entities after all of them."""
        levels = [level for level in (Level.STUDY, Level.SERIES, Level.INSTANCE) if self._ids.any_shared(level)]
        if not levels:
            return outcomes
        uids = {
            level: shared(self._db, level, {uid_of(one.place.key(level)) for one in outcomes if one.place})
            for level in levels
        }
        return [
            replace(one, place=replace(one.place, shared=_shared_of(one.place, uids))) if one.place else one
            for one in outcomes
        ]

    # -- deleting --------------------------------------------------------------------------------------------

    def delete(self, level: Level, reference: str, aside: str = "") -> list[str] | None:
        """Delete an entity, all below it, and parents left empty, for `Catalog.delete`."""
        row = row_of(self._db, level, reference)
        if row is None:
            return None
        rows = self._db.execute(
            f"SELECT instance.pk, instance.id, {KEY[Level.INSTANCE]}, blob_key, origin,"
            f" series.pk, study.pk, study.parent FROM {TABLES[level]} WHERE {level}.pk = ? ORDER BY +instance.pk",
            (row,),
        ).fetchall()
        self._remove_rows([pk for pk, *_ in rows])
        for _, _, _, _, origin, series, study, patient in rows:
            self._entities.touch_origin(origin, series)
            self._entities.count(series, study, patient, -1)
        self._edits.forget(Level.INSTANCE, [key for _, _, key, *_ in rows])
        self._ids.release(Level.INSTANCE, [entity for _, entity, *_ in rows])
        blobs = [blob for _, _, _, blob, *_ in rows]
        self._add_garbage(blobs, aside)
        self._entities.finish()
        return blobs

    def _remove_rows(self, pks: list[int]) -> None:
        remove_keys(self._db, Level.INSTANCE, pks)
        for table in ("header", "instance"):
            self._db.execute(f"DELETE FROM {table} WHERE pk {CHOSEN}", json_of(pks))

    def _add_garbage(self, keys: Iterable[str], place: str = "") -> None:
        self._db.executemany("INSERT OR REPLACE INTO garbage VALUES (?, ?)", ((key, place) for key in keys))

    def forget_garbage(self, keys: Iterable[str]) -> None:
        """Remove the keys of deleted blobs from the garbage."""
        self._db.executemany("DELETE FROM garbage WHERE key = ?", ((key,) for key in keys))

    def clear(self) -> None:
        """Delete all DICOM entities, but neither edits, claims nor blobs."""
        for level in Level:
            self._db.execute(f"DELETE FROM {level}")
            if has_keys(level):
                self._db.execute(f"DELETE FROM {level}_key")
        for table in ("study_other", "series_other", "header", "origin", "conflict"):
            self._db.execute(f"DELETE FROM {table}")
        self._db.execute("UPDATE total SET count = 0")


def _parts(key: str) -> tuple[str, str]:
    """Split a key into its UID and its digest."""
    uid, _, digest = key.partition(SEPARATOR)
    return uid, digest


def _shared_of(place: Place, uids: Mapping[Level, set[str]]) -> frozenset[Level]:
    return frozenset(level for level, several in uids.items() if uid_of(place.key(level)) in several)
