"""Files whose UIDs collide: two instances whose paths part at some level and have UIDs below in common."""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from tests.support.datasets import to_bytes
from tests.support.resource_files import make_dataset

#: Levels below the patient: the name in routes, the keyword and the field of its UID, and the kind of its conflict.
LEVELS = {
    "study": ("studies", "StudyInstanceUID", "study_instance_uid", "study_of_two_patients"),
    "series": ("series", "SeriesInstanceUID", "series_instance_uid", "series_of_two_studies"),
    "instance": ("instances", "SOPInstanceUID", "sop_instance_uid", "instance_of_two_series"),
}

#: What two colliding files differ in, by a name of the case; they have all other ids in common.
DIFFERENCES = {
    "study": ("PatientID", "SeriesInstanceUID", "SOPInstanceUID"),
    "study and series": ("PatientID", "SOPInstanceUID"),
    "study and instance": ("PatientID", "SeriesInstanceUID"),
    "study, series and instance": ("PatientID",),
    "series of two patients": ("PatientID", "StudyInstanceUID", "SOPInstanceUID"),
    "series of one patient": ("StudyInstanceUID", "SOPInstanceUID"),
    "series and instance of two patients": ("PatientID", "StudyInstanceUID"),
    "series and instance of one patient": ("StudyInstanceUID",),
    "instance of two patients": ("PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
    "instance of two studies": ("StudyInstanceUID", "SeriesInstanceUID"),
    "instance of two series": ("SeriesInstanceUID",),
}


@dataclass(frozen=True)
class CollidingInstance:
    """A file with the ids that it must get, worked out here from what its elements say."""

    dataset: FileDataset
    file: bytes

    @property
    def patient(self) -> str:
        """Id of its patient, without an issuer."""
        patient_id = self.dataset.PatientID
        return hashlib.sha256(f"id:{len(patient_id)}:{patient_id}:".encode()).hexdigest()[:32]

    def uid(self, level: str) -> str:
        """Its UID at a level."""
        return str(self.dataset[LEVELS[level][1]].value)

    def key(self, level: str) -> str:
        """The key of the entity at a level that it lies in."""
        above = [self.patient, *(self.uid(each) for each in list(LEVELS)[: list(LEVELS).index(level)])]
        return f"{self.uid(level)}~{hashlib.sha256(chr(92).join(above).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Collision:
    """Two instances with UIDs in common that are two entities each."""

    first: CollidingInstance
    second: CollidingInstance

    @property
    def both(self) -> tuple[CollidingInstance, CollidingInstance]:
        """The two, in the order of their arrival."""
        return self.first, self.second

    @property
    def shared(self) -> list[str]:
        """Levels at which one UID names two entities, the highest first."""
        return [each for each in LEVELS if self.first.uid(each) == self.second.uid(each) and self._are_two(each)]

    def _are_two(self, level: str) -> bool:
        return self.first.key(level) != self.second.key(level)

    def id(self, instance: CollidingInstance, level: str) -> str:
        """The id that an entity must show while both are there."""
        return instance.key(level) if level in self.shared else instance.uid(level)

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The conflict as the API must list it, but for its time."""
        level = self.shared[0]
        return [{"kind": LEVELS[level][3], "uid": self.first.uid(level), "ids": [one.key(level) for one in self.both]}]


def instance(**elements: Any) -> CollidingInstance:
    """Make an instance of a new patient, unless the elements say otherwise."""
    dataset = make_dataset(**{"PatientID": uuid.uuid4().hex} | elements)
    return CollidingInstance(dataset, to_bytes(dataset))


def collision(*different: str, **elements: Any) -> Collision:
    """Make two instances that differ in these ids, and in their names and comments."""
    first = {"PatientID": uuid.uuid4().hex} | {keyword: generate_uid() for _, keyword, _, _ in LEVELS.values()}
    second = first | {keyword: uuid.uuid4().hex if keyword == "PatientID" else generate_uid() for keyword in different}
    return Collision(
        instance(**first, PatientName="Adams^Anna", ImageComments="first", **elements),
        instance(**second, PatientName="Brown^Bob", ImageComments="second", **elements),
    )
