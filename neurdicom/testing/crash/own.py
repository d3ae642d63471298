"""Bases of actors that change what is their own, and so know exactly what is there."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Generic, TypeVar

from neurdicom.testing.crash.actors import Actor, ServerRefused
from neurdicom.testing.crash.connection import ServerAnswer, ServerLost
from neurdicom.testing.crash.ledger import SampleInstance, digests

_PATHS = {"instance": "instances", "series": "series", "study": "studies"}

#: Things of its own that an actor uses at a time.
_AT_A_TIME = 4

#: Instances of a study, at most.
_INSTANCES = 8

#: Changes of instances: their digests afterwards, None for no instance.
Change = dict[str, str | None]


@dataclass
class OwnStudy:
    """Record of a study that one actor alone changes.

    Attributes
    ----------
    samples : dict of str to SampleInstance
        Instances that were sent, with the latest bytes, by SOP Instance UID.
    current : dict of str to (str or None)
        Digests of the bytes that are there.
    versions : dict of str to set of str
        SHA-256 of earlier versions.
    trash : dict of str to dict of str to str
        Digests of what lies in the trash, by reason and SOP Instance UID.
    """

    samples: dict[str, SampleInstance] = field(default_factory=dict)
    current: Change = field(default_factory=dict)
    versions: dict[str, set[str]] = field(default_factory=dict)
    trash: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def present(self) -> list[SampleInstance]:
        """Instances that are there."""
        return [self.samples[uid] for uid, digest in self.current.items() if digest is not None]


@dataclass(frozen=True)
class TrashChange:
    """Change of an entry of the trash by one request.

    Attributes
    ----------
    reason : str
        Reason of the deletion.
    files : Mapping of str to str
        Digests of the entry's files, by SOP Instance UID.
    instances : Mapping of str to (str or None)
        Digests of the instances that change, afterwards.
    is_there : bool
        Whether the entry is there afterwards.
    may_be_lost : bool
        Whether its files are gone afterwards.
    """

    reason: str
    files: Mapping[str, str]
    instances: Mapping[str, str | None] = field(default_factory=dict)
    is_there: bool = False
    may_be_lost: bool = False


#: What an actor owns: nobody else changes it.
Own = TypeVar("Own")


class OwningActor(Actor, Generic[Own]):
    """Actor that changes things of its own one after the other; a subclass begins them, and chooses what it does."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._own: list[Own] = []

    @abstractmethod
    def begin(self) -> Own:
        """Make something to own, of which nothing is sent yet."""

    @abstractmethod
    def use(self, own: Own) -> None:
        """Do something with it, recording what may be there before and after. Raises `ServerLost`, `ServerRefused`."""

    @abstractmethod
    def is_full(self, own: Own) -> bool:
        """Tell whether enough was done with it."""

    def act(self) -> None:
        """Begin something, or use it; what is not known for certain any more is left alone."""
        if (len(self._own) < _AT_A_TIME and self.random.random() < 0.3) or not self._own:
            self._own.append(self.begin())
        own = self.random.choice(self._own)
        try:
            self.use(own)
        except (ServerLost, ServerRefused):
            self._own.remove(own)
            raise
        if self.is_full(own):
            self._own.remove(own)


