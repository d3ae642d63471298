"""Parser of a search's URL parameters (PS3.18 8.3.4, 10.6.1.2) into the keys of a DICOM query."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydicom.datadict import tag_for_keyword

from neurdicom.dicom.identity import is_key, uid_of
from neurdicom.dicom.query.matching import vr_of
from neurdicom.dicom.query.response import REQUEST_ATTRIBUTES, REQUEST_ITEM
from neurdicom.dicom.uids import UID_FORM
from neurdicom.errors import Invalid

#: Parameters that are not attributes; the last one is added by scripts to bypass caches.
_OTHERS = frozenset({"accept", "charset", "access_token", "_"})
_ENTITY = re.compile(rf"{UID_FORM}(~[0-9a-f]{{8}})?", re.ASCII)
_TAG = re.compile(r"[0-9A-Fa-f]{8}\Z")
#: VRs whose values may contain a comma; for others a comma separates values.
_WITH_COMMAS = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
_MOST = 2**31 - 1
_DEEPEST = 16


@dataclass(slots=True)
class SearchQuery:
    """The query of a search.

    Attributes
    ----------
    keys : dict
        Matching and return keys, in the DICOM JSON model.
    include : "all" or set of str
        Tags to return too.
    fuzzy : bool
        True to match person names by words.
    limit : int or None
        Most matches to return; None for all.
    offset : int
        Matches to skip.
    unsupported : list of str
        Parameters, and attributes to include, that are unknown or not supported and were ignored (PS3.18 8.3.4).
    """

    keys: dict[str, Any] = field(default_factory=dict)
    include: Literal["all"] | set[str] = field(default_factory=set)
    fuzzy: bool = False
    limit: int | None = None
    offset: int = 0
    unsupported: list[str] = field(default_factory=list)

    def narrow(self, tag: str, entity: str) -> bool:
        """Add a UID or key of the path; return False if it is invalid or the query excludes it: nothing can match."""
        if not _ENTITY.fullmatch(entity):
            return False
        given = [part for value in self.keys.get(tag, {}).get("Value", ()) for part in value.split("\\") if part]
        uid = uid_of(entity)
        if is_key(entity):
            possible = entity if not given or {entity, uid, "*"} & {*given} else ""
        else:
            # A key in the query says more than the path does.
            possible = next((each for each in given if uid_of(each) == uid), "" if given and "*" not in given else uid)
        self.keys[tag] = {"vr": "UI", "Value": [possible or entity]}
        return bool(possible)


def read_search(arguments: Mapping[str, Iterable[str]]) -> SearchQuery:
    """Read the parameters of a search.

    Parameters
    ----------
    arguments : Mapping[str, Iterable[str]]
        Name to its values, decoded. An attribute is named by keyword or by eight hexadecimal digits, one in a
        sequence by a path with dots.

    Returns
    -------
    SearchQuery

    Raises
    ------
    Invalid
        A number or flag can't be parsed; `field` names the parameter.
    """
    query = SearchQuery()
    for name, values in arguments.items():
        given, known = [*values], name.lower()
        if known in _OTHERS:
            continue
        if known == "includefield":
            _include(query, given)
        elif known == "fuzzymatching":
            query.fuzzy = _flag(name, given)
        elif known == "multiplevaluematching":
            _flag(name, given)  # lists are always matched by any of their values
        elif known == "emptyvaluematching":
            query.unsupported += [name] if _flag(name, given) else []
        elif known in ("limit", "offset"):
            if given[-1].strip():
                setattr(query, known, _number(name, given))
        elif (path := _path(name)) is None:
            query.unsupported.append(name)
        else:
            _add_key(query.keys, path, given)
    return query


def _include(query: SearchQuery, values: list[str]) -> None:
    for name in (part.strip() for value in values for part in value.split(",")):
        if name.lower() == "all":
            query.include = "all"
        elif name:
            path = _path(name)
            if path is None:
                query.unsupported.append(name)
            elif len(path) > 1:
                _place(query.keys, path, [])
            elif query.include != "all":
                query.include.add(path[0])


def _add_key(keys: dict[str, Any], path: list[str], values: list[str]) -> None:
    separator = r"[\\]" if vr_of(path[-1], {}) in _WITH_COMMAS else r"[\\,]"
    parts = [part for value in values for part in re.split(separator, value) if part.strip()]
    _place(keys, path, parts)


def _place(keys: dict[str, Any], path: list[str], values: list[str]) -> None:
    """Add a key at a path of tags, in the items of the sequences on the path."""
    *sequences, last = path
    for tag in sequences:
        element = keys.setdefault(tag, {"vr": "SQ"})
        if tag == REQUEST_ATTRIBUTES and "Value" not in element:
            element["Value"] = [dict(REQUEST_ITEM)]
        keys = element.setdefault("Value", [{}])[0]
    vr = vr_of(last, {})
    element = keys.get(last) or {"vr": vr}
    if values:
        element = {"vr": vr, "Value": [*element.get("Value", ()), *values]}
    keys[last] = element


def _path(name: str) -> list[str] | None:
    """Read an attribute's name as a path of tags; None where it names none."""
    parts = name.split(".")
    if len(parts) > _DEEPEST:
        return None
    tags = []
    for part in parts:
        tag = part.upper() if _TAG.match(part) else None
        number = tag_for_keyword(part) if tag is None and part else None  # pydicom knows tags without a keyword
        if tag is None and number is None:
            return None
        tags.append(tag or f"{number:08X}")
    return tags if all(vr_of(tag, {}) in ("SQ", "UN") for tag in tags[:-1]) else None


def _flag(name: str, values: list[str]) -> bool:
    known = {"true": True, "false": False, "": False}
    text = values[-1].strip().lower()
    if text not in known:
        raise Invalid(f"{name} is {text[:80]!r}; true or false is expected", field=name)
    return known[text]


def _number(name: str, values: list[str]) -> int:
    text = values[-1].strip()
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= _MOST):
        raise Invalid(f"{name} is {text[:80]!r}; a number from 0 to {_MOST} is expected", field=name)
    return int(text)
