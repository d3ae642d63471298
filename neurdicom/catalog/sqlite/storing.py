"""Storing of arrivals within one write transaction.

An arrival whose claims are known changes no attribute above it: it is looked up by one digest, inserted and counted.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from neurdicom.catalog.claims import OriginClaims, with_edits
from neurdicom.catalog.outcomes import KEEP_ALL, Refusal, Status, StoreOutcome, StorePolicy
from neurdicom.catalog.projection import sort_values, to_json
from neurdicom.catalog.records import NewInstance
from neurdicom.catalog.sqlite.displaced import (
    INSTANCE_COLUMNS,
    OWN_FIELDS,
    InstanceFile,
    displace,
    file_of,
    files_in_place,
    last_of,
    remove_displaced,
    show_last,
    shown_file,
    shown_instead,
)
from neurdicom.catalog.sqlite.entities import COMPRESSION
from neurdicom.catalog.sqlite.lookup import KEY, TABLES, key_range, shared
from neurdicom.catalog.sqlite.origins import OriginRow, find_origin
from neurdicom.catalog.sqlite.parts import displaced_keys
from neurdicom.catalog.sqlite.places import Decision, decide, refusal_of
from neurdicom.catalog.sqlite.refresh import edits_of_all
from neurdicom.catalog.sqlite.relocation import know_missing
from neurdicom.catalog.sqlite.rows import add_keys, marks
from neurdicom.catalog.sqlite.shown_ids import Namesake
from neurdicom.catalog.sqlite.takeover import follow_claims, take_over
from neurdicom.catalog.sqlite.transaction import Transaction
from neurdicom.dicom.identity import SEPARATOR, PatientClaim, Place, earlier_keys, is_key, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.conditions import Value


@dataclass(frozen=True, slots=True)
class _Arrival:
    """An arrival: its row, its file, what this claims of the levels above, and the policy of storing."""

    pk: int
    new: NewInstance
    claims: OriginClaims
    policy: StorePolicy


@dataclass(frozen=True, slots=True)
class _Site:
    """The place of an arrival, the file that is shown there, its own earlier one, and if its UID is nowhere else."""

    place: Place
    there: InstanceFile | None
    old: InstanceFile | None
    alone: bool


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Why an arrival is not stored: the instance in its place stays, or something of its UIDs is elsewhere."""

    status: Status
    site: _Site
    level: Level | None = None
    refusal: Refusal | None = None
    aside: str = ""


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
        arrival = _Arrival(pk, new, OriginClaims.from_arrival(new), policy)
        digest = arrival.claims.digest
        origin = self._origins.get(digest) or find_origin(self._db, digest)
        if origin is not None:
            self._origins[digest] = origin
            return self._store_at(arrival, self._find(origin.place_of(new.instance), origin.series), origin)
        decision = decide(self._db, self._tx.ids, self._tx.moves, new, policy)
        if decision.moved_from:
            return self._take_over(arrival, decision, decision.moved_from)
        return self._store_at(arrival, self._find(decision.place, decision.series), decision)

    def _store_at(self, arrival: "_Arrival", site: "_Site", where: OriginRow | Decision) -> StoreOutcome:
        left_out = self._left_out(arrival, site, where)
        return self._answer(arrival.new, left_out) if left_out else self._write(arrival, site, where)

    def _take_over(self, arrival: "_Arrival", decision: Decision, former: str) -> StoreOutcome:
        """Give the study of an arrival to another patient, and store it; take this back where it is left out then."""
        tx, new, patient = self._tx, arrival.new, decision.place.patient
        if decision.refusal:
            return self._unstored("conflict", new, None, decision.refusal)
        tx.entities.finish()
        self._db.execute("SAVEPOINT takeover")
        split_off = take_over(tx, new.study, former, patient)
        self._know_claim(new, decision.claim, patient)
        follow_claims(tx, new.study, split_off, former, patient)
        self._origins.clear()
        after = decide(self._db, tx.ids, tx.moves, new, arrival.policy)
        site = self._find(after.place, after.series)
        left_out = self._left_out(arrival, site, after)
        if left_out is None:
            self._db.execute("RELEASE takeover")
            return self._write(arrival, site, after, taken=True)
        tx.entities.finish()  # what is still to be counted is taken back as well
        self._db.execute("ROLLBACK TO takeover")
        self._db.execute("RELEASE takeover")
        self._origins.clear()
        self._former.clear()
        return self._answer(new, left_out, taken_back=True)

    def _write(
        self, arrival: "_Arrival", site: "_Site", where: OriginRow | Decision, *, taken: bool = False
    ) -> StoreOutcome:
        pk, new, there, old = arrival.pk, arrival.new, site.there, site.old
        if there is not None:
            self._tx.entities.uncount(there.parent)
        if old is not None:
            self._take_out(old)
        other = there if there is not old else None
        if other is not None:
            displace(self._tx, other)
        origin = self._make(arrival, where) if isinstance(where, Decision) else where
        place = origin.place_of(new.instance)
        if old is not None and old is there:
            shown = place.instance if is_key(old.id) else old.id
        else:
            shown = new.instance if site.alone else self._tx.ids.take(Level.INSTANCE, *_parts(place.instance))
        self._insert(pk, shown, place, origin, new)
        if isinstance(where, Decision) and self._tx.moves.any:
            natural = origin.natural.patient
            elsewhere = {origin.place.patient} - {natural}
            know_missing(self._tx, elsewhere | ({natural} if taken else set()))
        is_shown = not self._tx.moves.any or self._is_last(pk, origin, new.instance)
        if old is not None and not (_comes_again(arrival, site) and other):
            return self._replaced(old, new, place, arrival.policy)
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
        """Show the latest of the files in one place; tell whether it is the one in a row."""
        files = files_in_place(self._tx, origin.series, instance)
        if len(files) > 1:
            show_last(self._tx, files)
            self._tx.entities.touch(Level.SERIES, origin.series)
            self._tx.entities.touch(Level.STUDY, origin.study)
        return last_of(files).pk == pk

    def _own(self, there: InstanceFile | None, place: Place) -> InstanceFile | None:
        """Find the file of the same natural instance in a place, shown or displaced."""
        uid, below = _parts(place.instance)
        if there is None or there.below == below:
            return there
        return next((file for file in files_in_place(self._tx, there.parent, uid) if file.below == below), None)

    def _replaced(self, old: InstanceFile, new: NewInstance, place: Place, policy: StorePolicy) -> StoreOutcome:
        unused = None if old.blob == new.blob.key else old.blob
        aside = policy.place_of("replaced", unused) if unused else ""
        self._tx.add_garbage([unused] if unused else [], aside)
        return StoreOutcome("replaced", unused, place, aside=aside, previous=old.sha256)

    def _find(self, place: Place, series: int | None) -> "_Site":
        """Find what is in the place of an arrival, in a series by its row."""
        there, alone = self._find_shown(place, series)
        return _Site(place, there, self._own(there, place), alone)

    def _find_shown(self, place: Place, series: int | None) -> tuple[InstanceFile | None, bool]:
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

    def _left_out(self, arrival: "_Arrival", site: "_Site", where: OriginRow | Decision) -> "_LeftOut | None":
        """Decide whether an arrival is not stored: an instance in its place stays, or it is refused."""
        policy, met = arrival.policy, site.old
        if policy.same_instance in ("keep", "refuse"):
            # The file of another series, which moves have put in its place, keeps it out only where none is replaced.
            met = site.old or site.there
        if met is not None and not _comes_again(arrival, site):
            if met.sha256 == arrival.new.blob.sha256:
                return _LeftOut("duplicate", site)
            if policy.same_instance in ("keep", "earlier"):
                return _LeftOut("kept", site, aside=policy.place_of("kept", arrival.new.blob.key))
            if policy.same_instance == "refuse":
                return _LeftOut("conflict", site, Level.INSTANCE)
        refusal = where.refusal if isinstance(where, Decision) else self._meets_another(site, policy)
        return _LeftOut("conflict", site, refusal.level, refusal) if refusal else None

    def _answer(self, new: NewInstance, left_out: "_LeftOut", *, taken_back: bool = False) -> StoreOutcome:
        """Write the outcome for an arrival that is not stored.

        Parameters
        ----------
        new : NewInstance
            The arrival.
        left_out : _LeftOut
            Why it is not stored.
        taken_back : bool
            True if this was decided with its study at another patient, who does not have it.
        """
        refusal, level, there = left_out.refusal, left_out.level, left_out.site.there
        if refusal is not None and taken_back:
            refusal = refusal_of(self._db, refusal.level, self._tx.ids.namesakes(refusal.level, refusal.uid))
        if refusal is not None or there is None:
            return self._unstored(left_out.status, new, None, refusal)
        there = shown_instead(self._tx, there.pk) if taken_back else there
        if level is not None:
            holder = Namesake(there.pk, there.parent, there.id, "")
            return self._unstored("conflict", new, None, refusal_of(self._db, level, [holder], same_place=True))
        place = self._place_of(there) if self._tx.moves.any or taken_back else left_out.site.place
        return self._unstored(left_out.status, new, place, aside=left_out.aside)

    def _meets_another(self, site: "_Site", policy: StorePolicy) -> Refusal | None:
        """Refuse an instance of a known series whose UID is elsewhere, where the policy or a digest forbids it."""
        if site.there is not None or site.alone:
            return None
        uid, digest = _parts(site.place.instance)
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
        """Look up where an instance lies, which moves may have placed elsewhere than its file says."""
        above = ", ".join(KEY[level] for level in Level)
        keys = self._db.execute(f"SELECT {above} FROM {TABLES[Level.INSTANCE]} WHERE instance.pk = ?", (file.pk,))
        return Place(*keys.fetchone())

    def _make(self, arrival: "_Arrival", decision: Decision) -> OriginRow:
        """Write what an arrival of an unknown origin changes above it."""
        if not decision.known:
            self._know_claim(arrival.new, decision.claim, decision.place.patient)
        if self._tx.moves.any:
            self._origins.clear()  # the keys of a series may become those of another part
        origin = self._tx.entities.make_origin(arrival.claims, decision, arrival.pk)
        self._origins[arrival.claims.digest] = origin
        return origin

    def _know_claim(self, new: NewInstance, claim: PatientClaim, patient: str) -> None:
        """Store the claim of an arrival, which belongs to a patient."""
        self._db.execute(
            "INSERT INTO claim SELECT ?, ?, ?, ?, ?, coalesce(max(number), 0) + 1 FROM claim WHERE study_uid = ?",
            (new.study, claim.key, claim.patient_id, claim.issuer, patient, new.study),
        )
        self._former.clear()

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
        """Remove the file that an arrival replaces; its edits stay."""
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


def _comes_again(arrival: "_Arrival", site: "_Site") -> bool:
    """Tell whether an arrival has the bytes of a displaced file, and shows them instead of another's."""
    new, there, old = arrival.new, site.there, site.old
    if there is None or old is None or old.is_shown or old.sha256 != new.blob.sha256:
        return False
    return arrival.policy.shows_again(new, old.blob, there.sha256, there.received)


def _parts(key: str) -> tuple[str, str]:
    """Split a key into its UID and its digest."""
    uid, _, digest = key.partition(SEPARATOR)
    return uid, digest


def _shared_of(place: Place, uids: Mapping[Level, set[str]]) -> frozenset[Level]:
    return frozenset(level for level, several in uids.items() if uid_of(place.key(level)) in several)
