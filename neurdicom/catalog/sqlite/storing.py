"""Storing of arrivals within one write transaction.

An arrival whose claims are known changes no attribute above it: it is looked up by one digest, inserted and counted.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from neurdicom.catalog.claims import OriginClaims, with_edits
from neurdicom.catalog.outcomes import KEEP_ALL, Refusal, Status, StoreOutcome, StorePolicy
from neurdicom.catalog.projection import sort_values, to_json
from neurdicom.catalog.records import NewInstance
from neurdicom.catalog.sqlite.displaced import (
    INSTANCE_COLUMNS,
    OWN_FIELDS,
    InstanceFile,
    displace,
    displaced_file,
    file_of,
    files_in_place,
    last_of,
    remove_displaced,
    show_last,
    shown_file,
)
from neurdicom.catalog.sqlite.entities import COMPRESSION
from neurdicom.catalog.sqlite.lookup import KEY, TABLES, key_range, shared
from neurdicom.catalog.sqlite.origins import OriginRow, find_origin
from neurdicom.catalog.sqlite.parts import displaced_keys, parts_below
from neurdicom.catalog.sqlite.places import Decision, decide, refusal_of
from neurdicom.catalog.sqlite.refresh import edits_of_all
from neurdicom.catalog.sqlite.relocation import know_missing
from neurdicom.catalog.sqlite.rows import add_keys, marks
from neurdicom.catalog.sqlite.shown_ids import Namesake
from neurdicom.catalog.sqlite.takeover import goes_over, take_over
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.identity import SEPARATOR, PatientClaim, Place, earlier_keys, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


class ArrivalWriter:
    """Writer of arrivals in one transaction.

    Parameters
    ----------
    tx : Transaction
        The transaction.
    pack : callable, optional
        Compresses headers.
    """

    def __init__(
        self, tx: Transaction, pack: Callable[[bytes], bytes] = lambda header: zlib.compress(header, COMPRESSION)
    ) -> None:
        self._tx = tx
        self._db = tx.db
        self._pack = pack
        self._origins: dict[bytes, OriginRow] = {}
        self._former: dict[int, tuple[str, ...]] = {}

    def store(self, arrivals: Sequence[NewInstance], policy: StorePolicy = KEEP_ALL) -> list[StoreOutcome]:
        """Store arrivals in order, for `Catalog.store`."""
        last = self._db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'instance'").fetchone()
        first = (last[0] if last else 0) + 1
        outcomes = [self._store_one(pk, new, policy) for pk, new in enumerate(arrivals, first)]
        self._tx.entities.finish()
        return self._with_shared(outcomes)

    def _store_one(self, pk: int, new: NewInstance, policy: StorePolicy) -> StoreOutcome:
        claims = OriginClaims.from_arrival(new)
        origin = self._origins.get(claims.digest) or find_origin(self._db, claims.digest)
        decision: Decision | None = None
        if origin is None:
            decision = decide(self._db, self._tx.ids, self._tx.moves, new, policy)
            place, series = decision.place, decision.series
        else:
            self._origins[claims.digest] = origin
            place, series = origin.place_of(new.instance), origin.series
        # Until the arrival is stored its study is with the patient that it had.
        former = decision.moved_from if decision else None
        present = Place.of(former, new.study, new.series, new.instance) if former else place
        there, alone = self._find(present, series)
        old = self._own(there, present)
        # The file of another series, which moves have put in its place, keeps it out only where none may be replaced.
        met = old
        if there is not None and policy.same_instance in ("keep", "refuse") and self._stays(there, former, new.study):
            met = old or there
        comes_again = _comes_again(there, old, new, policy) if former is None else False
        if met is not None and not comes_again and (left_out := self._left_out(met, new, policy, present)):
            return left_out
        refusal = decision.refusal if decision else self._meets_another(place, policy, there, alone)
        if refusal:
            return self._unstored("conflict", new, None, refusal)
        if decision is not None and former:
            # What is replaced stays until then, and with it what lies above it and its edits.
            origin = self._make(claims, decision, new, policy, pk)
            there, alone = self._find(origin.place_of(new.instance), origin.series)
            old = self._own(there, origin.place_of(new.instance))
        if there is not None:
            self._tx.entities.uncount(there.parent)
        if old is not None:
            self._take_out(old)
        other = there if there is not old else None
        if other is not None:
            displace(self._tx, other)
        if decision is not None and not former:
            origin = self._make(claims, decision, new, policy, pk)
        if origin is None:
            raise LookupError(f"the instance {new.instance} has no origin")
        place = origin.place_of(new.instance)
        if old is not None and old is there:
            shown = place.instance if is_key(old.id) else old.id
        else:
            shown = new.instance if alone else self._tx.ids.take(Level.INSTANCE, *_parts(place.instance))
        self._insert(pk, shown, place, origin, new)
        if decision is not None and self._tx.moves.any:
            natural = origin.natural.patient
            elsewhere = {origin.place.patient} - {natural}
            know_missing(self._tx, elsewhere | ({natural} if former else set()))
        is_shown = not self._tx.moves.any or self._is_last(pk, origin, new.instance)
        if old is not None and not (comes_again and other):
            return self._replaced(old, new, place, policy)
        if old is not None and other is not None:
            self._tx.add_garbage([old.blob])
            return StoreOutcome("replaced", old.blob, place, previous=other.sha256)
        if other is None:
            return StoreOutcome("stored", None, place)
        return (
            StoreOutcome("replaced", None, place, previous=other.sha256)
            if is_shown
            else StoreOutcome("kept", None, place)
        )

    def _is_last(self, pk: int, origin: OriginRow, instance: str) -> bool:
        """Show the last of the files that moves have put in one place; tell whether it is that in a certain row."""
        files = files_in_place(self._tx, origin.series, instance)
        if len(files) > 1:
            show_last(self._tx, files)
            self._tx.entities.touch(Level.SERIES, origin.series)
            self._tx.entities.touch(Level.STUDY, origin.study)
        return last_of(files).pk == pk

    def _stays(self, there: InstanceFile, former: str | None, study_uid: str) -> bool:
        """Tell whether a file will be in the place of an arrival, also where that takes its study over."""
        if former is None or not self._tx.moves.any:
            return True
        parts = parts_below(self._db, Level.SERIES, there.parent)
        return all(goes_over(part, study_uid, former) for part in parts if part.pk == there.origin)

    def _own(self, there: InstanceFile | None, place: Place) -> InstanceFile | None:
        """Find the file of the same natural instance where another one, or it itself, is shown."""
        uid, below = _parts(place.instance)
        if there is None or there.below == below:
            return there
        return displaced_file(self._tx, there.parent, uid, below)

    def _replaced(self, old: InstanceFile, new: NewInstance, place: Place, policy: StorePolicy) -> StoreOutcome:
        unused = None if old.blob == new.blob.key else old.blob
        aside = policy.place_of("replaced", unused) if unused else ""
        self._tx.add_garbage([unused] if unused else [], aside)
        return StoreOutcome("replaced", unused, place, aside=aside, previous=old.sha256)

    def _find(self, place: Place, series: int | None) -> tuple[InstanceFile | None, bool]:
        """Find the instance that is shown in a place, and tell whether its UID is nowhere else."""
        uid = uid_of(place.instance)
        file = file_of(self._tx, uid)
        if file is None and self._tx.ids.any_shared(Level.INSTANCE):
            file = file_of(self._tx, place.instance)
            if file is None and self._tx.moves.any and series is not None:
                file = shown_file(self._tx, series, uid)
            if file is not None:
                return (file, False) if file.parent == series else (None, False)
            others = self._db.execute("SELECT 1 FROM instance WHERE id > ? AND id < ? LIMIT 1", key_range(uid))
            return None, others.fetchone() is None
        if file is None:
            return None, True
        return (file, True) if file.parent == series else (None, False)

    def _left_out(self, old: InstanceFile, new: NewInstance, policy: StorePolicy, place: Place) -> StoreOutcome | None:
        """Return the outcome for an arrival that an instance in its place stays instead of."""
        if self._tx.moves.any:
            place = self._place_of(old)
        if old.sha256 == new.blob.sha256:
            return self._unstored("duplicate", new, place)
        if policy.same_instance in ("keep", "earlier"):
            return self._unstored("kept", new, place, aside=policy.place_of("kept", new.blob.key))
        if policy.same_instance == "refuse":
            holder = Namesake(self._shown_instead(old).pk, old.parent, old.id, "")
            refusal = refusal_of(self._db, Level.INSTANCE, [holder], same_place=True)
            return self._unstored("conflict", new, None, refusal)
        return None

    def _shown_instead(self, file: InstanceFile) -> InstanceFile:
        """Find the file that is shown in the place of another; that itself unless it is displaced."""
        return file if file.is_shown else shown_file(self._tx, file.parent, uid_of(file.id)) or file

    def _meets_another(
        self, place: Place, policy: StorePolicy, old: InstanceFile | None, alone: bool
    ) -> Refusal | None:
        """Refuse an instance of a known series whose UID is elsewhere, where the policy or a digest forbids it."""
        if old is not None or alone:
            return None
        uid, digest = _parts(place.instance)
        others = self._tx.ids.namesakes(Level.INSTANCE, uid)
        same_key = [one for one in others if one.digest == digest]
        if same_key or policy.conflicts == "refuse":
            return refusal_of(self._db, Level.INSTANCE, same_key or others)
        return None

    def _unstored(
        self, status: Status, new: NewInstance, place: Place | None, refusal: Refusal | None = None, aside: str = ""
    ) -> StoreOutcome:
        used = self._db.execute(
            "SELECT 1 FROM instance WHERE blob_key = ?1 UNION ALL SELECT 1 FROM displaced WHERE blob_key = ?1",
            (new.blob.key,),
        ).fetchone()
        unused = None if used else new.blob.key  # in use where a file is stored again, as by a reindex
        self._tx.add_garbage([unused] if unused else [], aside)
        return StoreOutcome(status, unused, place, refusal, aside if unused else "")

    def _place_of(self, file: InstanceFile) -> Place:
        """Look up where the instance of a file lies, which moves may have placed elsewhere than its file says."""
        above = ", ".join(KEY[level] for level in Level)
        keys = self._db.execute(
            f"SELECT {above} FROM {TABLES[Level.INSTANCE]} WHERE instance.pk = ?", (self._shown_instead(file).pk,)
        )
        return Place(*keys.fetchone())

    def _make(
        self, claims: OriginClaims, decision: Decision, new: NewInstance, policy: StorePolicy, pk: int
    ) -> OriginRow:
        """Write what an arrival of an unknown origin changes above it."""
        is_known, claim, patient = decision.known, decision.claim, decision.place.patient
        if decision.moved_from:
            take_over(self._tx, new.study, decision.moved_from, patient)
            self._origins.clear()
            decision = decide(self._db, self._tx.ids, self._tx.moves, new, policy)
        if not is_known:
            self._db.execute(
                "INSERT INTO claim SELECT ?, ?, ?, ?, ?, coalesce(max(number), 0) + 1 FROM claim WHERE study_uid = ?",
                (new.study, claim.key, claim.patient_id, claim.issuer, patient, new.study),
            )
            self._former.clear()
        if self._tx.moves.any:
            self._origins.clear()  # the keys of a series may become those of another part
        origin = self._origins[claims.digest] = self._tx.entities.make_origin(claims, decision, pk)
        return origin

    def _insert(self, pk: int, shown: str, place: Place, origin: OriginRow, new: NewInstance) -> None:
        given = new.attributes
        attributes: dict[str, Value] = {field: value for field in OWN_FIELDS if (value := given.get(field)) is not None}
        if self._tx.edits.any:
            self._tx.edits.adopt(Level.INSTANCE, place.instance, (new.instance, *self._former_keys(origin, new)))
            keys = [place.instance]
            if self._tx.moves.any:
                keys += displaced_keys(self._db, [origin.series]).get((origin.series, new.instance), [])
            attributes = with_edits(attributes, edits_of_all(self._tx.edits, Level.INSTANCE, keys))
        blob = new.blob
        own = (pk, shown, origin.series, origin.pk, blob.key, blob.size, blob.sha256, new.received)
        digest = None if origin.below == origin.series_below else origin.below
        layout, stored = to_json(dict(new.layout)), to_json(attributes)
        values = (*own, layout, stored, digest, *sort_values(Level.INSTANCE, attributes))
        self._db.execute(f"INSERT INTO instance ({INSTANCE_COLUMNS}) VALUES ({marks(values)})", values)
        add_keys(self._db, Level.INSTANCE, pk, attributes)
        self._db.execute("INSERT INTO header VALUES (?, ?)", (pk, self._pack(new.header)))
        # A reindex may store a blob again that was garbage: it is in use now.
        self._db.execute("DELETE FROM garbage WHERE key = ?", (blob.key,))
        self._tx.entities.count(origin.series, origin.study, origin.patient, 1)

    def _former_keys(self, origin: OriginRow, new: NewInstance) -> list[str]:
        """List the keys that an instance had by the claims on its study."""
        digests = self._former.get(origin.pk)
        if digests is None:
            rows = self._db.execute(
                "SELECT key FROM claim WHERE study_uid = ? AND patient = ?",
                (origin.natural.study, origin.natural.patient),
            )
            claims = [PatientClaim(key) for (key,) in rows]
            keys = earlier_keys("", claims, new.study, new.series)
            digests = self._former[origin.pk] = tuple(key.rpartition(SEPARATOR)[2] for key in keys)
        return [f"{new.instance}{SEPARATOR}{digest}" for digest in digests]

    def _take_out(self, old: InstanceFile) -> None:
        """Remove an instance that another of its place replaces; its edits stay."""
        if old.is_shown:
            self._tx.remove_instances([old.pk])
        else:
            remove_displaced(self._tx, [old.pk])
        self._tx.entities.touch_origin(old.origin, old.parent)

    def _with_shared(self, outcomes: list[StoreOutcome]) -> list[StoreOutcome]:
        """Add to the outcomes which UIDs name several entities after all of them."""
        levels = [level for level in (Level.STUDY, Level.SERIES, Level.INSTANCE) if self._tx.ids.any_shared(level)]
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


def _comes_again(there: InstanceFile | None, old: InstanceFile | None, new: NewInstance, policy: StorePolicy) -> bool:
    """Tell whether an arrival has the bytes of a displaced file, which are shown by it instead of another's."""
    if there is None or old is None or old.is_shown or old.sha256 != new.blob.sha256:
        return False
    return policy.shows_again(new, old.blob, there.sha256, there.received)


def _parts(key: str) -> tuple[str, str]:
    """Split a key into its UID and its digest."""
    uid, _, digest = key.partition(SEPARATOR)
    return uid, digest


def _shared_of(place: Place, uids: Mapping[Level, set[str]]) -> frozenset[Level]:
    return frozenset(level for level, several in uids.items() if uid_of(place.key(level)) in several)
