"""Edits as changes of elements, and the rules for recording the previous values.

An edited dataset carries the Original Attributes Sequence (PS3.3 C.12.1.1.9): an item for each time and user of an
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

#: VRs whose previous value is recorded.
_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_NUMBERS = frozenset({"DS", "IS"})


class FieldEdit(Protocol):
    """Interface of an edit, such as `catalog.base.Edit`."""

    @property
    def field(self) -> str:
        """Field name."""

    @property
    def value(self) -> Value:
        """New value."""

    @property
    def user(self) -> str:
        """Name of the user who made the edit."""

    @property
    def time(self) -> str:
        """Time of the edit, ISO 8601 in UTC."""


Edits = Iterable[FieldEdit | Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Previous:
    """The file's own value of an edited element.

    Attributes
    ----------
    vr : str
        The VR in the file.
    values : list or None
        The values in the DICOM JSON model; None where they are bytes or items, or too long to be kept in a header.
    """

    vr: str
    values: list[Any] | None

    @property
    def is_kept(self) -> bool:
        """True if it can be recorded as a previous value; one that does not conform to its VR is recorded empty."""
        if self.values is None or self.vr not in _TEXT:
            return False
        return self.vr not in _NUMBERS or not any(isinstance(value, str) for value in self.values)


@dataclass(frozen=True, slots=True)
class Change:
    """A new value of an element.

    Attributes
    ----------
    tag : int
        `0xGGGGEEEE`.
    vr : str
        The VR of the new value.
    values : list
        The new values in the DICOM JSON model; empty to empty the element.
    text : str
        The new values as text of a file, separated by backslashes.
    user, time : str
        The user and the time of the edit.
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
        """Tell whether the file has another value; empty and absent are the same."""
        if previous is None:
            return bool(self.values)
        if not self.values and previous.values == []:
            return False
        return previous.vr != self.vr or previous.values != self.values


def changes_of(edits: Edits) -> list[Change]:
    """Convert edits, objects or mappings with `field`, `value`, `user` and `time`, to changes in the order of tags.

    The last edit of a field counts.
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
    """Tell whether a character set can write all the new values."""
    return all(charset.encode(change.text) is not None for change in changes)


def by_modification(changes: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    """Group changes by time and user, the earliest first; the key of a group is its Attribute Modification DateTime."""

    def edit(change: Change) -> tuple[str, str]:
        return change.time, change.user

    groups = groupby(sorted(changes, key=edit), key=edit)
    return [(_as_datetime(time), list(group)) for (time, _), group in groups]


def _as_datetime(time: str) -> str:
    """Write an ISO 8601 time in UTC as a DT with its offset (PS3.5 6.2)."""
    return "".join(char for char in time if char.isdigit() or char == ".") + "+0000"
