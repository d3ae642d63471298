"""Queries for results: filters of lists, and conditions on the values in JSON results, which are indexed as terms.

A value is indexed by its path, such as `measurements.volume_ml`. A value in a list is indexed by the path without its
index, which stands for any element, and by the path with it, such as `lesions[0].volume_ml`.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from neurdicom.catalog.terms import LONGEST, Operator, Scalar, TermCondition, is_term
from neurdicom.dicom.query.filter_schemas import LEAP_YEAR, MONTH_DAY, WORD, YEAR
from neurdicom.errors import Invalid
from neurdicom.schema import Schema
from neurdicom.schema.texts import BLANKS, is_blank, whole_text

#: Most terms of one result's values.
MOST_VALUES = 2000

#: Prefix of a path in the name of a term; no field of a record begins so.
PREFIX = "$."

_DEEPEST = 32
_MIXTURES = 4
_LONGEST_TEXT = 1024
_CONDITION = re.compile(
    r"""\s* (?P<path> (?: "(?:[^"\\]|\\.)*" | [^\s"<>=!] )+? ) \s* (?P<op> <= | >= | != | == | = | < | > ) \s*
        (?P<value> (?![\s<>=!]) .*? ) \s*""",
    re.VERBOSE | re.DOTALL,
)
_STEP = re.compile(r"""(?P<name> "(?:[^"\\]|\\.)*" | [^\s."\[\]<>=!]+ )? (?P<places> (?:\[\d{1,9}\])* )""", re.VERBOSE)
_NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_PLAIN = re.compile(r"[^\s.\"\[\]<>=!]+")


KINDS = ("image", "json", "dicom", "bytes")

_EXACT = {
    "instance": "SOP Instance UID of a source image, or its id.",
    "stored": "UID or id of a DICOM instance made of the result, or of that instance's series or study.",
    "series": "Series Instance UID of a source image, or its series' id.",
    "study": "Study Instance UID of a source image, or its study's id.",
    "patient": "Id of the patient.",
    "job": "Id of the job that computed the result.",
    "digest": "SHA-256 of the ZIP of the plugin or model that computed the result, in hexadecimal.",
    "plugin": "Id of the plugin.",
    "model": "Id of the model.",
    "version": "Version of the plugin or the model.",
    "kind": f"Kind of the result: {', '.join(KINDS)}.",
}
#: Descriptions of the filters. The most selective come first, since the catalog begins with them.
FILTERS: Mapping[str, str] = {
    **{name: f"{description} Several values are separated by commas." for name, description in _EXACT.items()},
    "created": (
        "Time of the computation, in UTC: the beginning of an ISO 8601 time (`2024-01-31`, `2024-01-31T12:30`), or an "
        "interval of two such times with a slash between them (`2024-01-31/2024-02-15`); either end may be left out."
    ),
    "value": (
        "Condition on a value in the JSON result: a path, one of > >= < <= = !=, and a number or a text, such as "
        "`measurements.volume_ml > 20`. May be given several times; all conditions must hold."
    ),
}
_MOST_CONDITIONS = 20
_MOST_ALTERNATIVES = 100
_TIME = re.compile(r"(\d{4})(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?)?(Z|\+00:00)?", re.ASCII)
_LAST = "\U0010ffff"


def values_of(value: Any) -> tuple[list[list[Any]], int]:
    """List the values of a JSON result by path.

    Returns
    -------
    terms : list of [path, value]
        Numbers as doubles; true and false as these words. At most `MOST_VALUES`, each once.
    count : int
        Number of values that are left out: too many, too long, or too deep.
    """
    alone: list[tuple[tuple[str, ...], Scalar]] = []
    listed: list[tuple[tuple[str, ...], Scalar]] = []
    left_out = 0
    for paths, one in _walk(value, ("",), 0):
        chosen = alone if len(paths) == 1 else listed
        if len(chosen) < MOST_VALUES:
            chosen.append((paths, one))
        else:
            left_out += 1
    found: dict[tuple[str, Scalar], None] = {}
    for paths, one in (*alone, *listed):  # values in long lists must not displace single values
        terms = [(PREFIX + path, one) for path in paths]
        if len(found) + len(terms) > MOST_VALUES or not all(is_term(*term) for term in terms):
            left_out += 1
        else:
            found |= dict.fromkeys(terms)
    return [[path, one] for path, one in found], left_out


def _walk(value: Any, paths: tuple[str, ...], depth: int) -> Iterator[tuple[tuple[str, ...], Scalar]]:
    """Yield each value with its paths: the first has no list indices, the last has all."""
    if depth > _DEEPEST:
        yield paths, "x" * (LONGEST + 1)  # too long to be indexed, so it counts as left out
    elif isinstance(value, dict):
        for name, one in value.items():
            step = _written(name)
            yield from _walk(one, tuple(_joined(path, step) for path in paths), depth + 1)
    elif isinstance(value, list):
        # In deeply nested lists, only the paths with all indices or with none: the mixtures double with each level.
        kept = paths if len(paths) < _MIXTURES else (paths[0], paths[-1])
        for place, one in enumerate(value):
            placed = tuple(f"{path}[{place}]" for path in kept)
            mixed = (*kept, *placed) if len(paths) < _MIXTURES else (kept[0], placed[-1])
            yield from _walk(one, mixed, depth + 1)
    elif isinstance(value, bool):
        yield paths, "true" if value else "false"
    elif value is not None:
        yield paths, value if isinstance(value, str) else float(value)


def _joined(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def _written(name: str) -> str:
    """Write a member's name as a step of a path, quoted where it has characters that end a step."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def parse_condition(text: str) -> TermCondition:
    """Parse `path operator value`, such as `measurements.volume_ml > 20`.

    The path's steps are separated by dots; `[n]` selects an element of a list, and a list without one stands for any of
    its elements. A name with dots, brackets, spaces or operators is written in quotes, as in JSON. A value is a number
    if it looks like one, otherwise a text; a value in quotes is always a text.

    Raises
    ------
    Invalid
        The text is no condition; the field is `value`.
    """
    match = _CONDITION.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None or not match["value"]:
        raise Invalid(
            f"value is {text[:200]!r}; a path, one of > >= < <= = != and a value are expected, such as "
            "measurements.volume_ml > 20",
            field="value",
        )
    op: Operator = "=" if match["op"] == "==" else match["op"]  # type: ignore[assignment]
    condition = TermCondition(PREFIX + _path(match["path"]), op, (_value(match["value"]),))
    if not is_term(condition.name, condition.values[0]):
        raise Invalid(f"value: paths and texts have at most {LONGEST} characters", field="value")
    return condition


