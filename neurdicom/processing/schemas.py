"""Declarations of requests for processing jobs, of what rules have in common with them, and of filters of results.

The latter express in regular expressions, the means of JSON Schema, what `processing.value_query` parses; a test
compares the two.
"""

from typing import Any

from neurdicom.archive.selection_schemas import EITHER_SELECTION, FILTERS_OF_LEVEL, SELECTION_MEMBERS
from neurdicom.dicom.query.filter_schemas import LEAP_YEAR, MONTH_DAY, WORD, YEAR
from neurdicom.plugins.tools import ToolType
from neurdicom.processing.run import DICOM, FORMATS
from neurdicom.processing.value_query import KINDS
from neurdicom.schema import NAMED, Declaration, Schema
from neurdicom.schema.texts import BLANKS, whole_text

#: Types of tools, which are also the members of a request that name a tool.
TOOLS: tuple[ToolType, ...] = ("plugin", "model")

_BOOLEAN = {"type": "boolean"}
_NULL = {"type": "null"}

#: Members of a request that name the tool, its parameters, and the options of a job.
ACTION_MEMBERS: dict[str, Any] = {
    "plugin": {"type": ["string", "null"], "description": "Id of the plugin to run; either this or `model`."},
    "model": {"type": ["string", "null"], "description": "Id of the model to run; either this or `plugin`."},
    "params": {"type": ["object", "null"], "description": "Parameters of the plugin or the model, by name."},
    "format": {"enum": [*FORMATS, DICOM], "default": "png"},
    "store": {**_BOOLEAN, "default": False, "description": "Store the results as DICOM instances of the study."},
    "cache": {**_BOOLEAN, "default": True, "description": "Return kept results instead of computing them again."},
    "frame": {
        "description": "Number of the frame of each instance, from 1. `all`, the default, makes one result for each "
        "frame where the tool takes single frames.",
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, {"enum": ["all", None]}],
    },
}

#: Exactly one tool is named.
EITHER_TOOL: dict[str, Any] = {
    "description": "plugin or model, the id of the one to run",
    "oneOf": [
        {"required": ["plugin"], "properties": {"plugin": {"type": "string"}, "model": _NULL}},
        {"required": ["model"], "properties": {"model": {"type": "string"}, "plugin": _NULL}},
    ],
    NAMED: "plugin",
}

#: A job over a selection, or its estimate.
PROCESS_REQUEST = Declaration(
    {
        "type": "object",
        "examples": [{"plugin": "org.example.plugin", "series": ["1.2.840.113619.2.1.1"]}],
        "additionalProperties": False,
        "properties": {
            **ACTION_MEMBERS,
            **SELECTION_MEMBERS,
            "dry_run": {**_BOOLEAN, "default": False, "description": "Only count what the job would do."},
        },
        "allOf": [EITHER_TOOL, EITHER_SELECTION, FILTERS_OF_LEVEL],
    },
    alone=("filters",),
)

_CLOCK = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?"
_DAY = rf"({YEAR}-({MONTH_DAY.format('-')})|{LEAP_YEAR}-02-29)"
_MOMENT = rf"({_DAY}(T{_CLOCK})?|{YEAR}(-(0[1-9]|1[0-2]))?)(Z|\+00:00)?"

_QUOTED = r'"([^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
_STEP = rf'({_QUOTED}|[^{BLANKS}."\[\]<>=!]+)'
_PLACE = r"(\[\d{1,9}\])"
_PATH = rf"({_STEP}{_PLACE}*|{_PLACE}+)(\.{_STEP}{_PLACE}*)*"

_RESULT = {
    "kind": rf"({'|'.join(KINDS)})(,({'|'.join(KINDS)}))*",
    "created": rf"{_MOMENT}(/({_MOMENT})?)?|/{_MOMENT}",
    "value": rf'{_PATH} ?(<=|>=|!=|==|=|<|>) ?([^{BLANKS}<>=!"][^\x00-\x1f]*|{_QUOTED})',
}
_LIST = rf"[^,]*{WORD}[^,]*(,[^,]*{WORD}[^,]*)*"


def result_filter_schema(name: str) -> Schema:
    """Make the schema of a filter's text in a list of results."""
    schema = whole_text(_RESULT.get(name, _LIST))
    return schema if name != "value" else {**schema, "maxLength": 256}
