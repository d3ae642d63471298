"""Pairs of files that give one UID to two entities, and where each of them is found by every way of asking."""

import io
from dataclasses import dataclass
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from neurdicom.dicom.identity import Place
from neurdicom.dicom.uids import patient_key
from tests.support.files import dicom_file
from tests.support.server import Server

#: Keywords of the UIDs that both files of a pair have, by the kind of the conflict.
SAME: Final[dict[str, tuple[str, ...]]] = {
    "study_of_two_patients": ("StudyInstanceUID",),
    "series_of_two_studies": ("SeriesInstanceUID",),
    "instance_of_two_series": ("SOPInstanceUID",),
    "everything_of_two_patients": ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}


@dataclass(frozen=True)
class ConflictingFile:
    """One of two files that give a UID to two entities: its bytes, and what it says of itself."""

    content: bytes
    patient: str
    name: str
    study: str
    series: str
    instance: str

    @property
    def place(self) -> Place:
        """Keys of the instance and of what is above."""
        return Place.of(patient_key(self.patient, None, self.study), self.study, self.series, self.instance)

    @property
    def path(self) -> str:
        """Path by UIDs below the DICOMweb base."""
        return f"/studies/{self.study}/series/{self.series}/instances/{self.instance}"

    @property
    def key_path(self) -> str:
        """Path by keys below the DICOMweb base."""
        place = self.place
        return f"/studies/{place.study}/series/{place.series}/instances/{place.instance}"

    @property
    def dataset(self) -> Dataset:
        """The file, parsed."""
        return dcmread(io.BytesIO(self.content))


def conflicting(kind: str, **elements: Any) -> tuple[ConflictingFile, ConflictingFile]:
    """Make two files of two patients, whose UIDs are the same as the kind says; all others are new."""
    uids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    same = {name: uids[name] for name in SAME[kind]}
    tail = generate_uid()[-10:]
    return _file(f"A{tail}", "Adams^Anna", elements, uids), _file(f"B{tail}", "Brown^Bob", elements, same)


def _file(patient: str, name: str, elements: dict[str, Any], given: dict[str, str]) -> ConflictingFile:
    uids = {each: generate_uid() for each in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")} | given
    content = dicom_file(patient=patient, PatientName=name, **(uids | elements))
    return ConflictingFile(
        content, patient, name, uids["StudyInstanceUID"], uids["SeriesInstanceUID"], uids["SOPInstanceUID"]
    )


def retrieve_url(match: dict[str, Any]) -> str:
    """Return the Retrieve URL of a match."""
    return str(match["00081190"]["Value"][0])


def search(server: Server, path: str, **filters: str) -> list[dict[str, Any]]:
    """Search by QIDO-RS."""
    answer = server.client.get(f"/dicom-web{path}", params=filters)
    assert answer.status_code == 200, answer.text
    return list(answer.json())


def metadata(server: Server, url: str) -> list[dict[str, Any]]:
    """Retrieve metadata of a path below the DICOMweb base, or of a Retrieve URL."""
    answer = server.client.get(url if url.startswith("http") else f"/dicom-web{url}/metadata")
    assert answer.status_code == 200, answer.text
    return list(answer.json())
