"""Moves of patients, studies and series to another parent, and the places of files that follow from them.

The natural path of a file is the patient, study and series that its own attributes name; without moves it lies there. A
move gives all files of a natural patient, study or series, those that arrive later too, to another parent. Keys are
made of natural paths, so moves do not change them. Where a move puts two entities of one UID under one parent they are
one entity, which has the keys of both. An instance of which several files lie there shows the one that arrived last;
the others are displaced until the entities are parted again.
"""

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from neurdicom.catalog.projection import uid_field
from neurdicom.catalog.records import Edit
from neurdicom.dicom.header import BlobRef
from neurdicom.dicom.identity import key_of
from neurdicom.dicom.query.attributes import AT_LEVEL, Level
from neurdicom.dicom.query.conditions import Value


@dataclass(frozen=True, slots=True)
class NaturalSeries:
    """Natural path of a series: the id of the patient, and the UIDs of the study and series, that its files name."""

    patient: str
    study: str
    series: str

    @property
    def key(self) -> str:
        """Key of the series."""
        return key_of(self.series, self.patient, self.study)

    @property
    def below(self) -> str:
        """Digest in the keys of its instances."""
        return key_of("", self.patient, self.study, self.series)[1:]


@dataclass(frozen=True, slots=True)
class Move:
    """Move of a natural patient, study or series to another parent.

    Attributes
    ----------
    edit : str
        Id of the edit that it is part of; a merge moves several studies, a split several series.
    level : Level
        Level of what was moved.
    path : tuple of str
        Natural path of the moved entity: the patient's id, then the UIDs of the study and the series as far as it goes.
    patient : str
        Id of the patient that it was given to; for a series the one in the key of the study.
    study : str
        UID of the study that a series was given to.
    attributes : Mapping[str, Value] or None
        Values of the study that a series takes, by field; its own no longer count.
    before, after : str
        Id of the patient, or key of the study, that it belonged to, and that it was given to.
    user, time : str
        Who moved it, and when (ISO 8601 in UTC).
    from_now_on : bool
        For a patient: True if studies that come later follow.
    is_split : bool
        For a series: True if its study was made by the move.
    """

    edit: str
    level: Level
    path: tuple[str, ...]
    patient: str
    study: str = ""
    attributes: Mapping[str, Value] | None = None
    before: str = ""
    after: str = ""
    user: str = ""
    time: str = ""
    from_now_on: bool = False
    is_split: bool = False

    @property
    def subject(self) -> str:
        """Level and natural path of the moved entity as one text, by which its moves are looked up."""
        return subject_of(self.level, *self.path)

    @property
    def studies(self) -> tuple[str, ...]:
        """UIDs of the studies that it names: that of the moved entity, and the one that a series was given to."""
        return (*self.path[1:2], *((self.study,) if self.study else ()))

    def to_document(self) -> dict[str, Any]:
        """Write the document that a catalog keeps."""
        return {
            "edit": self.edit,
            "level": self.level.value,
            "path": list(self.path),
            "patient": self.patient,
            "study": self.study,
            "attributes": None if self.attributes is None else dict(self.attributes),
            "before": self.before,
            "after": self.after,
            "user": self.user,
            "time": self.time,
            "from_now_on": self.from_now_on,
            "is_split": self.is_split,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the document that `to_document` wrote."""
        return cls(**{**document, "level": Level(document["level"]), "path": tuple(document["path"])})


@dataclass(frozen=True, slots=True)
class Placement:
    """Place of a natural series by the moves in force.

    Attributes
    ----------
    patient, study : str
        Id of the patient, and UID of the study.
    owner : str
        Id of the patient in the key of that study; another one where the study was moved as well.
    via : tuple of Move
        The moves that led there, that of the series first; empty where none is in force.
    """

    patient: str
    study: str
    owner: str
    via: tuple[Move, ...] = ()

    @property
    def study_key(self) -> str:
        """Key of the study by this natural series."""
        return key_of(self.study, self.owner)


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """Request to merge a patient, to move a study or series, or to split a study.

    Attributes
    ----------
    edit : str
        Id of the edit.
    level : Level
        `Level.PATIENT` merges a patient into another, `Level.STUDY` gives a study to another patient, `Level.SERIES`
        gives series to another study.
    entities : tuple of str
        References of the entities to move; several series of one study for a split.
    patient : str
        Id of the patient that patients and studies go to; one that is not there is made, if demographics are given.
    demographics : Mapping[str, Value] or None
        All attributes of that patient by field, which everything moved there shows; None to keep those that it has.
    study : str
        Reference of the study that series go to; with `is_split` the UID of a new one of the same patient.
    is_split : bool
        True to make the study.
    from_now_on : bool
        For a merge: True if studies of the patient that come later follow.
    user, time : str
        Who moves it, and when (ISO 8601 in UTC).
    """

    edit: str
    level: Level
    entities: tuple[str, ...]
    patient: str = ""
    demographics: Mapping[str, Value] | None = None
    study: str = ""
    is_split: bool = False
    from_now_on: bool = False
    user: str = ""
    time: str = ""


@dataclass(frozen=True, slots=True)
class MovedSeries:
    """A natural series that lies somewhere else than before.

    Attributes
    ----------
    key : str
        Its natural key, by which documents may name it.
    series, study, patient : str
        Keys of the series, its study and its patient now.
    before : tuple of str
        Keys of its series, its study and its patient before.
    """

    key: str
    series: str
    study: str
    patient: str
    before: tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class DisplacedFile:
    """A file that is not shown, since a move brought it together with a later file of the same SOP Instance UID.

    Attributes
    ----------
    key : str
        Natural key of its instance.
    blob : BlobRef
        The file.
    received : str
        Time of arrival, ISO 8601 in UTC.
    """

    key: str
    blob: BlobRef
    received: str


def subject_of(level: Level, *path: str) -> str:
    """Write the level and natural path of an entity as one text, by which its moves are looked up.

    Parameters
    ----------
    level : Level
        Level of the entity.
    *path : str
        Its natural path.
    """
    return "\\".join((level.value, *path))


def placing(natural: NaturalSeries) -> Generator[str, Sequence[Move], Placement]:
    """Find where a natural series lies, as a generator that asks for moves and returns the placement.

    It yields subjects (`subject_of`) and is sent the moves of each in the order in which they were made. Of a series or
    a study only the latest move counts. The patient's merges count for studies that were not moved themselves, one
    after the other.

    Parameters
    ----------
    natural : NaturalSeries
        The series.
    """
    patient, study = natural.patient, natural.study
    via: list[Move] = []
    of_series = yield subject_of(Level.SERIES, patient, study, natural.series)
    if of_series:
        via.append(of_series[-1])
        patient, study = of_series[-1].patient, of_series[-1].study
    owner = patient
    of_study = yield subject_of(Level.STUDY, owner, study)
    if of_study:
        via.append(of_study[-1])
        return Placement(of_study[-1].patient, study, owner, tuple(via))
    merges: list[Move] = []
    patients = [patient]
    while following := [one for one in (yield subject_of(Level.PATIENT, patient)) if one.from_now_on]:
        merges.append(following[-1])
        patient = merges[-1].patient
        if patient in patients:
            merges = _ended(merges, patients.index(patient))
            patient = merges[-1].patient
            break
        patients.append(patient)
    return Placement(patient, study, owner, (*via, *merges))


def _ended(merges: Sequence[Move], begin: int) -> list[Move]:
    """Rotate merges that go round in a circle from the n-th on, so that the latest of the circle is the last."""
    circle = merges[begin:]
    latest = circle.index(max(circle, key=lambda move: (move.time, move.edit))) + 1
    return [*merges[:begin], *circle[latest:], *circle[:latest]]


def placement_edits(
    natural: NaturalSeries, placement: Placement, demographics: Mapping[str, Value] | None
) -> tuple[Edit, ...]:
    """Make the edits that write the patient and study where a natural series lies into its files.

    Parameters
    ----------
    natural : NaturalSeries
        The series.
    placement : Placement
        Where it lies.
    demographics : Mapping[str, Value] or None
        The attributes of the patient there; what is missing is emptied.

    Returns
    -------
    tuple of Edit
        Of the patient, where it is another one, then of the study.
    """
    edits: list[Edit] = []
    last = placement.via[-1] if placement.via else None
    if last and placement.patient != natural.patient and demographics is not None:
        edits += _edits_of(Level.PATIENT, placement.patient, demographics, last)
    first = placement.via[0] if placement.via else None
    if first and first.attributes is not None:
        values = {**first.attributes, _STUDY_UID: placement.study}
        edits += _edits_of(Level.STUDY, placement.study_key, values, first)
    return tuple(edits)


def claims_with(attributes: Mapping[str, Value], edits: Iterable[Edit]) -> dict[str, Value]:
    """Apply placement edits to the attributes that files give of the levels above; emptied ones are left out."""
    values = {**attributes, **{edit.field: edit.value for edit in edits if edit.field != _STUDY_UID}}
    return {name: value for name, value in values.items() if value is not None}


def demographics_of(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Select the attributes of a patient, by field; None for those that are missing."""
    return {each.field: attributes.get(each.field) for each in AT_LEVEL[Level.PATIENT]}


def study_values(attributes: Mapping[str, Value]) -> dict[str, Value]:
    """Select the attributes that a series takes from the study that it is given to; None for missing ones."""
    return {each.field: attributes.get(each.field) for each in AT_LEVEL[Level.STUDY] if each.field not in _KEPT}


def canonical(parts: Iterable[tuple[str, bool]]) -> str:
    """Choose the key of an entity that is made of several natural ones.

    Parameters
    ----------
    parts : iterable of (str, bool)
        Their keys in the order of their earliest instance, each with True if it lies where its files say.
    """
    keys = list(parts)
    return next((key for key, is_unmoved in keys if is_unmoved), keys[0][0])


def _edits_of(level: Level, entity: str, values: Mapping[str, Value], move: Move) -> list[Edit]:
    return [Edit(level, entity, name, value, move.user, move.time) for name, value in sorted(values.items())]


_STUDY_UID = str(uid_field(Level.STUDY))
#: The offset belongs to the times in the files, which stay as they are.
_KEPT = (_STUDY_UID, "timezone_offset_from_utc")
