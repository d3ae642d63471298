"""Lists of a server's entities, read while nobody changes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from neurdicom.testing.crash.connection import ServerConnection
from neurdicom.testing.crash.holdings import Identity

#: Entities by id.
Entities = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class ArchiveListing:
    """Lists of all levels, by id."""

    patients: Entities
    studies: Entities
    series: Entities
    instances: Entities

    @classmethod
    def read(cls, http: ServerConnection) -> Self:
        """Read all lists of a server. Raises `AssertionError` where one contradicts itself."""
        names = ("patients", "studies", "series", "instances")
        return cls(*({each["id"]: each for each in http.pages(f"/api/{name}")} for name in names))

    def identity(self, instance: Mapping[str, Any]) -> Identity:
        """Tell the Patient ID and SOP Instance UID of a listed instance."""
        patient = self.patients.get(instance["patient"], {})
        return str(patient.get("patient_id")), str(instance["sop_instance_uid"])

    def place(self, instance: Mapping[str, Any]) -> tuple[str, str, str]:
        """Tell the Patient ID, Study and Series Instance UID of a listed instance."""
        return self.identity(instance)[0], uid_of(instance["study"]), uid_of(instance["series"])

    def by_identity(self) -> dict[Identity, str]:
        """List the ids of the instances by Patient ID and SOP Instance UID."""
        return {self.identity(each): id for id, each in self.instances.items()}


def uid_of(id: str) -> str:
    """Read the UID in an id, which has a digest as well where the UID names several entities."""
    return id.partition("~")[0]