class StudyOwner(OwningActor[OwnStudy]):
    """Owner of studies, of their earlier versions, and of what it has in the trash; a subclass sends."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reasons = 0

    @abstractmethod
    def send(self, sample: SampleInstance) -> bool:
        """Send an instance; return whether it was acknowledged. Raises `ServerLost`, `ServerRefused`."""

    def begin(self) -> OwnStudy:
        """Begin a study."""
        return OwnStudy()

    def is_full(self, own: OwnStudy) -> bool:
        """Tell whether a study has instances enough."""
        return len(own.samples) > _INSTANCES

    # -- changes ---------------------------------------------------------------------------------------------

    def store(self, study: OwnStudy, sample: SampleInstance) -> None:
        """Send a new instance, or new bytes of one."""
        uid, digest = sample.instance, sample.digest
        study.samples[uid] = sample
        study.current.setdefault(uid, None)
        versions = study.versions.setdefault(uid, set())
        before = study.current[uid]
        if self._change(study, {uid: digest}, lambda: self.send(sample)):
            if before is not None and before != digest:
                versions.add(before)
            versions.discard(digest)
            self._note(study, uid)

    def delete(self, study: OwnStudy, level: str, sample: SampleInstance, *, purge: bool = False) -> None:
        """Delete an instance that is there, or its series or study.

        Parameters
        ----------
        study : OwnStudy
            The study.
        level : {"instance", "series", "study"}
            What is deleted.
        sample : SampleInstance
            An instance of it.
        purge : bool
            Delete it for good.
        """
        self._reasons += 1
        reason = f"{self.name} {self._number} {self._reasons}"
        gone = [one for one in study.present if (level != "instance" and _within(one, sample, level)) or one is sample]
        files = {one.instance: str(study.current[one.instance]) for one in gone}

        def request() -> bool:
            key = self._key(sample, level)
            query = "purge=true" if purge else f"reason={reason.replace(' ', '%20')}"
            answer = self.http.request("DELETE", f"/api/{_PATHS[level]}/{key}?{query}")
            return self._is_done(answer.status, self.check(answer, [HTTPStatus.NO_CONTENT, HTTPStatus.CONFLICT]).body)

        if purge:
            self._change(study, dict.fromkeys(files), request)
        elif self._change_trash(study, TrashChange(reason, files, dict.fromkeys(files), is_there=True), request):
            study.trash[reason] = files

    def restore(self, study: OwnStudy, reason: str) -> None:
        """Restore an entry of the trash."""
        files = study.trash[reason]
        absent: Change = {uid: digest for uid, digest in files.items() if study.current[uid] is None}

        def request() -> bool:
            answer = self.http.request("POST", f"/api/trash/{self._entry(reason)}/restore")
            return self.check(answer, [HTTPStatus.OK]).status == HTTPStatus.OK

        if self._change_trash(study, TrashChange(reason, files, absent), request):
            del study.trash[reason]
            for uid in files.keys() - absent.keys():
                if files[uid] != study.current[uid]:
                    study.versions[uid].add(files[uid])
                    self._note(study, uid)

    def empty(self, study: OwnStudy, reason: str) -> None:
        """Delete an entry of the trash for good."""

        def request() -> bool:
            answer = self.http.request("DELETE", f"/api/trash/{self._entry(reason)}")
            return self.check(answer, [HTTPStatus.NO_CONTENT]).status == HTTPStatus.NO_CONTENT

        if self._change_trash(study, TrashChange(reason, study.trash[reason], may_be_lost=True), request):
            del study.trash[reason]

    def restore_version(self, study: OwnStudy, sample: SampleInstance, sha256: str) -> None:
        """Make an earlier version the current one.

        Parameters
        ----------
        study : OwnStudy
            The study.
        sample : SampleInstance
            An instance that is there.
        sha256 : str
            SHA-256 of the version.
        """
        uid, before = sample.instance, str(study.current[sample.instance])

        def request() -> bool:
            path = f"/api/instances/{self._key(sample, 'instance')}/versions/{sha256}/restore"
            return self._listed_answer(self.http.request("POST", path)).status == HTTPStatus.OK

        study.versions[uid].discard(sha256)
        if self._change(study, {uid: sha256}, request):
            study.versions[uid].add(before)
            self._note(study, uid)

    # -- looks -----------------------------------------------------------------------------------------------

    def look(self, study: OwnStudy) -> None:
        """Compare all instances and earlier versions of a study with their records."""
        for uid, digest in study.current.items():
            sample = study.samples[uid]
            found = self._listed(sample)
            if (found is not None) != (digest is not None):
                self.site.report(f"{self.name}: {sample} has the bytes {digest}, and the list has {found}")
            if found is None:
                continue
            answer = self.check(self.http.get(f"/api/instances/{found['key']}/file?original=true"), [HTTPStatus.OK])
            if digest not in digests(answer.body):
                self.site.report(f"{self.name}: {sample} has other bytes than {digest}: {digests(answer.body)}")
            for sha256 in study.versions[uid]:
                path = f"/api/instances/{found['key']}/file?version={sha256}"
                answer = self._listed_answer(self.http.get(path))
                if sha256 not in digests(answer.body):
                    self.site.report(f"{self.name}: GET {path} gives {digests(answer.body)}")

    def _listed(self, sample: SampleInstance) -> dict[str, Any] | None:
        """Find an instance by its patient and UID."""
        path = f"/api/instances?sop_instance_uid={sample.instance}&patient_id={sample.patient_id}"
        found: list[dict[str, Any]] = self.check(self.http.get(path), [HTTPStatus.OK]).json()
        if len(found) > 1:
            self.site.report(f"{self.name}: GET {path} finds {len(found)} instances")
        return found[0] if found else None

    def _key(self, sample: SampleInstance, level: str) -> str:
        """Look up the key of an instance that is there, or the id of its series or study."""
        found = self._listed(sample)
        if found is None:
            self.site.report(f"{self.name}: {sample} was acknowledged, and is not found")
            return sample.instance
        return str(found["key" if level == "instance" else level])

    def _entry(self, reason: str) -> str:
        """Look up the id of an entry that is in the trash."""
        entries = self.check(self.http.get("/api/trash?limit=1000"), [HTTPStatus.OK]).json()
        found = [str(each["id"]) for each in entries if each["reason"] == reason]
        if self.site.refused and not found:
            raise ServerRefused(reason)
        if len(found) != 1:
            self.site.report(f"{self.name}: the trash has {len(found)} entries {reason!r}, one is expected")
        return found[0] if found else "none"

    def _listed_answer(self, answer: ServerAnswer) -> ServerAnswer:
        """Report an answer other than 200; where the server has refused something, it may list a version later."""
        if self.site.refused and answer.status == HTTPStatus.NOT_FOUND:
            raise ServerRefused(answer.status)
        return self.check(answer, [HTTPStatus.OK])

    # -- what is known ---------------------------------------------------------------------------------------

    def _is_done(self, status: int, body: bytes) -> bool:
        """Tell whether a deletion was done; another patient's entity may have come to have the UID meanwhile."""
        if status == HTTPStatus.CONFLICT and b"ambiguous" not in body:
            self.site.report(f"{self.name}: {body[:500]!r}")
        return status == HTTPStatus.NO_CONTENT

    def _change(self, study: OwnStudy, after: Mapping[str, str | None], request: Callable[[], bool]) -> bool:
        """Record a change before and after its request; return whether it was done."""
        for uid, digest in after.items():
            self._note(study, uid, digest)
        is_done = request()
        if is_done:
            study.current.update(after)
        for uid in after:
            self._note(study, uid)
        return is_done

    def _change_trash(self, study: OwnStudy, change: TrashChange, request: Callable[[], bool]) -> bool:
        """Record a change of an entry of the trash, as `_change`.

        Parameters
        ----------
        study : OwnStudy
            The study.
        change : TrashChange
            The change.
        request : callable
            Sends the request; returns whether it was done.
        """
        holdings = self.site.holdings
        named = {(study.samples[uid].patient_id, uid): digest for uid, digest in change.files.items()}
        holdings.note_trash(change.reason, named, True, False, may_be_lost=change.may_be_lost)
        is_done = self._change(study, change.instances, request)
        holdings.note_trash(change.reason, named, change.is_there if is_done else not change.is_there)
        return is_done

    def _note(self, study: OwnStudy, uid: str, *or_else: str | None) -> None:
        self.site.holdings.note(study.samples[uid], (study.current[uid], *or_else), study.versions[uid])


def _within(one: SampleInstance, other: SampleInstance, level: str) -> bool:
    return one.study == other.study and (level == "study" or one.series == other.series)
