"""Decisions about arrivals, before anything is written: where each lies, and what is not stored."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from neurdicom.catalog.mongo.ids import free_row
from neurdicom.catalog.mongo.origins import Origin
from neurdicom.catalog.mongo.ownership import Claims, with_claim
from neurdicom.catalog.mongo.schema import Document
from neurdicom.catalog.outcomes import CONFLICT_LEVELS, Refusal, Status, StorePolicy
from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Belonging, Place, belonging, key_of, uid_of
from neurdicom.dicom.query.attributes import Level

#: Id of the patient, then the UIDs down to an entity's own.
Path = tuple[str, ...]
_LEVELS = tuple(CONFLICT_LEVELS.values())


@dataclass(frozen=True, slots=True)
class Known:
    """An entity that is there or will be: its `_id`, and of an instance its file and the number of its arrival."""

    row: str
    arrival: int = 0
    sha256: str = ""
    blob_key: str = ""


@dataclass(frozen=True, slots=True)
class StoreStep:
    """An arrival to write.

    Attributes
    ----------
    number : int
        Number of the arrival.
    new : NewInstance
        The arrival.
    origin : Origin
        What its file says about the entities above.
    place : Place
        Where it lies.
    rows : Mapping[Level, str]
        `_id`s of the entities that it belongs to, and its own.
    claims : Claims or None
        The claims of its Study Instance UID from now on, where it changes these.
    former : str or None
        Id of the patient that its study had until now, where this arrival tells another.
    replaced : bool
        True if it replaces the instance that is there.
    natural : tuple of str or None
        Id of the patient and UID of the study that its file names, where moves placed it elsewhere.
    """

    number: int
    new: NewInstance
    origin: Origin
    place: Place
    rows: Mapping[Level, str]
    claims: Claims | None
    former: str | None
    replaced: bool
    natural: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An arrival that is not written; `used` tells if an instance of the same batch has its blob, None if none does."""

    status: Status
    new: NewInstance
    place: Place | None = None
    refusal: Refusal | None = None
    used: bool | None = None


