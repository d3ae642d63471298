"""The result of storing one file, and the words in which a refusal is told to its sender."""

from dataclasses import dataclass
from typing import Final, Literal

from neurdicom.catalog.base import Catalog
from neurdicom.catalog.outcomes import Refusal
from neurdicom.dicom.identity import Place, uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import Ambiguous, Conflict, NeurdicomError

#: Most characters of an Error Comment (0000,0902), whose VR is LO.
MOST_COMMENT: Final = 64


@dataclass(frozen=True, slots=True)
class IngestResult:
    """Outcome of one file.

    Attributes
    ----------
    file : str
        Name of the file, as the sender gave it.
    status : {"stored", "replaced", "duplicate", "kept", "rejected"}
        `replaced`: the instance existed with other bytes; `duplicate`: it existed with the same bytes; `kept`: it
        existed with other bytes, which stay.
    place : Place or None
        Keys of the instance and of the entities above; None for a rejected file.
    error : NeurdicomError or None
        Why it was rejected.
    refusal : Refusal or None
        The conflict for which it was rejected.
    previous : str or None
        SHA-256 of the bytes that it replaced.
    is_healed : bool
        True for a duplicate whose stored file was damaged, and was replaced by it.
    """

    file: str
    status: Literal["stored", "replaced", "duplicate", "kept", "rejected"]
    place: Place | None = None
    error: NeurdicomError | None = None
    refusal: Refusal | None = None
    previous: str | None = None
    is_healed: bool = False

    @classmethod
    def rejected(cls, file: str, error: NeurdicomError, refusal: Refusal | None = None) -> "IngestResult":
        """Make the result of a file that was not stored; the traceback, which holds pieces of the file, is dropped.

        Parameters
        ----------
        file : str
            Name of the file, as the sender gave it.
        error : NeurdicomError
            Why it was rejected.
        refusal : Refusal, optional
            The conflict for which it was rejected.
        """
        return cls(file, "rejected", error=error.with_traceback(None), refusal=refusal)

    @property
    def id(self) -> str | None:
        """Id of the instance; None for a rejected file."""
        return self._id(Level.INSTANCE)

    @property
    def study(self) -> str | None:
        """Id of its study; None for a rejected file."""
        return self._id(Level.STUDY)

    @property
    def series(self) -> str | None:
        """Id of its series; None for a rejected file."""
        return self._id(Level.SERIES)

    def _id(self, level: Level) -> str | None:
        return None if self.place is None else self.place.id(level)

    def _uid(self, level: Level) -> str | None:
        return None if self.place is None else uid_of(self.place.key(level))

    def to_api(self) -> dict[str, str | bool | None]:
        """Return the result as the API shows it."""
        result: dict[str, str | bool | None] = {
            "file": self.file,
            "status": self.status,
            "id": self.id,
            "study": self.study,
            "series": self.series,
            "study_instance_uid": self._uid(Level.STUDY),
            "series_instance_uid": self._uid(Level.SERIES),
            "sop_instance_uid": self._uid(Level.INSTANCE),
            "reason": str(self.error) if self.error else None,
            "previous": self.previous,
        }
        return result | {"healed": True} if self.is_healed else result


async def refusal_error(catalog: Catalog, refusal: Refusal) -> Conflict:
    """Make the error of a refused arrival, which names what is there already, and whose it is.

    Parameters
    ----------
    catalog : Catalog
        Names the patient, and the entities between.
    refusal : Refusal
        The refusal.
    """
    there = f"the {refusal.level} {refusal.uid} is there already"
    if refusal.same_place:
        return Conflict(f"{there} with other bytes, which stay; others are refused here (setting same_instance)")
    holder = await _holder(catalog, refusal)
    others = f" (and {len(refusal.holders) - 1} more)" if len(refusal.holders) > 1 else ""
    return Conflict(f"{there}, {holder}{others}; conflicts are refused here (setting conflicts)")


async def _holder(catalog: Catalog, refusal: Refusal) -> str:
    """Describe where the first entity that has the UID lies."""
    try:
        entity = await catalog.get(refusal.level, refusal.holders[0])
    except Ambiguous:  # further ones came meanwhile
        entity = None
    if entity is None:
        return f"in another {refusal.level.parent}"
    patient = await catalog.get(Level.PATIENT, entity["patient"])
    patient_id = patient["patient_id"] if patient else None
    between = [f"the {above} {uid_of(entity[above.value])}" for above in reversed(refusal.level.above[1:])]
    of = f"of the patient {patient_id!r}" if patient_id else "of a patient without Patient ID"
    return f"in {' of '.join(between)} {of}" if between else of


def refusal_comment(refusal: Refusal) -> str:
    """Word a refusal as an Error Comment (PS3.7 C.4), in ASCII and at most `MOST_COMMENT` characters.

    Parameters
    ----------
    refusal : Refusal
        The refusal.

    Returns
    -------
    str
        The kind of the conflict and the UID, or the end of it, such as `Series ...4711 is of another study`.
    """
    kind = refusal.level.value.capitalize()
    fault = "is there with other bytes" if refusal.same_place else f"is of another {refusal.level.parent}"
    room = MOST_COMMENT - len(kind) - len(fault) - 2
    uid = refusal.uid if len(refusal.uid) <= room else f"...{refusal.uid[3 - room :]}"
    return f"{kind} {uid} {fault}"
