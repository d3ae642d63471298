"""The filters of a list of results."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from neurdicom.catalog.terms import LONGEST, Having
from neurdicom.errors import Invalid
from neurdicom.processing.results.values import parse_condition

KINDS = ("image", "json", "dicom", "bytes")

_EXACT = {
    "instance": "SOP Instance UID of a source.",
    "stored": "SOP Instance UID of a DICOM instance that was made of it, or the UID of its series or study.",
    "series": "Series Instance UID of a source.",
    "study": "Study Instance UID of a source.",
    "patient": "Id of the patient.",
    "job": "Id of the job that computed it.",
    "digest": "SHA-256 of the archive that computed it.",
    "plugin": "Id of the plugin.",
    "model": "Id of the model.",
    "version": "Version of the plugin or the model.",
    "kind": f"One of {', '.join(KINDS)}.",
}
#: Filter to what it asks for. Those that leave the fewest come first: the catalog begins with them.
FILTERS: Mapping[str, str] = {
    **{name: f"{told} Several are separated by commas." for name, told in _EXACT.items()},
    "created": (
        "When it was computed, in UTC: the beginning of an ISO 8601 time (`2024-01-31`, `2024-01-31T12:30`), or two "
        "with a slash between them; either may be left out."
    ),
    "value": (
        "A value in the JSON: a path, one of > >= < <= = !=, and a number or a text, such as "
        "`measurements.volume_ml > 20`. May be given several times; all must hold."
    ),
}
_MOST_CONDITIONS = 20
_MOST_ALTERNATIVES = 100
_TIME = re.compile(r"(\d{4})(-\d\d(-\d\d(T\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?)?(Z|\+00:00)?", re.ASCII)
_LAST = "\U0010ffff"


def parse_filters(given: Mapping[str, Sequence[str]]) -> list[Having]:
    """The conditions of filters by name. Raises `Invalid` with the name of the one that is wrong."""
    conditions = [_any_of(name, given[name]) for name in _EXACT if name in given]
    if "created" in given:
        conditions += _created(_single("created", given["created"]))
    conditions += [parse_condition(text) for text in given.get("value", ())]
    if len(conditions) > _MOST_CONDITIONS:
        raise Invalid(f"{len(conditions)} conditions are given; at most {_MOST_CONDITIONS} are taken", field="value")
    return conditions


def _single(name: str, texts: Sequence[str]) -> str:
    if len(texts) != 1:
        raise Invalid(f"{name!r} is given {len(texts)} times", field=name)
    return texts[0].strip()


def _any_of(name: str, texts: Sequence[str]) -> Having:
    values = [part.strip() for part in _single(name, texts).split(",")]
    if not all(values):
        raise Invalid(f"{name} is empty, or one of its parts is", field=name)
    if name == "kind" and not set(values) <= set(KINDS):
        raise Invalid(f"kind is {','.join(values)[:80]!r}; {', '.join(KINDS)} are known", field=name)
    if len(values) > _MOST_ALTERNATIVES or any(len(value) > LONGEST for value in values):
        raise Invalid(
            f"{name}: at most {_MOST_ALTERNATIVES} alternatives of at most {LONGEST} characters are taken", field=name
        )
    return Having(name, "=", tuple(values))


def _created(text: str) -> list[Having]:
    """An interval of times; each stands for all that begin with it."""
    first, slash, last = text.partition("/")
    if not slash:
        last = first
    first, last = (_beginning(one.strip()) for one in (first, last))
    if not (first or last):
        raise Invalid("created names no time", field="created")
    conditions = [Having("created", ">=", (first,))] if first else []
    return conditions + ([Having("created", "<=", (last + _LAST,))] if last else [])


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
