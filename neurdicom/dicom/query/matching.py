"""Attribute matching on datasets in the DICOM JSON model (PS3.4 C.2.2.2), for keys that the catalog does not index."""

import base64
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

from neurdicom.dicom.codec.dictionary import dictionary_vr
from neurdicom.dicom.codec.json_model import NAME_GROUPS, name_text
from neurdicom.dicom.codec.value_readers import NUMBERS, STREAMS
from neurdicom.dicom.query.attributes import Kind
from neurdicom.dicom.query.conditions import folded_pattern, word_keys
from neurdicom.dicom.query.folding import name_key, name_patterns, search_key, word_key, words
from neurdicom.dicom.query.spans import ValueSpan, read_datetimes, read_span

Dataset = Mapping[str, Any]
Test = Callable[[Sequence[Any]], bool]

#: VRs in which a backslash is a character and separates no values.
SINGLE_VRS = frozenset({"LT", "ST", "UR", "UT"})
_NUMERIC = frozenset({*NUMBERS, "DS", "IS"})

#: What is remarked on a key that no value of is matched.
NOT_SUPPORTED = "is not supported as a key and was ignored"


def vr_of(tag: str, element: Mapping[str, Any]) -> str:
    """Look up the VR of a key in the dictionary; that of the element where the dictionary has none."""
    known = dictionary_vr(int(tag, 16))
    return str(element.get("vr") or "UN") if known == "UN" else known


def key_texts(vr: str, element: Mapping[str, Any]) -> list[str]:
    """List the values of a matching key as text, without empty ones; backslashes in a value separate several."""
    texts = []
    for value in element.get("Value") or ():
        text = (name_text(value) or "") if isinstance(value, Mapping) else "" if value is None else str(value)
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


def is_readable(tag: str, element: Mapping[str, Any]) -> bool:
    """Tell whether the values of a key have the form of its VR: items of a sequence, names, text or numbers."""
    values = element.get("Value") or ()
    if vr_of(tag, element) == "SQ":
        return all(value is None or isinstance(value, Mapping) for value in values)
    return all(not isinstance(value, Mapping) or not {*value} - {*NAME_GROUPS} for value in values)


def as_text(tag: str, element: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the bytes of a key without a VR (UN), such as a private one in Implicit VR, as the text that most are."""
    if not element.get("InlineBinary") or vr_of(tag, element) != "UN":
        return element
    data = base64.b64decode(element["InlineBinary"])
    text = data.rstrip(b"\0 ").decode("utf-8", "replace")
    return {"vr": "LO", "Value": [text]} if text.isprintable() and "\ufffd" not in text else element


def matcher(
    keys: Dataset, *, fuzzy: bool = False, remarks: MutableMapping[str, str] | None = None
) -> Callable[[Dataset], bool]:
    """Compile keys into a function that tells whether a dataset meets them all.

    Parameters
    ----------
    keys : Mapping[str, Any]
        Tag to element in the DICOM JSON model; values are as in C-FIND (wildcards, ranges, lists).
    fuzzy : bool
        True to match person names by words.
    remarks : MutableMapping[str, str], optional
        Gets what was done about keys whose values do not conform to their attributes: they are left out of account.

    Returns
    -------
    callable
        Takes a dataset in the DICOM JSON model, returns True if it meets all keys.
    """
    told: MutableMapping[str, str] = {} if remarks is None else remarks
    tests = [
        (tag, test)
        for tag, element in keys.items()
        if is_readable(tag, element) and is_matching(tag, element)
        if (test := _test(tag, element, fuzzy, told)) is not None
    ]

    def meets(dataset: Dataset) -> bool:
        for tag, test in tests:
            values = dataset.get(tag, {}).get("Value")
            if not isinstance(values, list) or not test(values):
                return False
        return True

    return meets


def _test(tag: str, element: Mapping[str, Any], fuzzy: bool, remarks: MutableMapping[str, str]) -> Test | None:
    vr = vr_of(tag, element)
    if vr == "SQ":
        items = [matcher(item, fuzzy=fuzzy, remarks=remarks) for item in element["Value"] if item]
        return lambda values: any(meets(value or {}) for value in values for meets in items)
    if vr in STREAMS:
        remarks[tag] = NOT_SUPPORTED
        return None
    tests = []
    for text in key_texts(vr, element):
        test = _value_test(vr, text, fuzzy)
        if test is None:
            remarks[tag] = f"{text:.40} can't be compared ({vr}), and was ignored"
        else:
            tests.append(test)
    if not tests:
        return None
    if vr == "PN":
        return lambda values: any(test(name_text(value) or "") for value in values for test in tests)
    return lambda values: any(test(value) for value in values if value is not None for test in tests)


def _value_test(vr: str, text: str, fuzzy: bool) -> Callable[[Any], bool] | None:
    if vr in _NUMERIC:
        return _number_test(vr, text)
    if vr in ("DA", "TM", "DT") and "*" not in text and "?" not in text:
        return _time_test(vr, text)
    if vr == "PN" and fuzzy:
        patterns = [folded_pattern(word_key(word) + "*") for word in words(text)]
        return lambda name: all(any(p.match(word) for word in word_keys(name)) for p in patterns)
    if vr == "PN":
        groups = [[*map(folded_pattern, name_patterns(group))] for group in text.split("=") if group.strip(" ^")]
        return lambda name: _has_groups(groups, [name_key(group) for group in name.split("=")])
    pattern = folded_pattern(search_key(text))
    return lambda value: pattern.match(search_key(str(value))) is not None


def _has_groups(groups: Sequence[Sequence[re.Pattern[str]]], keys: Sequence[str]) -> bool:
    """Tell whether each group of a key is one of a name's component groups."""
    return all(any(key and pattern.match(key) for key in keys for pattern in patterns) for patterns in groups)


def _number_test(vr: str, text: str) -> Callable[[Any], bool] | None:
    span = None if vr in ("DS", "FL", "FD") else read_span(Kind.INTEGER, text)
    if span is not None and span.low != span.high:
        return lambda value: isinstance(value, int | float) and _lies_in(value, span)
    try:
        wanted = float(text)
    except ValueError:
        return None
    return lambda value: isinstance(value, int | float) and value == wanted


def _lies_in(value: float, span: ValueSpan) -> bool:
    low, high = span.low, span.high
    return (not isinstance(low, int) or value >= low) and (not isinstance(high, int) or value <= high)


def _time_test(vr: str, text: str) -> Callable[[Any], bool] | None:
    if vr == "DT":
        moments = read_datetimes(text)
        return None if moments is None else lambda value: moments.holds(str(value))
    span = read_span(Kind.DATE if vr == "DA" else Kind.TIME, text)
    if span is None or (span.low is None and span.high is None):
        return None
    low, high = (None if end is None else str(end) for end in (span.low, span.high))

    def test(value: Any) -> bool:
        plain = str(value).replace("." if vr == "DA" else ":", "")
        return (low is None or plain >= low) and (high is None or plain <= high)

    return test
