"""The ledger of a crash test: its requests and their acknowledgements, and the states of instances they allow."""

import hashlib
import itertools
import math
import threading
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

#: Instances that are looked at until one is there for certain.
_ATTEMPTS = 30


@dataclass(frozen=True, slots=True)
class SampleInstance:
    """An instance that an actor sends.

    Attributes
    ----------
    patient_id, study, series, instance : str
        Patient ID and UIDs, as the file says.
    content : bytes
        The file.
    as_dataset : bool
        Whether its dataset alone is sent, so that the receiver writes its own File Meta Information.
    """

    patient_id: str
    study: str
    series: str
    instance: str
    content: bytes = field(repr=False)
    as_dataset: bool = False

    @property
    def digest(self) -> str:
        """Digest of what is sent."""
        return digests(self.content)[self.as_dataset]


def digests(content: bytes) -> tuple[str, str]:
    """Compute the digests of a file and of its dataset, which follows the File Meta Information (PS3.10 7.1)."""
    meta = int.from_bytes(content[140:144], "little")
    return hashlib.sha256(content).hexdigest(), f"dataset-{hashlib.sha256(content[144 + meta :]).hexdigest()}"


@dataclass(slots=True)
class RecordedRequest:
    """A request that stores, deletes or edits, from its begin to its acknowledgement, in the ledger's time.

    Attributes
    ----------
    begin : int
        When it was sent.
    end : float
        When it was acknowledged; infinite as long as it was not.
    """

    begin: int
    end: float = math.inf

    @property
    def is_acknowledged(self) -> bool:
        """True once the server has acknowledged it."""
        return self.end < math.inf


@dataclass(frozen=True, slots=True)
class Expectation:
    """States in which an instance may be after the recorded requests.

    Attributes
    ----------
    files : frozenset of str
        Digests of the files that it may have, if it is there.
    may_be_absent : bool
        Whether it may be absent.
    """

    files: frozenset[str]
    may_be_absent: bool


def expectation(
    stores: Iterable[tuple[RecordedRequest, str]],
    deletions: Iterable[RecordedRequest],
    restorations: Iterable[tuple[RecordedRequest, bool]] = (),
) -> Expectation:
    """Compute the states in which an instance may be after operations that partly ran at the same time.

    An operation that began after another one was acknowledged comes after it; all others may have happened in any
    order, and those that were not acknowledged may not have happened at all.

    Parameters
    ----------
    stores : iterable of (RecordedRequest, str)
        Operations that store the instance, and the digests of what is sent.
    deletions : iterable of RecordedRequest
        Operations that delete it.
    restorations : iterable of (RecordedRequest, bool)
        Operations that may bring it back from the trash, with bytes that were sent before, and whether each restores an
        earlier version, which takes the place of what is there.

    Returns
    -------
    Expectation
    """
    stores, deletions, restorations = list(stores), list(deletions), list(restorations)
    certain = [one for one, _ in stores if one.is_acknowledged] + [one for one in deletions if one.is_acknowledged]

    def may_be_last(one: RecordedRequest) -> bool:
        return not any(later.begin > one.end for later in certain)

    never_stored = not any(one.is_acknowledged for one, _ in stores)
    last = {digest for one, digest in stores if may_be_last(one)}
    for restoring, is_version in restorations:
        if may_be_last(restoring) and (is_version or any(one.begin < restoring.end for one in deletions)):
            last |= {digest for one, digest in stores if one.begin < restoring.end}
    return Expectation(
        frozenset(last),
        never_stored or any(may_be_last(one) for one in deletions),
    )


