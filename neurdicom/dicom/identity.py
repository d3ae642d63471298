"""Identity: the keys and ids of entities, and the patient that a file belongs to.

The hierarchy is part of the key: a study is named by its UID and its patient, a series by its UID, its study and its
patient, an instance by all of these. A key is written `UID~XXXXXXXX`, with a digest of the ids above; that of a patient
is `dicom.uids.patient_key`. The id that users see is the UID alone, as long as it names one entity.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from neurdicom.dicom.query.attributes import Level

SEPARATOR = "~"
_DIGITS = 8


def uid_of(entity: str) -> str:
    """Return the UID in a key or an id."""
    return entity.partition(SEPARATOR)[0]


def is_key(entity: str) -> bool:
    """Tell whether an id of a study, series or instance is a key, which names one entity only."""
    return SEPARATOR in entity


@lru_cache(maxsize=10_000)
def key_of(uid: str, *above: str) -> str:
    """Compute the key of a study, series or instance.

    Parameters
    ----------
    uid : str
        Its UID.
    *above : str
        Id of its patient, then the UIDs of the entities between, the highest first.

    Returns
    -------
    str
        `UID~XXXXXXXX`: the first 8 digits of the SHA-256 of the ids above, joined by a backslash.
    """
    text = "\\".join(above).encode("utf-8", "surrogatepass")
    return f"{uid}{SEPARATOR}{hashlib.sha256(text).hexdigest()[:_DIGITS]}"


@dataclass(frozen=True, slots=True)
class Place:
    """The keys of an instance and of the entities above, and which of their UIDs name several entities."""

    patient: str
    study: str
    series: str
    instance: str
    shared: frozenset[Level] = frozenset()

    @classmethod
    def of(cls, patient: str, study: str, series: str, instance: str, shared: Iterable[Level] = ()) -> Self:
        """Compute the place of an instance.

        Parameters
        ----------
        patient : str
            Id of the patient.
        study, series, instance : str
            UIDs.
        shared : iterable of Level
            Levels at which the UID names several entities.
        """
        return cls(
            patient,
            key_of(study, patient),
            key_of(series, patient, study),
            key_of(instance, patient, study, series),
            frozenset(shared),
        )

    def key(self, level: Level) -> str:
        """Return the key of a level."""
        return str(getattr(self, level.value))

    def id(self, level: Level) -> str:
        """Return the id of a level: the UID, or the key where the UID names several; for a patient its key."""
        key = self.key(level)
        return key if level is Level.PATIENT or level in self.shared else uid_of(key)


@dataclass(frozen=True, slots=True)
class PatientClaim:
    """The patient that a file names: Patient ID (0010,0020) and its issuer, without padding, and the key of these.

    Attributes
    ----------
    key : str
        Id that the patient has by this file alone (`dicom.uids.patient_key`).
    patient_id, issuer : str
        Empty where the file has none; without a Patient ID an issuer says nothing.
    """

    key: str
    patient_id: str = field(default="", compare=False)
    issuer: str = field(default="", compare=False)

    @classmethod
    def read(cls, key: str, attributes: Mapping[str, object]) -> Self:
        """Read the claim of a file.

        Parameters
        ----------
        key : str
            Id that the patient has by this file alone.
        attributes : Mapping[str, object]
            Attributes of the file by field name.
        """
        patient_id = str(attributes.get("patient_id") or "").strip(" \0")
        issuer = str(attributes.get("issuer_of_patient_id") or "").strip(" \0")
        return cls(key, patient_id, issuer if patient_id else "")


@dataclass(frozen=True, slots=True)
class Belonging:
    """The patient that the files of one claim within a study belong to.

    Attributes
    ----------
    patient : str
        Id of the patient.
    moved_from : str or None
        Id of the patient that the study had until now, where this claim says more about the same patient: all claims
        that belonged to it belong to `patient` from now on.
    """

    patient: str
    moved_from: str | None = None


def belonging(claim: PatientClaim, known: Mapping[PatientClaim, str]) -> Belonging:
    """Decide which patient the files of a claim belong to, within one Study Instance UID.

    A file without Patient ID, or with a Patient ID that others give with an issuer, belongs to the patient that the
    others name, in whatever order they come. Claims stay until no file of the study is left, so that a deletion moves
    nothing.

    Parameters
    ----------
    claim : PatientClaim
        The claim of an arriving file.
    known : Mapping[PatientClaim, str]
        The claims of this Study Instance UID so far, in the order of their first arrival, with the id of the patient
        that each belongs to.

    Returns
    -------
    Belonging
    """
    if claim in known:
        return Belonging(known[claim])
    patients = list(dict.fromkeys(known.values()))
    if not patients:
        return Belonging(claim.key)
    of = {patient: [each for each, owner in known.items() if owner == patient] for patient in patients}
    named = [patient for patient in patients if any(each.patient_id for each in of[patient])]
    if not claim.patient_id:
        return Belonging((named or patients)[0])
    same = [patient for patient in named if any(each.patient_id == claim.patient_id for each in of[patient])]
    if not claim.issuer and same:
        return Belonging(same[0])
    without_issuer = [p for p in same if not any(each.issuer for each in of[p])]
    takes_over = without_issuer or [patient for patient in patients if patient not in named]
    return Belonging(claim.key, takes_over[0] if takes_over else None)


def earlier_keys(uid: str, claims: Collection[PatientClaim], *between: str) -> tuple[str, ...]:
    """Compute the keys that an entity had, or would have, by each claim on its patient alone.

    Parameters
    ----------
    uid : str
        UID of the entity.
    claims : collection of PatientClaim
        The claims that belong to its patient.
    *between : str
        UIDs between the patient and the entity, the study's first.
    """
    return tuple(key_of(uid, claim.key, *between) for claim in claims)
