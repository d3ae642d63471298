"""Entry of the trash: what was deleted, by whom and why, and the states that it goes through."""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol, Self

from neurdicom.catalog.records import Edit, Entity
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import UID_KEYWORD, Level, snake_case

#: Kind of the entries of earlier versions; the others have the name of the level that was deleted.
VERSION: Final = "version"

KINDS: Final = (*(level.value for level in Level), VERSION)


#: Seconds of a day, in which times in the trash are counted.
SECONDS_A_DAY: Final = 86400.0


class TrashState(StrEnum):
    """State of an entry; each is written down before what it announces begins, so that a start can finish it."""

    DELETING = "deleting"  # the catalog may still have it
    KEPT = "kept"
    RESTORING = "restoring"  # files and instances may be in either place
    RESTORED = "restored"  # a version is current again; a name of its file may be left at its place
    EMPTYING = "emptying"  # nothing at its place is needed any more


#: States that may follow each state.
TRANSITIONS: Final = {
    TrashState.DELETING: (TrashState.KEPT,),
    TrashState.KEPT: (TrashState.RESTORING, TrashState.EMPTYING),
    TrashState.RESTORING: (TrashState.RESTORED, TrashState.EMPTYING),
    TrashState.RESTORED: (),
    TrashState.EMPTYING: (),
}


#: States of entries that are in no list any more, while a backup keeps their files.
OVER: Final = (TrashState.RESTORED, TrashState.EMPTYING)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashEntry:
    """Entry of the trash: a deleted entity, or an earlier version of an instance.

    Attributes
    ----------
    id : str
        Id of the entry.
    kind : str
        Name of the level that was deleted, or `version`.
    state : TrashState
        How far it is.
    entity : str
        Key of the deleted entity, or of the instance that a version is of.
    uids : Mapping of str to str
        UIDs of the entity and of those above it, by field name.
    patient, patient_id, patient_name : str or None
        Patient that it was of: id of the entity, Patient ID and name.
    instances, bytes : int
        Number and bytes of the files.
    user : str or None
        Name of the user who deleted it; None for the server itself.
    time : str
        Time of the deletion, ISO 8601 in UTC.
    reason : str or None
        Reason that the user gave.
    until : float or None
        Time at which it is deleted for good, in seconds since the epoch; None for never.
    sha256 : str or None
        SHA-256 of a version.
    received : str or None
        Time of arrival of a version.
    edits : tuple of Edit
        Edits of the entity, of what was below it, and of what is gone above it, each entity's in their order.
    """

    id: str = field(default_factory=lambda: secrets.token_hex(16))
    kind: str
    state: TrashState = TrashState.DELETING
    entity: str
    uids: Mapping[str, str] = field(default_factory=dict)
    patient: str | None = None
    patient_id: str | None = None
    patient_name: str | None = None
    instances: int = 0
    bytes: int = 0
    user: str | None = None
    time: str
    reason: str | None = None
    until: float | None = None
    sha256: str | None = None
    received: str | None = None
    edits: tuple[Edit, ...] = ()

    @property
    def place(self) -> str:
        """Place of its files in the blob store."""
        return f"{'versions' if self.kind == VERSION else 'trash'}/{self.id}"

    def to_document(self) -> dict[str, Any]:
        """Convert to a document of the catalog."""
        own = {name: getattr(self, name) for name in self.__slots__}
        return own | {"uids": dict(self.uids), "edits": [edit.to_document() for edit in self.edits]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Read the document that `to_document` wrote."""
        edits = tuple(Edit.from_document(edit) for edit in document["edits"])
        return cls(**{**document, "state": TrashState(document["state"]), "edits": edits})


def to_iso(time: datetime) -> str:
    """Write a time as entries have it: ISO 8601 in UTC, to the millisecond."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def goes_with(entry: TrashEntry, level: Level, entity: Entity) -> bool:
    """Tell whether an entity may go with what an entry says is being deleted: it is that, lies below it, or above it.

    Parameters
    ----------
    entry : TrashEntry
        The entry.
    level : Level
        Level of the entity.
    entity : Entity
        The entity.
    """
    if entry.patient != entity["id" if level is Level.PATIENT else Level.PATIENT.value]:
        return False
    own = [uid_of(entity["key" if each is level else each.value]) for each in (*level.above, level)][1:]
    return all(entry.uids[name] == uid for name, uid in uids_of(level, *own).items() if name in entry.uids)


class SetAsideObserver(Protocol):
    """Observer of deletions, which holds what was derived from entities, such as results."""

    async def on_removed(self, level: Level, entity: str) -> None:
        """Delete what was derived from an entity that was deleted for good, by its key."""

    async def on_set_aside(self, level: Level, entity: str, place: str) -> None:
        """Hide what was derived from an entity; may be repeated.

        Parameters
        ----------
        level : Level
            Level of the entity.
        entity : str
            Its key.
        place : str
            Place of its files in the blob store.
        """

    async def on_shown_again(self, series: str) -> None:
        """Show again what was derived from files of a series, by its key, that moves had displaced; may be repeated."""

    async def on_brought_back(self, place: str) -> None:
        """Show again what was hidden at a place; may be repeated."""

    async def on_discarded(self, place: str) -> None:
        """Delete what was hidden at a place; may be repeated."""

    async def on_recovered(self, places: Collection[str]) -> None:
        """Delete what was hidden at other places than those of all entries, as after a crash.

        Parameters
        ----------
        places : collection of str
            Places of all entries.
        """


def uids_of(level: Level, *uids: str) -> dict[str, str]:
    """Name the UIDs of an entity and of those above it.

    Parameters
    ----------
    level : Level
        Level of the entity.
    *uids : str
        UIDs of the study, the series and the instance, as far as the level goes.
    """
    levels = [each for each in (*level.above, level) if each in UID_KEYWORD]
    return {snake_case(UID_KEYWORD[each]): uid for each, uid in zip(levels, uids, strict=True)}
