"""The check after a crash: whatever was acknowledged is there whole, found and counted, and nothing else is left."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from neurdicom.testing.crash.actors import CrashSite
from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.holdings import Identity
from neurdicom.testing.crash.holdings_check import HoldingsCheck
from neurdicom.testing.crash.ledger import SampleInstance, digests
from neurdicom.testing.crash.listing import ArchiveListing
from neurdicom.testing.crash.places_check import PlacesCheck

_STUDY_UID, _SERIES_UID, _INSTANCE_UID, _PATIENT_ID = "0020000D", "0020000E", "00080018", "00100020"


class CrashCheck:
    """Check of an idle server against the records of the actors.

    Parameters
    ----------
    http : ServerConnection
        The server.
    site : CrashSite
        Records that its actors share: requests, acknowledgements, and the instances of each.
    data : Path
        Data folder of the server, whose files are compared with its lists.

    Attributes
    ----------
    faults : list of str
        Differences that were found.
    there : dict of str to str
        SHA-256 of the files that the server gives, by SOP Instance UID.
    held : dict of (str, str) to str
        SHA-256 of the files of instances that one actor alone changes, by Patient ID and SOP Instance UID.
    places : PlacesCheck
        Check of the places of instances that one actor alone moves.
    descriptions : dict of str to str
        Descriptions of the studies that were edited and are there.
    labels : dict of str to list of str
        Labels of the studies that were labelled and are there.
    patients : dict of str to str
        Patient IDs of the studies that were moved and are there.
    """

    def __init__(self, http: ServerConnection, site: CrashSite, data: Path) -> None:
        self._http = http
        self._site = site
        self._data = data
        self.faults: list[str] = []
        self.there: dict[str, str] = {}
        self.held: dict[Identity, str] = {}
        self.places = PlacesCheck(http, site.places)
        self.descriptions: dict[str, str] = {}
        self.labels: dict[str, list[str]] = {}
        self.patients: dict[str, str] = {}

    def run(self) -> None:
        """Check everything; `faults` has the differences."""
        try:
            self._run()
        except AssertionError as error:  # a list can't be read, or contradicts itself
            self._fault(str(error))

    def _run(self) -> None:
        listing = ArchiveListing.read(self._http)
        holdings = HoldingsCheck(self._http, self._site.holdings, self._data / "blobs", listing)
        holdings.run()
        self.faults += holdings.faults
        self.held = holdings.there
        self.places.run(listing)
        self._check_files(listing)
        self._check_hierarchy(listing)
        self._check_search(listing)
        self._check_edits()
        self._check_labels()
        self._check_blobs()
        self._empty_trash()
        self._check_storage(listing)
        self._check_results(listing)
        if (after := self.places.undo()) is not None:
            self._check_hierarchy(after)
            self._check_search(after)
        self.faults += self.places.faults

    def _fault(self, text: str) -> None:
        self.faults.append(text)

    # -- instances -------------------------------------------------------------------------------------------

    def _check_files(self, listing: ArchiveListing) -> None:
        """Compare the files with what may be there, bit for bit."""
        for id, each in listing.instances.items():
            if self._sample(listing, each) is None and each["sop_instance_uid"] not in self.places.instances:
                self._fault(f"instance {id} is listed, and nobody sent it: it is of {listing.place(each)}")
        for uid, expected in self._site.ledger.expectations().items():
            answer = self._http.get(f"/api/instances/{uid}/file?original=true")
            if answer.status == HTTPStatus.NOT_FOUND:
                if uid in listing.instances:
                    self._fault(f"instance {uid} is listed, and its file is 404")
                if not expected.may_be_absent:
                    self._fault(f"instance {uid} was acknowledged, and is lost")
                continue
            if answer.status != HTTPStatus.OK:
                self._fault(f"the file of instance {uid} is answered with {answer.status}: {answer.body[:200]!r}")
                continue
            found = digests(answer.body)
            self.there[uid] = found[0]
            if uid not in listing.instances:
                self._fault(f"instance {uid} has a file, and is not listed")
            if not expected.files:
                self._fault(f"instance {uid} was deleted, which was acknowledged, and is there")
            elif not expected.files & {*found}:
                self._fault(f"instance {uid} has the bytes {found}; {sorted(expected.files)} were sent")

    def _sample(self, listing: ArchiveListing, instance: Mapping[str, Any]) -> SampleInstance | None:
        """Find the sent instance of a listed one."""
        holding = self._site.holdings.find(listing.identity(instance))
        return self._site.ledger.samples.get(instance["sop_instance_uid"]) if holding is None else holding.sample

    def _check_hierarchy(self, listing: ArchiveListing) -> None:
        """Compare parents with what files or moves say, and counts with the lists, at every level."""
        moved = self._site.ledger.patients()
        patients, studies, series, instances = listing.patients, listing.studies, listing.series, listing.instances
        for id, each in instances.items():
            sample, (patient, study, own) = self._sample(listing, each), listing.place(each)
            if sample is None:
                continue
            may_be = {one or sample.patient_id for one in moved.get(sample.study, {""})}
            if patient not in may_be or (study, own) != (sample.study, sample.series):
                found = (patient, study, own)
                self._fault(f"instance {id} is of {found}; its file says {sample}, and its patient is one of {may_be}")
            if sample.study in moved and patient != self.patients.setdefault(sample.study, patient):
                self._fault(f"study {sample.study} is of the patients {patient} and {self.patients[sample.study]}")
        self._compare("images_count", patients, Counter(each["patient"] for each in instances.values()))
        self._compare("images_count", studies, Counter(each["study"] for each in instances.values()))
        self._compare("images_count", series, Counter(each["series"] for each in instances.values()))
        self._compare("series_count", studies, Counter(each["study"] for each in series.values()))
        self._compare("studies_count", patients, Counter(each["patient"] for each in studies.values()))
        for each in series.values():
            if each["study"] not in studies or each["patient"] != studies[each["study"]]["patient"]:
                self._fault(f"series {each['id']} is of study {each['study']} and patient {each['patient']}")

    def _compare(self, name: str, entities: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int]) -> None:
        shown = {id: each[name] for id, each in entities.items()}
        for id in shown.keys() | counts.keys():
            if shown.get(id) != counts.get(id):
                self._fault(f"{name} of {id} is {shown.get(id)}; its instances or children are {counts.get(id)}")

    def _check_search(self, listing: ArchiveListing) -> None:
        """Compare QIDO-RS, a study of a patient at a time, and filters of the API with the list."""
        wanted: defaultdict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        of_uid: defaultdict[str, set[str]] = defaultdict(set)
        for id, each in listing.instances.items():
            patient_id, study, series = listing.place(each)
            wanted[patient_id, study].add((series, each["sop_instance_uid"]))
            of_uid[study].add(id)
        for (patient_id, study), members in wanted.items():
            answer = self._http.get(f"/dicom-web/instances?StudyInstanceUID={study}&PatientID={patient_id}&limit=1000")
            found = answer.json() if answer.status == HTTPStatus.OK else []
            if {(_value(each, _SERIES_UID), _value(each, _INSTANCE_UID)) for each in found} != members:
                self._fault(f"QIDO-RS finds {len(found)} instances of study {study}; they are {len(members)}")
        for study, ids in of_uid.items():
            listed = [each["id"] for each in self._http.pages(f"/api/instances?study={study}")]
            if sorted(listed) != sorted(ids):
                self._fault(f"the API finds {len(listed)} instances of study {study}; they are {len(ids)}")
        answer = self._http.get("/dicom-web/studies?limit=1000")
        studies = answer.json() if answer.status == HTTPStatus.OK else []
        found_studies = {(_value(each, _PATIENT_ID), _value(each, _STUDY_UID)) for each in studies}
        if len(wanted) < 1000 and found_studies != wanted.keys():
            self._fault(f"QIDO-RS finds the studies {found_studies ^ wanted.keys()} that are not there, or misses them")

    def _check_edits(self) -> None:
        for study, expected in self._site.ledger.descriptions().items():
            answer = self._http.get(f"/api/studies/{study}")
            if answer.status == HTTPStatus.OK:
                found = self.descriptions[study] = answer.json()["study_description"] or ""
                if found not in expected:
                    self._fault(f"study {study} has the description {found!r}; one of {sorted(expected)} is expected")

    def _check_labels(self) -> None:
        """Compare the labels of studies with what they may have, and with the numbers in the list of labels."""
        for study, labels in self._site.ledger.labels().items():
            answer = self._http.get(f"/api/studies/{study}")
            if answer.status != HTTPStatus.OK:
                continue
            found = self.labels[study] = answer.json()["labels"]
            wrong = [label for label, may_be_there in labels.items() if (label in found) not in may_be_there]
            if wrong or not {*found} <= labels.keys():
                self._fault(f"study {study} has the labels {found}; {labels} are expected")
        shown = Counter(label for labels in self.labels.values() for label in labels)
        listed = {each["label"]: each["studies"] for each in self._http.pages("/api/labels")}
        if listed != dict(shown):
            self._fault(f"the list of labels has {listed}; studies have {dict(shown)}")

    # -- files -----------------------------------------------------------------------------------------------

    def _check_blobs(self) -> None:
        """Compare the files in the data folder with what the server gives: none too many, none too few, all whole."""
        blobs = self._data / "blobs"
        found: Counter[str] = Counter()
        for path in _files(blobs / "objects"):
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            found[sha256] += 1
            if sha256 not in path.name:
                self._fault(f"the file {path.name} has other bytes: their SHA-256 is {sha256}")
        wanted = Counter([*self.there.values(), *self.held.values()]) + self.places.files
        for sha256 in (found - wanted).elements():
            self._fault(f"a file with SHA-256 {sha256} lies in blobs/, and no instance has it")
        for sha256 in (wanted - found).elements():
            self._fault(f"an instance with SHA-256 {sha256} is given, and blobs/ has no such file")
        for path in _files(blobs / "spool"):
            self._fault(f"the file {path.name} is left in the spool")

    def _empty_trash(self) -> None:
        """Empty the trash, and check that no file of what lay there is left."""
        for entry in self._http.pages("/api/trash"):
            if entry["instances"] < 1:
                self._fault(f"the entry {entry['id']} of the trash has {entry['instances']} instances")
            answer = self._http.request("DELETE", f"/api/trash/{entry['id']}")
            if answer.status != HTTPStatus.NO_CONTENT:
                self._fault(f"the entry {entry['id']} of the trash can't be deleted: {answer.status}")
        for place in ("trash", "versions"):
            for path in _files(self._data / "blobs" / place):
                self._fault(f"the file {path.name} is left in {place}/, and the trash is empty")

    def _check_storage(self, listing: ArchiveListing) -> None:
        """Check the counts and bytes of the storage after the trash was emptied, and that no file counts as damaged."""
        answer = self._http.get("/api/storage")
        if answer.status != HTTPStatus.OK:
            self._fault(f"the storage is answered with {answer.status}")
            return
        storage = answer.json()
        if storage["damaged"]["count"]:
            self._fault(f"files count as damaged: {storage['damaged']}")
        sizes = [each["size"] for each in listing.instances.values()]
        counts = {"instances": (len(sizes), sum(sizes) + self.places.displaced_bytes), "trash": (0, 0)}
        for kind, (count, total) in counts.items():
            if storage[kind] != {"count": count, "bytes": total}:
                self._fault(f"count and bytes of {kind} are {storage[kind]}; they are {count} of {total} bytes")

    def _check_results(self, listing: ArchiveListing) -> None:
        """Check that the content of each result is answered, and that each file in results/ belongs to one."""
        contents = 0
        for result in self._http.pages("/api/results"):
            for one in result["instances"]:
                if one not in listing.instances:
                    self._fault(f"result {result['id']} is of instance {one}, which is not there")
            answer = self._http.get(f"/api/results/{result['id']}/content")
            if answer.status != HTTPStatus.OK:
                self._fault(f"the content of result {result['id']} is answered with {answer.status}")
            contents += len(result["content"])
        files = len(list(_files(self._data / "results" / "objects")))
        if files != contents:
            self._fault(f"{files} files lie in results/, and the results have {contents}")


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else iter(())


def _value(dataset: Mapping[str, Any], tag: str) -> str:
    values = dataset.get(tag, {}).get("Value", [""])
    return str(values[0])
