"""JSON schemas of the filters of lists of entities, as text of a query and as members of an object.

They express in regular expressions, the means of JSON Schema, what `dicom.query.filters` parses; a test compares the
two. The time that each takes is linear in the length of the text.
"""

from typing import Any

from neurdicom.dicom.query.attributes import BY_FIELD, Kind, Level
from neurdicom.dicom.query.filters import filter_fields
from neurdicom.dicom.query.labels import LABEL_FORM, LABELS
from neurdicom.dicom.uids import UID_FORM
from neurdicom.schema import Schema
from neurdicom.schema.texts import BLANKS, NOT_BLANK, whole_text

#: Any character but a space, a control character or a comma.
WORD = f"[^,{BLANKS}]"

#: A month and a day of any year, and 29 February with its year.
MONTH_DAY = "(0[13578]|1[02]){0}(0[1-9]|[12]\\d|3[01])|(0[469]|11){0}(0[1-9]|[12]\\d|30)|02{0}(0[1-9]|1\\d|2[0-8])"
LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][48]|[2468]0|[13579][26])00)"
YEAR = r"(?!0000)\d{4}"
DATE = rf"({YEAR}({MONTH_DAY.format('')})|{LEAP_YEAR}0229)"
TIME = r"(([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?)"
_INTEGER = r"-?\d{1,18}"

#: Text without wildcards that is not blank.
_WHOLE_VALUES = rf"(?=[^*?]*[^*?,{BLANKS}])[^*?]*"

_ENTITY = {
    Kind.UID: rf"{UID_FORM}(,{UID_FORM})*",
    # A list of whole values, or one pattern.
    Kind.CODE: rf"{_WHOLE_VALUES}|(?=[^,]*{WORD})[^,]*",
    Kind.DATE: rf"{DATE}(-{DATE}?|(,{DATE})+)?|-{DATE}",
    Kind.TIME: rf"{TIME}(-{TIME}?)?|-{TIME}",
    Kind.INTEGER: rf"{_INTEGER}(-({_INTEGER})?|(,{_INTEGER})+)?",
}

#: How the text of each kind is written.
HOW = {
    Kind.UID: "Exact match; several values are separated by commas.",
    Kind.CODE: "Case is ignored; `*` and `?` are wildcards; several values without wildcards are separated by commas.",
    Kind.TEXT: "Case is ignored; `*` and `?` are wildcards.",
    Kind.NAME: "Case is ignored; `*` and `?` are wildcards; any component group may match; trailing `^` do not count.",
    Kind.DATE: "YYYYMMDD, or a range such as 20240101-20240131; either end may be left out.",
    Kind.TIME: "HHMMSS.FFFFFF or its beginning, or a range such as 08-1159; either end may be left out.",
    Kind.INTEGER: "A number, several separated by commas, or a range such as 1-20 or 5-.",
}

#: How labels are written.
HOW_LABELS = "Labels of the entity itself, separated by commas, any of which it has; case matters."

#: One value of each kind in a list of several.
_ONE = {
    Kind.UID: _ENTITY[Kind.UID],
    Kind.DATE: DATE,
    Kind.TIME: r"(([01]\d|2[0-3])[0-5]\d([0-5]\d|60)\.\d{5}[1-9])",
    Kind.INTEGER: _INTEGER,
}

#: Most characters of all filters of an object together, and so most values of one.
MAX_FILTERS = 16 * 1024


def entity_filter_schema(field: str) -> Schema:
    """Make the schema of a filter's text in a list of entities."""
    if field == LABELS:
        return whole_text(rf"{LABEL_FORM}(,{LABEL_FORM})*")
    if field not in BY_FIELD and field != "modalities":
        return {"type": "string", "pattern": WORD}
    form = _ENTITY.get(Kind.CODE if field == "modalities" else BY_FIELD[field].kind)
    return NOT_BLANK if form is None else whole_text(form)


def conditions_schema(level: Level) -> dict[str, Any]:
    """Make the schema of an object of filters for the list of a level."""
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {field: _condition_schema(field) for field in filter_fields(level)},
        "examples": [{}],
    }


def _condition_schema(field: str) -> Schema:
    """Make the schema of one filter: text as in a query, a number, or a list of whole values."""
    text = entity_filter_schema(field)
    kind = BY_FIELD[field].kind if field in BY_FIELD else Kind.CODE if field == "modalities" else None
    if field == LABELS:
        return _labels_schema(text)
    one = {"type": "string", "pattern": WORD} if kind is None else whole_text(_ONE.get(kind, _WHOLE_VALUES))
    number: list[Schema] = []
    if kind not in (Kind.DATE, Kind.TIME):
        number = [{"type": "integer", "minimum": 0 if kind is Kind.UID else -(2**63), "maximum": 2**63 - 1}]
    several = {"type": "array", "minItems": 1, "maxItems": MAX_FILTERS, "items": _any_of([one, *number])}
    how = HOW[kind] if kind else "Ids, separated by commas."
    return {
        "description": f"Text, or a list of values: {how}",
        "anyOf": [text, *number, several, {"type": "array", "minItems": 1, "maxItems": 1, "items": text}],
    }


def _labels_schema(text: Schema) -> Schema:
    several = {"type": "array", "minItems": 1, "maxItems": MAX_FILTERS, "items": text}
    number = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    return {"description": f"Text, or a list of values: {HOW_LABELS}", "anyOf": [text, number, several]}


def _any_of(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
