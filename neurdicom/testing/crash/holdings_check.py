"""The check of instances that one actor alone changes, of the trash, of earlier versions, and of conflicts."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.holdings import Holding, Identity, KnownHoldings
from neurdicom.testing.crash.ledger import digests
from neurdicom.testing.crash.listing import ArchiveListing, uid_of

#: Folder of the files of an entry, by its kind.
_FOLDERS = {"version": "versions"}


class HoldingsCheck:
    """Check of an idle server against the records of instances with one actor each.

    Parameters
    ----------
    http : ServerConnection
        The server.
    holdings : KnownHoldings
        Records of the actors.
    blobs : Path
        Folder of the stored files.
    listing : ArchiveListing
        Lists of the server.

    Attributes
    ----------
    faults : list of str
        Differences that were found.
    there : dict of (str, str) to str
        SHA-256 of the files that the server gives, by Patient ID and SOP Instance UID.
    """

    def __init__(self, http: ServerConnection, holdings: KnownHoldings, blobs: Path, listing: ArchiveListing) -> None:
        self._http = http
        self._holdings = holdings
        self._blobs = blobs
        self._ids = listing.by_identity()
        self._listing = listing
        self.faults: list[str] = []
        self.there: dict[Identity, str] = {}

    def run(self) -> None:
        """Check everything; `faults` has the differences."""
        entries = self._http.pages("/api/trash")
        for holding in self._holdings.instances():
            self._check_instance(holding)
        self._check_versions(entries)
        self._check_entries(entries)
        self._check_own_entries({str(each["reason"]): each for each in entries})
        self._check_conflicts()

    def _fault(self, text: str) -> None:
        self.faults.append(text)

    # -- instances -------------------------------------------------------------------------------------------

    def _check_instance(self, holding: Holding) -> None:
        """Compare the file of an instance with those that it may have, and its versions with those that are certain."""
        id = self._ids.get(holding.identity)
        if id is None:
            if None not in holding.files:
                self._fault(f"{holding.sample} was acknowledged, and is lost")
            return
        answer = self._http.get(f"/api/instances/{id}/file?original=true")
        if answer.status != HTTPStatus.OK:
            self._fault(f"the file of {holding.sample} is answered with {answer.status}: {answer.body[:200]!r}")
            return
        found = digests(answer.body)
        self.there[holding.identity] = found[0]
        if not holding.files & {*found}:
            self._fault(f"{holding.sample} has the bytes {found}; {holding.files} are expected")
        place = self._listing.place(self._listing.instances[id])
        if place != (holding.sample.patient_id, holding.sample.study, holding.sample.series):
            self._fault(f"instance {id} is of {place}; its file says {holding.sample}")
        versions = self._http.get(f"/api/instances/{id}/versions").json()
        if missing := holding.versions - {each["sha256"] for each in versions}:
            self._fault(f"the versions {missing} of {holding.sample} are lost; there are {versions}")

    def _check_versions(self, entries: list[dict[str, Any]]) -> None:
        """Check that the server answers each earlier version of a present instance whole."""
        for entry in entries:
            id = self._ids.get((str(entry["patient_id"]), entry["uids"].get("sop_instance_uid", "")))
            if entry["kind"] != "version" or id is None:
                continue
            answer = self._http.get(f"/api/instances/{id}/file?version={entry['sha256']}")
            if answer.status != HTTPStatus.OK or hashlib.sha256(answer.body).hexdigest() != entry["sha256"]:
                self._fault(f"version {entry['sha256']} of instance {id}: {answer.status} {answer.body[:200]!r}")

    # -- the trash -------------------------------------------------------------------------------------------

    def _check_entries(self, entries: list[dict[str, Any]]) -> None:
        """Compare all entries of the trash with the files that lie there."""
        places = {f"{_FOLDERS.get(each['kind'], 'trash')}/{each['id']}": each for each in entries}
        for kind in ("trash", "versions"):
            for folder in (self._blobs / kind).glob("*"):
                if f"{kind}/{folder.name}" not in places and self._files(folder):
                    self._fault(f"{kind}/{folder.name} has files, and no entry of the trash has it")
        for place, entry in places.items():
            files = self._files(self._blobs / place)
            found = (len(files), sum(path.stat().st_size for path in files))
            if found != (entry["instances"], entry["bytes"]):
                self._fault(f"{place} has {found} files and bytes, and its entry is {entry}")
            for path in files:
                if (sha256 := hashlib.sha256(path.read_bytes()).hexdigest()) not in path.name:
                    self._fault(f"the file {path.name} in {place} has other bytes: their SHA-256 is {sha256}")

    def _check_own_entries(self, entries: Mapping[str, Mapping[str, Any]]) -> None:
        """Compare entries with their records; an instance is either there or in the trash, acknowledged or not."""
        for known in self._holdings.trash():
            entry = entries.get(known.reason)
            if (entry is not None) not in known.may_be_there:
                self._fault(f"the trash has {entry}; of {known.reason!r}, {known.may_be_there} is expected")
            elif entry is not None:
                found = Counter[str]()
                for path in self._files(self._blobs / "trash" / entry["id"]):
                    file, dataset = digests(path.read_bytes())
                    found[file if file in known.files.values() else dataset] += 1
                if found != Counter(known.files.values()):
                    self._fault(f"the entry {known.reason!r} of the trash has {found}; {known.files} is expected")
            elif True in known.may_be_there and not known.may_be_lost:
                for identity in known.files.keys() - self._ids.keys():
                    self._fault(f"instance {identity} is neither there nor in the trash, by {known.reason!r}")

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        return [path for path in folder.rglob("*") if path.is_file()]

    # -- conflicts -------------------------------------------------------------------------------------------

    def _check_conflicts(self) -> None:
        """Compare the list of conflicts with the entities whose UID others have, each at the highest level of these."""
        listing = self._listing
        studies, series = _by_uid(listing.studies), _by_uid(listing.series)
        wanted = {uid: ids for uid, ids in studies.items() if len(ids) > 1}
        wanted |= {
            uid: ids for uid, ids in series.items() if len({uid_of(listing.series[id]["study"]) for id in ids}) > 1
        }
        for uid, ids in _by_uid(listing.instances).items():
            places = {listing.place(listing.instances[id]) for id in ids}
            of_several_studies = len({study for _, study, _ in places}) > 1
            groups = {"" if of_several_studies else patient for patient, _, _ in places}
            parts = {("" if of_several_studies else patient, own) for patient, _, own in places}
            if len(parts) > len(groups):
                wanted[uid] = ids
        found = {each["uid"]: frozenset(each["ids"]) for each in self._http.pages("/api/conflicts")}
        for uid in found.keys() | wanted.keys():
            if found.get(uid) != wanted.get(uid):
                self._fault(f"the conflict of {uid} is {found.get(uid)}; {wanted.get(uid)} is expected")


def _by_uid(ids: Iterable[str]) -> dict[str, frozenset[str]]:
    """Group ids by their UIDs."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for id in ids:
        found[uid_of(id)].add(id)
    return {uid: frozenset(same) for uid, same in found.items()}
