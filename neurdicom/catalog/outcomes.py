"""Outcomes of storing: what is done with arrivals that meet others, and the conflicts that this leaves."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from neurdicom.catalog.records import NewInstance
from neurdicom.dicom.identity import Place
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Ambiguous

Status = Literal["stored", "replaced", "duplicate", "kept", "conflict"]
Conflicts = Literal["keep", "refuse"]
SameInstance = Literal["version", "keep", "refuse"]
ConflictKind = Literal["study_of_two_patients", "series_of_two_studies", "instance_of_two_series"]

#: The level at which the paths of a conflict part.
CONFLICT_LEVELS: dict[ConflictKind, Level] = {
    "study_of_two_patients": Level.STUDY,
    "series_of_two_studies": Level.SERIES,
    "instance_of_two_series": Level.INSTANCE,
}


@dataclass(frozen=True, slots=True)
class StorePolicy:
    """Policy for arrivals of which a UID, or the whole path, is there already.

    Attributes
    ----------
    conflicts : {"keep", "refuse"}
        For a UID that is in another place already: keep both apart, or refuse the arrival.
    same_instance : {"version", "keep", "refuse", "earlier"}
        For an instance in the same place with other bytes: the arrival replaces the earlier one, is dropped, is
        refused, or becomes an earlier version (`kept`).
    keep_versions : bool
        True to set the blob of a version that is not current aside; otherwise it is deleted.
    """

    conflicts: Conflicts = "keep"
    same_instance: SameInstance | Literal["earlier"] = "version"
    keep_versions: bool = False

    def place_of(self, status: Status, blob: str) -> str:
        """Name the place to which an unused blob is set aside; empty to delete it.

        Parameters
        ----------
        status : Status
            Outcome of the arrival that made it unused.
        blob : str
            Its key.
        """
        is_version = status == "replaced" or (status == "kept" and self.same_instance == "earlier")
        return version_place(blob) if is_version and self.keep_versions else ""

    def shows_again(self, new: NewInstance, displaced: str, sha256: str, received: str) -> bool:
        """Tell whether an arrival with the bytes of a displaced file makes these current again, under its own key.

        Parameters
        ----------
        new : NewInstance
            The arrival.
        displaced : str
            Key of the blob of the displaced file.
        sha256, received : str
            SHA-256 and time of arrival of the file that is shown instead.
        """
        is_other = new.blob.key != displaced and new.blob.sha256 != sha256
        return self.same_instance == "version" and is_other and new.received >= received


@dataclass(frozen=True, slots=True)
class UidConflict:
    """A UID that names several entities, listed at the highest level at which their paths part.

    Attributes
    ----------
    kind : {"study_of_two_patients", "series_of_two_studies", "instance_of_two_series"}
        The level of the entities, and where they differ.
    uid : str
        The UID.
    ids : tuple of str
        Ids of all entities of the UID, by the arrival of their earliest instance.
    since : str
        Time at which the second of them came to be: `received` of its earliest instance.
    """

    kind: ConflictKind
    uid: str
    ids: tuple[str, ...]
    since: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an arrival was refused.

    Attributes
    ----------
    level : Level
        Level of the entity whose UID is elsewhere; `Level.INSTANCE` in the same place too, where its bytes differ.
    uid : str
        The UID.
    holders : tuple of str
        Ids of the entities that have it, as users see them before this arrival.
    patients : tuple of str
        Ids of their patients.
    same_place : bool
        True if the instance is there, in the same place, with other bytes (`same_instance`).
    """

    level: Level
    uid: str
    holders: tuple[str, ...]
    patients: tuple[str, ...] = ()
    same_place: bool = False


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """The outcome of storing a `NewInstance`.

    Attributes
    ----------
    status : {"stored", "replaced", "duplicate", "kept", "conflict"}
        `duplicate`: the same instance with the same SHA-256 was there; if it was displaced, and is shown again by this
        arrival, `replaced`. `kept`: with other bytes, and the earlier ones
        stay. `conflict`: refused, for the reason in `refusal`.
    unused : str or None
        Key of the blob that no instance refers to any more: the earlier one for a replacement, otherwise the arrival's
        own. It is recorded as garbage in the same transaction.
    aside : str
        Place to which that blob is set aside (`StorePolicy.place_of`); empty to delete it.
    place : Place or None
        Where the instance is, for `kept` the one that stays; None for a conflict.
    refusal : Refusal or None
        Why it was refused.
    previous : str or None
        SHA-256 of the bytes that the arrival replaced.
    """

    status: Status
    unused: str | None = None
    place: Place | None = field(default=None, compare=False)
    refusal: Refusal | None = field(default=None, compare=False)
    aside: str = ""
    previous: str | None = field(default=None, compare=False)


def version_place(blob: str) -> str:
    """Name the place of a blob that is an earlier version; the same for a blob at any time."""
    return f"versions/{hashlib.sha256(blob.encode()).hexdigest()[:32]}"


def is_conflict(level: Level, above: Collection[Sequence[str]]) -> bool:
    """Tell whether the entities of one UID are a conflict of their own.

    They are none where the paths of any two part at a study or series of one UID, which is listed in their place.

    Parameters
    ----------
    level : Level
        Level of the entities, below the patient.
    above : collection of sequence of str
        Of each entity the id of its patient and the UIDs between, the study's first.
    """
    if level is Level.STUDY:
        return len(above) > 1
    studies = {one[1] for one in above}
    if level is Level.SERIES:
        return len(studies) > 1
    if len(studies) > 1:
        return len({one[2] for one in above}) > 1
    # Below several studies of one UID those of one patient count.
    return len({(one[0], one[2]) for one in above}) > len({one[0] for one in above})


#: The policy where nothing else is said: nothing is refused.
KEEP_ALL = StorePolicy()


def ambiguous(level: Level, uid: str, candidates: Sequence[str]) -> Ambiguous:
    """Make the error that a UID names several entities.

    Parameters
    ----------
    level : Level
        Level of the entities.
    uid : str
        The UID.
    candidates : sequence of str
        Their ids.
    """
    several = ", ".join(candidates[:4]) + (", ..." if len(candidates) > 4 else "")
    message = f"the {level} {uid} is there {len(candidates)} times: name one of {several}"
    return Ambiguous(message, candidates=candidates)
