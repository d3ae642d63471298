"""Edits as changes of elements, and what an edited dataset tells of the values that it had before.

What is served carries the Original Attributes Sequence (PS3.3 C.12.1.1.9): an item for each time and user of an
edit, with the values that the file has. All ways out (`dicom.edits.apply`) follow the rules here, so that they agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from pydicom.valuerep import format_number_as_ds

from neurdicom.dicom.codec.charset import CharacterSet
from neurdicom.dicom.codec.dictionary import dictionary_vr, tag_of
from neurdicom.dicom.codec.json_model import name_groups
from neurdicom.dicom.query.attributes import BY_FIELD
from neurdicom.dicom.query.conditions import Value

ORIGINAL_ATTRIBUTES = 0x04000561
MODIFIED_ATTRIBUTES = 0x04000550
MODIFICATION_TIME = 0x04000562
MODIFYING_SYSTEM = 0x04000563
SOURCE_OF_PREVIOUS_VALUES = 0x04000564
MODIFICATION_REASON = 0x04000565

SYSTEM = "NEURDICOM"
#: The defined term for values that were wrong; COERCE, the other one, is for those of another institution.
REASON = "CORRECT"

#: VRs of which a previous value is kept.
_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_NUMBERS = frozenset({"DS", "IS"})


class FieldEdit(Protocol):
    """What is needed of an edit, such as `catalog.base.Edit`."""

    @property
    def field(self) -> str:
        """Field name."""

    @property
    def value(self) -> Value:
        """New value."""

    @property
    def user(self) -> str:
        """Who gave it."""

    @property
    def time(self) -> str:
        """When, ISO 8601 in UTC."""


Edits = Iterable[FieldEdit | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Previous:
    """What a file has for an element that is edited.

    Attributes
    ----------
    vr : str
        As the file has it.
    values : list or None
        In the DICOM JSON model; None where it is nothing that text could be, or too long to be kept.
    """

    vr: str
    values: list[Any] | None

    @property
    def is_kept(self) -> bool:
        """It can be repeated as a previous value. One that does not conform to its VR is told as an empty one."""
        if self.values is None or self.vr not in _TEXT:
            return False
        return self.vr not in _NUMBERS or not any(isinstance(value, str) for value in self.values)


@dataclass(frozen=True, slots=True)
class Change:
    """A new value of an element.

    Attributes
    ----------
    tag : int
    vr : str
    values : list
        In the DICOM JSON model; empty to empty the element.
    text : str
        As it is written into a file.
    user, time : str
        Of the edit.
    """

    tag: int
    vr: str
    values: list[Any]
    text: str
    user: str
    time: str

    @property
    def key(self) -> str:
        """The tag in the DICOM JSON model."""
        return f"{self.tag:08X}"

    def alters(self, previous: Previous | None) -> bool:
        """Whether the file has something else; what is empty and what is absent are the same."""
        if previous is None:
            return bool(self.values)
        if not self.values and previous.values == []:
            return False
        return previous.vr != self.vr or previous.values != self.values


def changes_of(edits: Edits) -> list[Change]:
    """Read edits, which are objects with `field`, `value`, `user` and `time`, or mappings with these members.

    The last one of a field counts.
    """
    found: dict[int, Change] = {}
    for edit in edits:
        if isinstance(edit, Mapping):
            field, value, user, time = (edit[name] for name in ("field", "value", "user", "time"))
        else:
            field, value, user, time = edit.field, edit.value, edit.user, edit.time
        change = _change(field, value, user, time)
        found[change.tag] = change
    return [found[tag] for tag in sorted(found)]


def _change(field: str, value: Value, user: str, time: str) -> Change:
    tag = int(tag_of(BY_FIELD[field].keyword), 16)
    vr = dictionary_vr(tag)
    items: list[Any] = [] if value is None else value if isinstance(value, list) else [value]
    # All editable attributes are text in a file.
    text = "\\".join(format_number_as_ds(float(item)) if vr == "DS" else str(item) for item in items)
    values = [name_groups(str(item)) for item in items] if vr == "PN" else items
    return Change(tag, vr, values, text, user, time)


def fits(charset: CharacterSet, changes: Iterable[Change]) -> bool:
    """Tell if a character set can write all the new values."""
    return all(charset.encode(change.text) is not None for change in changes)


def by_modification(changes: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    """Group changes by edit, the earliest first; with each, its Attribute Modification DateTime."""

    def edit(change: Change) -> tuple[str, str]:
        return change.time, change.user

    groups = groupby(sorted(changes, key=edit), key=edit)
    return [(_as_datetime(time), list(group)) for (time, _), group in groups]


def _as_datetime(time: str) -> str:
    """Write an ISO 8601 time in UTC as a DT with its offset (PS3.5 6.2)."""
    return "".join(char for char in time if char.isdigit() or char == ".") + "+0000"
