"""Checks of the values that an edit gives to attributes, by their value representation (PS3.5 6.2)."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.valuerep import format_number_as_ds

from neurdicom.dicom.edits.schemas import PARAGRAPHS, change_schema, changes_schema
from neurdicom.dicom.query.attributes import AT_LEVEL, ATTRIBUTES, BY_FIELD, Attribute, Level
from neurdicom.dicom.query.conditions import Scalar, Value
from neurdicom.schema import Declaration

#: What each attribute takes, by its field.
_VALUES = {attribute.field: Declaration(change_schema(attribute)) for attribute in ATTRIBUTES if attribute.editable}


def editable_fields(level: Level) -> list[str]:
    """Names of the fields that an edit of this level may hold."""
    return [attribute.field for attribute in AT_LEVEL[level] if attribute.editable]


def _declared(level: Level) -> Declaration:
    def refusal(field: str) -> str:
        attribute = BY_FIELD.get(field)
        if attribute is None:
            return f"{field!r} is unknown; a {level} takes {', '.join(editable_fields(level))}"
        if attribute.level is not level:
            return f"{field!r} is an attribute of the {attribute.level}, not of the {level}"
        return f"{field!r} identifies the {level} or describes its pixels and can't be changed"

    return Declaration(changes_schema(level), refusal=refusal)


#: What an edit of each level brings.
CHANGES = {level: _declared(level) for level in Level}


def check_changes(level: Level, changes: Mapping[str, Any]) -> dict[str, Value]:
    """Check an edit of one entity field by field, and return the values in the form that the catalog keeps.

    Parameters
    ----------
    level : Level
        The level that is edited.
    changes : Mapping[str, Any]
        Field name to new value, as JSON gave them. None, an empty text and an empty list empty the attribute.

    Raises
    ------
    Invalid
        Naming the first field that is unknown, of another level, not editable, or has a wrong value.
    """
    return {field: kept_value(BY_FIELD[field], value) for field, value in CHANGES[level].check(changes).items()}


def check_value(attribute: Attribute, value: Any) -> Value:
    """Check a new value of an attribute; return it in the form that the catalog keeps. Raises `Invalid`."""
    return kept_value(attribute, _VALUES[attribute.field].read(value, field=attribute.field))


def kept_value(attribute: Attribute, value: Any) -> Value:
    """Convert a checked value to the form that the catalog keeps."""
    if not attribute.many:
        return _kept_item(attribute, value)
    items = [_kept_item(attribute, item) for item in (value if isinstance(value, list) else [value])]
    return [item for item in items if item is not None] or None


def _kept_item(attribute: Attribute, value: Any) -> Scalar | None:
    vr = dictionary_VR(attribute.keyword)
    if vr == "DS" and value is not None:
        # A DS holds 16 characters: the value that the file can carry is the one that is kept.
        return float(format_number_as_ds(float(value)))
    if isinstance(value, str):
        return (value.rstrip() if vr in PARAGRAPHS else value.strip()) or None
    kept: Scalar | None = value
    return kept