class Ledger:
    """Record of all requests of a crash test, by any number of threads.

    Attributes
    ----------
    samples : dict of str to SampleInstance
        All instances that were sent, by SOP Instance UID.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = itertools.count()
        self.samples: dict[str, SampleInstance] = {}
        self._stores: defaultdict[str, list[tuple[RecordedRequest, str]]] = defaultdict(list)
        self._deletions: defaultdict[tuple[str, str], list[RecordedRequest]] = defaultdict(list)
        self._restorations: defaultdict[tuple[str, str], list[tuple[RecordedRequest, bool]]] = defaultdict(list)
        self._edits: defaultdict[str, list[tuple[RecordedRequest, str]]] = defaultdict(list)
        self._labels: defaultdict[str, dict[str, frozenset[bool]]] = defaultdict(dict)
        self._moves: defaultdict[str, list[tuple[RecordedRequest, str]]] = defaultdict(list)
        self._owned: defaultdict[str, list[str]] = defaultdict(list)

    # -- what is done ----------------------------------------------------------------------------------------

    def begin_store(self, samples: Iterable[SampleInstance]) -> RecordedRequest:
        """Record that instances are about to be sent in one request."""
        with self._lock:
            operation = RecordedRequest(next(self._time))
            for sample in samples:
                if sample.instance not in self.samples:
                    self._owned[_owner(sample)].append(sample.instance)
                self.samples[sample.instance] = sample
                self._stores[sample.instance].append((operation, sample.digest))
            return operation

    def begin_delete(self, level: str, uid: str) -> RecordedRequest:
        """Record that a study, series or instance is about to be deleted.

        Parameters
        ----------
        level : str
            `study`, `series` or `instance`.
        uid : str
            Its UID.
        """
        with self._lock:
            operation = RecordedRequest(next(self._time))
            self._deletions[level, uid].append(operation)
            return operation

    def begin_restore(self, level: str, uid: str, *, is_version: bool) -> RecordedRequest:
        """Record that an entry of the trash is about to be restored, with any of the instances of an entity.

        Parameters
        ----------
        level : str
            `study`, `series` or `instance`.
        uid : str
            UID of the entity that was deleted.
        is_version : bool
            Whether the entry is an earlier version of an instance.
        """
        with self._lock:
            operation = RecordedRequest(next(self._time))
            self._restorations[level, uid].append((operation, is_version))
            return operation

    def begin_edit(self, study: str, value: str) -> RecordedRequest:
        """Record that a study's description is about to be changed.

        Parameters
        ----------
        study : str
            Its UID.
        value : str
            The new description.
        """
        with self._lock:
            operation = RecordedRequest(next(self._time))
            self._edits[study].append((operation, value))
            return operation

    def begin_move(self, study: str, patient_id: str) -> RecordedRequest:
        """Record that a study is about to go to another patient.

        Parameters
        ----------
        study : str
            Its UID.
        patient_id : str
            Patient ID of that patient.
        """
        with self._lock:
            operation = RecordedRequest(next(self._time))
            self._moves[study].append((operation, patient_id))
            return operation

    def note_label(self, study: str, label: str, *may_be_there: bool) -> None:
        """Record whether a study may have a label, and whether it may not.

        Parameters
        ----------
        study : str
            Its UID.
        label : str
            The label.
        *may_be_there : bool
            Both before a request, and what it is certainly after that; only one thread labels a study.
        """
        with self._lock:
            self._labels[study][label] = frozenset(may_be_there)

    def labels(self) -> dict[str, dict[str, frozenset[bool]]]:
        """List for each labelled study, by label, whether it may have that, and whether it may not."""
        with self._lock:
            return {study: dict(labels) for study, labels in self._labels.items()}

    def acknowledge(self, operation: RecordedRequest, stored: Iterable[str] | None = None) -> None:
        """Record an acknowledgement.

        Parameters
        ----------
        operation : RecordedRequest
            The request.
        stored : iterable of str, optional
            SOP Instance UIDs that it names; by default all of the request. The others stay unacknowledged.
        """
        with self._lock:
            if stored is None:
                operation.end = next(self._time)
                return
            done = RecordedRequest(operation.begin, next(self._time))
            for uid in stored:
                stores = self._stores[uid]
                stores[:] = [(done if one is operation else one, digest) for one, digest in stores]

    # -- what may be there -----------------------------------------------------------------------------------

    def expectation(self, uid: str) -> Expectation:
        """Compute the states in which an instance may be."""
        with self._lock:
            return self.adjusted(self._expectation(uid))

    def expectations(self) -> dict[str, Expectation]:
        """Compute the states in which each instance may be, by SOP Instance UID."""
        with self._lock:
            return {uid: self.adjusted(self._expectation(uid)) for uid in self.samples}

    def acknowledged(self) -> dict[str, frozenset[str]]:
        """List the instances that no actor has deleted, and the digests that each may have, by SOP Instance UID."""
        with self._lock:
            found = {uid: self._expectation(uid) for uid in self.samples}
        return {uid: one.files for uid, one in found.items() if not one.may_be_absent}

    def choose(self, random: Random, owner: str = "", *, but: Collection[str] = ()) -> SampleInstance | None:
        """Choose an instance that is there for certain.

        Parameters
        ----------
        random : Random
            Makes the choice.
        owner : str
            Name of the actor that sent it; any by default.
        but : collection of str
            Names of actors whose instances are left alone.

        Returns
        -------
        SampleInstance or None
            None where none was found in a few attempts.
        """
        with self._lock:
            owners = [owner] if owner else sorted(self._owned.keys() - {*but})
            for _ in range(_ATTEMPTS if owners else 0):
                owned = self._owned.get(random.choice(owners))
                if owned and not self._expectation(uid := random.choice(owned)).may_be_absent:
                    return self.samples[uid]
        return None

    def descriptions(self) -> dict[str, frozenset[str]]:
        """Compute the descriptions that each edited study may have; an empty text stands for that of its files."""
        with self._lock:
            return {study: _last_values(edits) for study, edits in self._edits.items()}

    def patients(self) -> dict[str, frozenset[str]]:
        """Compute the Patient IDs that each moved study may have; an empty text stands for that of its files."""
        with self._lock:
            return {study: _last_values(moves) for study, moves in self._moves.items()}

    def restart(
        self,
        there: Mapping[str, str],
        descriptions: Mapping[str, str],
        labels: Mapping[str, Collection[str]],
        patients: Mapping[str, str],
    ) -> None:
        """Begin anew with the state that a check has found.

        Parameters
        ----------
        there : Mapping[str, str]
            Digests of the files that are there, by SOP Instance UID.
        descriptions : Mapping[str, str]
            Descriptions of the studies that were edited and are there.
        labels : Mapping[str, collection of str]
            Labels of the studies that were labelled and are there.
        patients : Mapping[str, str]
            Patient IDs of the studies that were moved and are there.
        """
        with self._lock:
            found = RecordedRequest(next(self._time), next(self._time))
            self.samples = {uid: self.samples[uid] for uid in there if uid in self.samples}
            for recorded in (self._stores, self._deletions, self._restorations, self._edits, self._moves):
                recorded.clear()
            self._labels.clear()
            self._owned.clear()
            for uid, sample in self.samples.items():
                self._stores[uid].append((found, there[uid]))
                self._owned[_owner(sample)].append(uid)
            for study, value in descriptions.items():
                self._edits[study].append((found, value))
            for study, patient_id in patients.items():
                self._moves[study].append((found, patient_id))
            for study, names in labels.items():
                self._labels[study] = dict.fromkeys(names, frozenset({True}))

    def adjusted(self, one: Expectation) -> Expectation:
        """Adjust what may be there to what others than the actors do: nothing."""
        return one

    def _expectation(self, uid: str) -> Expectation:
        sample = self.samples[uid]
        entities = (("study", sample.study), ("series", sample.series), ("instance", uid))
        return expectation(
            self._stores[uid],
            [one for each in entities for one in self._deletions.get(each, ())],
            [one for each in entities for one in self._restorations.get(each, ())],
        )


class QuotaLedger(Ledger):
    """Ledger of a server with a quota, which may delete any study."""

    def adjusted(self, one: Expectation) -> Expectation:
        """Adjust what may be there: it may be gone."""
        return replace(one, may_be_absent=True)


def _last_values(changes: Sequence[tuple[RecordedRequest, str]]) -> frozenset[str]:
    """Select the values that changes of one attribute may have left; also an empty one if none was acknowledged."""
    certain = [one for one, _ in changes if one.is_acknowledged]
    last = {value for one, value in changes if not any(later.begin > one.end for later in certain)}
    return frozenset(last if certain else last | {""})


def _owner(sample: SampleInstance) -> str:
    return sample.patient_id.partition("-")[0]
