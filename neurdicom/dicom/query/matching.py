"""Attribute matching on datasets in the DICOM JSON model (PS3.4 C.2.2.2), for keys that the catalog does not index."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from neurdicom.dicom.codec.dictionary import dictionary_vr
from neurdicom.dicom.codec.json_model import name_text
from neurdicom.dicom.codec.value_readers import NUMBERS, STREAMS
from neurdicom.dicom.query.conditions import folded_pattern, word_keys
from neurdicom.dicom.query.filters import date_range, time_range
from neurdicom.dicom.query.folding import name_key, name_patterns, search_key, word_key, words
from neurdicom.errors import Invalid

Dataset = Mapping[str, Any]
Test = Callable[[Sequence[Any]], bool]

#: VRs in which a backslash is a character and separates no values.
SINGLE_VRS = frozenset({"LT", "ST", "UR", "UT"})
_NUMERIC = frozenset({*NUMBERS, "DS", "IS"})
_DATETIME = re.compile(r"(\d{4}(?:\d\d){0,5}(?:\.\d{1,6})?)([+-]\d{4})?\Z", re.ASCII)
_RANGE = re.compile(r"(?P<low>[\d.]+(?:[+-]\d{4}(?=-))?)?-(?P<high>[\d.]+(?:[+-]\d{4})?)?\Z", re.ASCII)


def vr_of(tag: str, element: Mapping[str, Any]) -> str:
    """Look up the VR of a key in the dictionary; that of the element where the dictionary has none."""
    known = dictionary_vr(int(tag, 16))
    return str(element.get("vr") or "UN") if known == "UN" else known


def key_texts(vr: str, element: Mapping[str, Any]) -> list[str]:
    """List the values of a matching key as text, without empty ones; backslashes in a value separate several."""
    texts = []
    for value in element.get("Value") or ():
        text = (name_text(value) or "") if vr == "PN" else "" if value is None else str(value)
        # What is no character at all (a lone surrogate) must not become one that means something.
        text = text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        texts += [text] if vr in SINGLE_VRS else text.split("\\")
    return [text for text in (text.strip(" \0") for text in texts) if text]


def is_matching(tag: str, element: Mapping[str, Any]) -> bool:
    """Tell whether a key restricts anything: it has a value other than `*`, or an item with such a key."""
    if vr_of(tag, element) == "SQ":
        return any(is_matching(*key) for item in element.get("Value") or () for key in (item or {}).items())
    texts = key_texts(vr_of(tag, element), element)
    return bool(texts) and all(text.strip("*") for text in texts)


def matcher(keys: Dataset, *, fuzzy: bool = False) -> Callable[[Dataset], bool]:
    """Compile keys into a function that tells whether a dataset meets them all.

    Parameters
    ----------
    keys : Mapping[str, Any]
        Tag to element in the DICOM JSON model; values are as in C-FIND (wildcards, ranges, lists).
    fuzzy : bool
        True to match person names by words.

    Returns
    -------
    callable
        Takes a dataset in the DICOM JSON model, returns True if it meets all keys.

    Raises
    ------
    Invalid
        A value does not conform to its attribute, such as a date; `field` is the tag.
    """
    tests = [(tag, _test(tag, element, fuzzy)) for tag, element in keys.items() if is_matching(tag, element)]

    def meets(dataset: Dataset) -> bool:
        for tag, test in tests:
            values = dataset.get(tag, {}).get("Value")
            if not isinstance(values, list) or not test(values):
                return False
        return True

    return meets


def _test(tag: str, element: Mapping[str, Any], fuzzy: bool) -> Test:
    vr = vr_of(tag, element)
    if vr == "SQ":
        items = [matcher(item, fuzzy=fuzzy) for item in element["Value"] if item]
        return lambda values: any(meets(value or {}) for value in values for meets in items)
    texts = key_texts(vr, element)
    if vr in STREAMS:
        raise Invalid(f"{tag} holds bytes and can't be matched", field=tag)
    tests = [_value_test(tag, vr, text, fuzzy) for text in texts]
    if vr == "PN":
        return lambda values: any(test(name_text(value) or "") for value in values for test in tests)
    return lambda values: any(test(value) for value in values if value is not None for test in tests)


def _value_test(tag: str, vr: str, text: str, fuzzy: bool) -> Callable[[Any], bool]:
    if vr in _NUMERIC:
        return _number_test(tag, vr, text)
    if vr in ("DA", "TM", "DT") and "*" not in text and "?" not in text:
        return _time_test(tag, vr, text)
    if vr == "PN" and fuzzy:
        patterns = [folded_pattern(word_key(word) + "*") for word in words(text)]
        return lambda name: all(any(p.match(word) for word in word_keys(name)) for p in patterns)
    if vr == "PN":
        groups = [[*map(folded_pattern, name_patterns(group))] for group in text.split("=") if group.strip()]
        return lambda name: _has_groups(groups, [name_key(group) for group in name.split("=")])
    pattern = folded_pattern(search_key(text))
    return lambda value: pattern.match(search_key(str(value))) is not None


def _has_groups(groups: Sequence[Sequence[re.Pattern[str]]], keys: Sequence[str]) -> bool:
    """Tell whether each group of a key is one of a name's component groups."""
    return all(any(key and pattern.match(key) for key in keys for pattern in patterns) for patterns in groups)


def _number_test(tag: str, vr: str, text: str) -> Callable[[Any], bool]:
    try:
        wanted = float(text)
    except ValueError as error:
        raise Invalid(f"{tag} is {text!r:.60}; a number is expected ({vr})", field=tag) from error
    return lambda value: isinstance(value, int | float) and value == wanted


def _time_test(tag: str, vr: str, text: str) -> Callable[[Any], bool]:
    if vr == "DT":
        low, high = _datetime_range(tag, text)
    else:
        found = (date_range if vr == "DA" else time_range)(tag, text)
        low, high = (None if end is None else str(end) for end in found)

    def test(value: Any) -> bool:
        plain = _plain(str(value), vr)
        return plain is not None and (low is None or plain >= low) and (high is None or plain <= high)

    return test


def _plain(value: str, vr: str) -> str | None:
    """Write a stored date or time in the form that sorts: digits, without an offset from UTC; None if it has none."""
    if vr == "DT":
        match = _DATETIME.match(value)
        return match[1] if match else None
    return value.replace(".", "") if vr == "DA" else value.replace(":", "")


def _datetime_range(tag: str, text: str) -> tuple[str | None, str | None]:
    """Read the ends of a DT key; one of less precision covers all that begin with it. Offsets from UTC are ignored."""
    single, between = _DATETIME.match(text), _RANGE.match(text)
    if single:
        return single[1], single[1] + "~"
    if between is None or not (between["low"] or between["high"]):
        raise Invalid(
            f"{tag} is {text!r:.60}; a date and time (YYYYMMDDHHMMSS.FFFFFF) or a range is expected", field=tag
        )
    ends = [_DATETIME.match(end) if end else None for end in (between["low"], between["high"])]
    if any(bool(end) != bool(match) for end, match in zip((between["low"], between["high"]), ends, strict=True)):
        raise Invalid(f"{tag} is {text!r:.60}; a range of dates and times (YYYYMMDDHHMMSS) is expected", field=tag)
    low, high = ends
    return (low[1] if low else None), (high[1] + "~" if high else None)
