"""JSON schemas of filter texts, for the lists of entities and of results.

They express in regular expressions, the means of JSON Schema, what `dicom.query.filters` and `processing.value_query`
parse; a test compares the two.
"""

from neurdicom.dicom.query.attributes import BY_FIELD, Kind, Level
from neurdicom.dicom.query.filters import filter_fields
from neurdicom.http.parameters import BLANKS, NOT_BLANK, Schema
from neurdicom.processing.value_query import KINDS

#: Any character but a space, a control character or a comma.
_WORD = f"[^,{BLANKS}]"

#: A month and a day of any year, and 29 February with its year.
_MONTH_DAY = "(0[13578]|1[02]){0}(0[1-9]|[12]\\d|3[01])|(0[469]|11){0}(0[1-9]|[12]\\d|30)|02{0}(0[1-9]|1\\d|2[0-8])"
_LEAP_YEAR = r"(\d\d(0[48]|[2468][048]|[13579][26])|([02468][48]|[2468]0|[13579][26])00)"
_YEAR = r"(?!0000)\d{4}"
DATE = rf"({_YEAR}({_MONTH_DAY.format('')})|{_LEAP_YEAR}0229)"
TIME = r"(([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?)"
_INTEGER = r"-?\d{1,18}"

_ENTITY = {
    Kind.UID: r"[0-9.]{1,64}(,[0-9.]{1,64})*",
    # A list of whole values, or one pattern.
    Kind.CODE: rf"[^*?]*(?![*?]){_WORD}[^*?]*|[^,]*{_WORD}[^,]*",
    Kind.DATE: rf"{DATE}(-{DATE}?|(,{DATE})+)?|-{DATE}",
    Kind.TIME: rf"{TIME}(-{TIME}?)?|-{TIME}",
    Kind.INTEGER: rf"{_INTEGER}(-({_INTEGER})?|(,{_INTEGER})+)?",
}

_CLOCK = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?"
_DAY = rf"({_YEAR}-({_MONTH_DAY.format('-')})|{_LEAP_YEAR}-02-29)"
_MOMENT = rf"({_DAY}(T{_CLOCK})?|{_YEAR}(-(0[1-9]|1[0-2]))?)(Z|\+00:00)?"

_QUOTED = r'"([^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
_STEP = rf'({_QUOTED}|[^{BLANKS}."\[\]<>=!]+)'
_PLACE = r"(\[\d{1,9}\])"
_PATH = rf"({_STEP}{_PLACE}*|{_PLACE}+)(\.{_STEP}{_PLACE}*)*"

_RESULT = {
    "kind": rf"({'|'.join(KINDS)})(,({'|'.join(KINDS)}))*",
    "created": rf"{_MOMENT}(/({_MOMENT})?)?|/{_MOMENT}",
    "value": rf'{_PATH} ?(<=|>=|!=|==|=|<|>) ?([^{BLANKS}<>=!"][^\x00-\x1f]*|{_QUOTED})',
}
_LIST = rf"[^,]*{_WORD}[^,]*(,[^,]*{_WORD}[^,]*)*"


def entity_filter_schema(field: str) -> Schema:
    """Make the schema of a filter's text in a list of entities."""
    if field not in BY_FIELD and field != "modalities":
        return {"type": "string", "pattern": _WORD}
    form = _ENTITY.get(Kind.CODE if field == "modalities" else BY_FIELD[field].kind)
    return NOT_BLANK if form is None else _whole(form)


def conditions_schema(level: Level) -> Schema:
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
    kind = BY_FIELD[field].kind if field in BY_FIELD else Kind.CODE
    if kind is Kind.INTEGER:
        return {"anyOf": [text, {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}]}
    if kind in (Kind.DATE, Kind.TIME):
        return text
    whole = _whole(_ENTITY[kind]) if kind is Kind.UID else _whole(rf"[^*?]*(?![*?]){_WORD}[^*?]*")
    return {"anyOf": [text, {"type": "array", "minItems": 1, "items": whole}]}


def result_filter_schema(name: str) -> Schema:
    """Make the schema of a filter's text in a list of results."""
    schema = _whole(_RESULT.get(name, _LIST))
    return schema if name != "value" else {**schema, "maxLength": 256}


def _whole(form: str) -> dict[str, str]:
    return {"type": "string", "pattern": f"^({form})$"}