@dataclass
class Planner:
    """Planner of a batch of arrivals; it keeps in mind what those before change.

    Attributes
    ----------
    policy : StorePolicy
        What is done with arrivals that meet others.
    claims : dict of str to Claims
        The claims of the Study Instance UIDs of the batch.
    known : dict of Level to dict
        The entities that have one of the UIDs of the batch, by UID and path.
    origins : dict of str to Path
        The series of origins whose claims need not be looked up.
    shared : set of (Level, str)
        UIDs that name several before the batch.
    added : set of (Level, str)
        UIDs that got one more entity, and name several.
    """

    policy: StorePolicy
    claims: dict[str, Claims]
    known: dict[Level, dict[str, dict[Path, Known]]]
    origins: dict[str, Path]
    shared: set[tuple[Level, str]] = field(default_factory=set)
    added: set[tuple[Level, str]] = field(default_factory=set)
    _blobs: dict[str, bool] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)

    @classmethod
    def of_documents(cls, policy: StorePolicy, found: Mapping[Level, Iterable[Document]]) -> "Planner":
        """Make a planner from the documents that have the UIDs of a batch; claims are added by the caller."""
        known: dict[Level, dict[str, dict[Path, Known]]] = {level: {} for level in _LEVELS}
        origins: dict[str, Path] = {}
        for level in _LEVELS:
            order = "arrival" if level is Level.INSTANCE else "source"
            for one in sorted(found[level], key=lambda one: int(one[order])):
                known[level].setdefault(one["uid"], {})[path_of(one)] = _known(one)
        shared = {(level, one["uid"]) for level in _LEVELS for one in found[level] if one["id"] == one["key"]}
        for one in found[Level.SERIES]:
            path = path_of(one)
            origins[one["origin"]] = path
            known[Level.STUDY].setdefault(path[1], {}).setdefault(path[:2], Known(one["study"]))
            shared |= {(Level.STUDY, path[1]) for _ in one["several"]}
        # A moved entity keeps its `_id`, which may be the one that a new entity would get.
        taken = {one["_id"] for level in _LEVELS for one in found[level]}
        return cls(policy, {}, known, origins, shared, _taken=taken)

    def decide(self, number: int, new: NewInstance, origin: Origin) -> StoreStep | LeftOut:
        """Decide about the next arrival.

        Parameters
        ----------
        number : int
            Its number.
        new : NewInstance
            The arrival.
        origin : Origin
            What its file says about the entities above.
        """
        known = self.claims.get(new.study)
        if known is None:
            known = {}
            owner = Belonging(self.origins[origin.id][0])
        else:
            owner = belonging(origin.claim, known)
        path = (owner.patient, new.study, new.series, new.instance)
        go = partial(moved, studies={new.study}, former=owner.moved_from, patient=owner.patient)
        there = next((each for each in self._named(Level.INSTANCE, new.instance) if go(each) == path), None)
        if there is not None:
            old = self.known[Level.INSTANCE][new.instance][there]
            if old.sha256 == new.blob.sha256:
                return self._left_out("duplicate", new, self._place(there))
            if self.policy.same_instance in ("keep", "earlier"):
                return self._left_out("kept", new, self._place(there))
            if self.policy.same_instance == "refuse":
                return self._refused(new, Level.INSTANCE, [there], same_place=True)
        elif refused := self._meets_others(path, go):
            return self._refused(new, *refused)
        claims = with_claim(known, origin.claim) if origin.claim not in known and new.study in self.claims else None
        if claims is not None:
            self.claims[new.study] = claims
        if owner.moved_from is not None:
            self._move(go)
        return self._step(number, new, origin, path, claims, owner.moved_from)

    def _step(
        self, number: int, new: NewInstance, origin: Origin, path: Path, claims: Claims | None, former: str | None
    ) -> StoreStep:
        rows = {Level.PATIENT: path[0]}
        for count, level in enumerate(_LEVELS, 2):
            at, same = path[:count], self.known[level].setdefault(path[count - 1], {})
            if at not in same:
                if same:
                    self.added.add((level, at[-1]))
                same[at] = Known(free_row(key_at(at), self._taken, number))
            rows[level] = same[at].row
        old = same.pop(path)
        if old.blob_key:
            self._blobs[old.blob_key] = False
        self._blobs[new.blob.key] = True
        same[path] = Known(old.row, number, new.blob.sha256, new.blob.key)
        return StoreStep(number, new, origin, self._place(path), rows, claims, former, bool(old.blob_key))

    def _meets_others(self, path: Path, go: Any) -> tuple[Level, list[Path]] | None:
        """Find the highest entity that is new while its UID is elsewhere, if that is refused, or their keys agree."""
        for count, level in enumerate(_LEVELS, 2):
            wanted = path[:count]
            others = {go(each): each for each in self._named(level, wanted[-1])}
            if others and wanted not in others:
                same_key = key_at(wanted) in map(key_at, others)
                if same_key or self.policy.conflicts == "refuse":
                    return level, list(others.values())
        return None

    def _named(self, level: Level, uid: str) -> list[Path]:
        return list(self.known[level].get(uid, ()))

    def _move(self, go: Any) -> None:
        for level in _LEVELS:
            for uid, same in self.known[level].items():
                self.known[level][uid] = {go(path): known for path, known in same.items()}

    def _place(self, path: Path) -> Place:
        patient, study, series, instance = path
        levels = [level for count, level in enumerate(_LEVELS, 1) if self._are_several(level, path[count])]
        return Place.of(patient, study, series, instance, levels)

    def _are_several(self, level: Level, uid: str) -> bool:
        return (level, uid) in self.shared or len(self._named(level, uid)) > 1

    def _left_out(
        self, status: Status, new: NewInstance, place: Place | None, refusal: Refusal | None = None
    ) -> LeftOut:
        return LeftOut(status, new, place, refusal, self._blobs.get(new.blob.key))

    def _refused(self, new: NewInstance, level: Level, there: Sequence[Path], *, same_place: bool = False) -> LeftOut:
        uid = there[0][-1]
        several = self._are_several(level, uid)
        holders = tuple(key_at(path) if several else uid for path in there)
        patients = tuple(path[0] for path in there)
        return self._left_out("conflict", new, None, Refusal(level, uid, holders, patients, same_place))


def key_at(path: Path) -> str:
    """Compute the key of the entity at a path."""
    patient, *uids = path
    return key_of(uids[-1], patient, *uids[:-1]) if uids else patient


def path_of(document: Document) -> Path:
    """Read the path of a study, a series or an instance."""
    return (document["patient"], *(uid_of(key) for key in document.get("above", {}).values()), document["uid"])


def moved(path: Path, studies: Collection[str], former: str | None, patient: str) -> Path:
    """Return the path of an entity after studies went over to another patient.

    Parameters
    ----------
    path : tuple of str
        Path of any entity before.
    studies : collection of str
        Study Instance UIDs.
    former : str or None
        Id of the patient that the studies had; None where nothing went over.
    patient : str
        Id of the patient that they have now.
    """
    goes = former is not None and path[0] == former and len(path) > 1 and path[1] in studies
    return (patient, *path[1:]) if goes else path


def _known(document: Document) -> Known:
    return Known(document["_id"], document.get("arrival", 0), document.get("sha256", ""), document.get("blob_key", ""))