def _path(text: str) -> str:
    steps: list[str] = []
    end = 0
    while end <= len(text):
        match = _STEP.match(text, end)
        is_step = match is not None and (match["name"] or (match["places"] and not steps))
        if match is None or not is_step or not (match.end() == len(text) or text[match.end()] == "."):
            raise Invalid(
                f"value: {text[:200]!r} is no path; names separated by dots, with [n] for an element of a list, are "
                "expected",
                field="value",
            )
        name = match["name"] or ""
        name = _written(_unquoted(name)) if name.startswith('"') else name
        steps.append(name + "".join(f"[{int(place)}]" for place in re.findall(r"\d+", match["places"])))
        end = match.end() + 1
    return ".".join(steps)


def _value(text: str) -> Scalar:
    if text.startswith('"'):
        return _unquoted(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _unquoted(text: str) -> str:
    try:
        read = json.loads(text)
        read.encode()
    except (ValueError, AttributeError):
        raise Invalid(f"value: {text[:200]!r} is not a quoted text as in JSON", field="value") from None
    return str(read)


def parse_filters(given: Mapping[str, Sequence[str]]) -> list[TermCondition]:
    """Parse filters by name to conditions. Raises `Invalid` with the name of the filter that is wrong."""
    conditions = [_any_of(name, given[name]) for name in _EXACT if name in given]
    if "created" in given:
        conditions += _created(_single("created", given["created"]))
    conditions += [parse_condition(text) for text in given.get("value", ())]
    if len(conditions) > _MOST_CONDITIONS:
        raise Invalid(f"{len(conditions)} conditions are given; at most {_MOST_CONDITIONS} are taken", field="value")
    return conditions


def _single(name: str, texts: Sequence[str]) -> str:
    if len(texts) != 1:
        raise Invalid(f"{name!r} is given {len(texts)} times; once is expected", field=name)
    return texts[0].strip()


def _any_of(name: str, texts: Sequence[str]) -> TermCondition:
    values = [part.strip() for part in _single(name, texts).split(",")]
    if any(map(is_blank, values)):
        raise Invalid(f"{name} is empty, or one of its values between the commas is", field=name)
    if name == "kind" and not set(values) <= set(KINDS):
        raise Invalid(f"kind is {','.join(values)[:80]!r}; {', '.join(KINDS)} are expected", field=name)
    if len(values) > _MOST_ALTERNATIVES or any(len(value) > LONGEST for value in values):
        raise Invalid(
            f"{name}: at most {_MOST_ALTERNATIVES} alternatives of at most {LONGEST} characters are taken", field=name
        )
    return TermCondition(name, "=", tuple(values))


def _created(text: str) -> list[TermCondition]:
    """Parse an interval of times; each end stands for all times that begin with it."""
    first, slash, last = text.partition("/")
    if not slash:
        last = first
    first, last = (_beginning(one.strip()) for one in (first, last))
    if not (first or last):
        raise Invalid("created has no time; one is expected on at least one side of the slash", field="created")
    conditions = [TermCondition("created", ">=", (first,))] if first else []
    return conditions + ([TermCondition("created", "<=", (last + _LAST,))] if last else [])


def _beginning(text: str) -> str:
    if not text or text == "..":
        return ""
    match = _TIME.fullmatch(text.replace(" ", "+"))
    if match is None or not _is_time(match[0].removesuffix(match[8] or "")):
        raise Invalid(
            f"created is {text[:80]!r}; the beginning of an ISO 8601 time in UTC is expected, such as 2024-01-31T12:30",
            field="created",
        )
    return match[0].removesuffix(match[8] or "")


def _is_time(text: str) -> bool:
    whole = text + "0000-01-01T00:00:00"[len(text) :] if len(text) < len("0000-01-01T00:00:00") else text
    try:
        datetime.fromisoformat(whole).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


#: The same in regular expressions, the means of JSON Schema; a test compares the two.
_CLOCK = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?"
_DAY = rf"({YEAR}-({MONTH_DAY.format('-')})|{LEAP_YEAR}-02-29)"
_MOMENT = rf"({_DAY}(T{_CLOCK})?|{YEAR}(-(0[1-9]|1[0-2]))?)(Z|\+00:00)?"

_QUOTED = r'"([^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
_PATH_STEP = rf'({_QUOTED}|[^{BLANKS}."\[\]<>=!]+)'
_PLACE = r"(\[\d{1,9}\])"
_PATH = rf"({_PATH_STEP}{_PLACE}*|{_PLACE}+)(\.{_PATH_STEP}{_PLACE}*)*"

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
