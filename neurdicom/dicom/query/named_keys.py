"""Parser of the API's query keys, `{keyword or tag: value}`, into a dataset of the DICOM JSON model."""

import re
from collections.abc import Mapping
from typing import Any

from pydicom import datadict

from neurdicom.dicom.codec.dictionary import dictionary_vr
from neurdicom.dicom.codec.json_model import name_groups
from neurdicom.errors import Invalid

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?", re.ASCII)

#: Keys of one dataset and of all that are nested in each other, and values of one key.
MOST_KEYS = 256
MOST_KEYS_IN_ALL = 1024
MOST_VALUES = 64 * MOST_KEYS

#: Sequences in sequences, and characters of a value.
DEEPEST = 4
LONGEST_VALUE = 4096


def parse_keys(keys: Mapping[str, Any], *, depth: int = 0) -> dict[str, Any]:
    """Write keys as a dataset of the DICOM JSON model (PS3.18 F).

    Parameters
    ----------
    keys : Mapping[str, Any]
        Keyword or tag (`PatientName`, `00100010`, `0010,0010`) to a text, a number, a list of those, an object of
        keys (the item of a sequence) or null. Null and empty text request the attribute without matching it.
    depth : int
        Number of sequences around these keys.

    Returns
    -------
    dict[str, Any]
        In the order of tags.

    Raises
    ------
    Invalid
        A name is not that of an attribute, or a value is not of these types; `field` names it.
    """
    if len(keys) > MOST_KEYS:
        raise Invalid(f"the query has {len(keys)} keys; {MOST_KEYS} are the limit", field="query")
    dataset: dict[str, Any] = {}
    for name, value in keys.items():
        tag = parse_tag(name)
        if tag in dataset:
            raise Invalid(f"{name} is given twice", field=name[:64])
        dataset[tag] = _element(name, dictionary_vr(int(tag, 16)), value, depth)
    return dict(sorted(dataset.items()))


def parse_tag(name: str) -> str:
    """Read a keyword, or a tag in any of its forms, as a tag `GGGGEEEE`. Raises `Invalid`."""
    found = _TAG.fullmatch(name)
    if found:
        tag = int(found[1] + found[2], 16)
        if tag >> 16 in (0x0000, 0x0002, 0xFFFE):
            raise Invalid(f"{name} is in a group that no dataset has; a tag such as 00100010 is expected", field=name)
        return f"{tag:08X}"
    known = datadict.tag_for_keyword(name)
    if known is None:
        raise Invalid(f"{name[:64]!r} is neither a keyword nor a tag such as 00100010", field=name[:64])
    return f"{known:08X}"


def _element(name: str, vr: str, value: Any, depth: int) -> dict[str, Any]:
    vr = vr.split(" or ", 1)[0]
    if vr == "SQ":
        return _sequence(name, value, depth)
    values = [one for one in (value if isinstance(value, list) else [value]) if one is not None and one != ""]
    if len(values) > MOST_VALUES:
        raise Invalid(f"{name} has {len(values)} values; {MOST_VALUES} are the limit", field=name)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, str | int | float) or len(str(one)) > LONGEST_VALUE:
            raise Invalid(f"{name} is {repr(one)[:80]}; text or a number is expected", field=name)
    if not values:
        return {"vr": vr}
    return {"vr": vr, "Value": [name_groups(str(one)) if vr == "PN" else one for one in values]}


def _sequence(name: str, value: Any, depth: int) -> dict[str, Any]:
    item = value[0] if isinstance(value, list) and len(value) == 1 else value
    if item is None or item in ("", []):
        return {"vr": "SQ"}
    if not isinstance(item, Mapping):
        raise Invalid(f"{name} is a sequence; an object of keys, its one item, is expected", field=name)
    if depth >= DEEPEST:
        raise Invalid(f"{name} lies deeper than the {DEEPEST} sequences that a query may nest", field=name)
    return {"vr": "SQ", "Value": [parse_keys(item, depth=depth + 1)]}
