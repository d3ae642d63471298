"""QIDO-RS user agent (PS3.18 10.6): keys to a query, pages to matches."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from neurdicom.dicom.codec.json_model import name_text
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.uids import UID_FORM
from neurdicom.dicomweb.client.connection import NodeConnections, Query
from neurdicom.errors import PeerFailed
from neurdicom.nodes.peer import Node

#: Matches that are requested at a time.
PAGE = 200

_JSON = "application/dicom+json"
_TAG = re.compile(r"[0-9A-F]{8}", re.ASCII)
_REFERENCE = re.compile(rf"{UID_FORM}(~[0-9a-f]{{8}})?", re.ASCII)
_DEEPEST = 16

_PATIENT_ID, _ISSUER = "00100020", "00100021"
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
#: SpecificCharacterSet and QueryRetrieveLevel, which HTTP replaces.
_LEFT_OUT = frozenset({"00080005", "00080052"})


async def search(
    connections: NodeConnections,
    node: Node,
    level: Level,
    keys: Mapping[str, Any],
    *,
    limit: int | None = None,
    fuzzy: bool = False,
) -> list[dict[str, Any]]:
    """Query a node for the entities at a level that match keys.

    DICOMweb has no query for patients: the patients of the matching studies are returned, each once.

    Parameters
    ----------
    connections : NodeConnections
        Connections to nodes.
    node : Node
        The node.
    level : Level
        Level of the query.
    keys : Mapping[str, Any]
        Matching and return keys in the DICOM JSON model.
    limit : int, optional
        Most matches; by default all.
    fuzzy : bool
        True to ask for fuzzy matching of person names.

    Returns
    -------
    list of dict
        Matches in the DICOM JSON model.

    Raises
    ------
    PeerFailed
        The node can't be reached or refuses, or its answer is not a list of datasets.
    """
    found: list[dict[str, Any]] = []
    patients: set[tuple[str, str]] = set()
    path, query = _address(level, keys)
    if fuzzy:
        query = [*query, ("fuzzymatching", "true")]
    async for match in _matches(connections, node, path, query, limit=None if level is Level.PATIENT else limit):
        if level is Level.PATIENT:
            patient = (first_text(match, _PATIENT_ID), first_text(match, _ISSUER))
            if patient in patients:
                continue
            patients.add(patient)
        found.append(match)
        if limit is not None and len(found) >= limit:
            break
    return found


def first_text(match: Mapping[str, Any], tag: str) -> str:
    """Return the first value of an element as text, empty if it has none."""
    values = match.get(tag, {}).get("Value") or [None]
    return "" if values[0] is None else str(values[0])


def study_path(study: str, series: str = "", instance: str = "") -> str:
    """Write the path of a study, series or instance below a node's base URL.

    Parameters
    ----------
    study, series, instance : str
        UIDs, or the keys by which a node names them; empty ones are left out.
    """
    steps = (("studies", study), ("series", series), ("instances", instance))
    return "".join(f"/{name}/{quote(uid, safe='~')}" for name, uid in steps if uid)


def _address(level: Level, keys: Mapping[str, Any]) -> tuple[str, Query]:
    """Write path and query of a search; the UIDs of levels above go into the path."""
    rest = {tag: element for tag, element in keys.items() if tag not in _LEFT_OUT}
    study = series = ""
    if level in (Level.SERIES, Level.INSTANCE):
        study = _single_uid(rest, _STUDY)
        series = _single_uid(rest, _SERIES) if study and level is Level.INSTANCE else ""
    for tag, uid in ((_STUDY, study), (_SERIES, series)):
        if uid:
            rest[tag] = {"vr": "UI"}
    base = {Level.PATIENT: "/studies", Level.STUDY: "/studies", Level.SERIES: "/series", Level.INSTANCE: "/instances"}
    return study_path(study, series) + base[level], list(_parameters(rest))


def _single_uid(keys: Mapping[str, Any], tag: str) -> str:
    values = keys.get(tag, {}).get("Value") or []
    return values[0] if len(values) == 1 and _REFERENCE.fullmatch(str(values[0])) else ""


def _parameters(keys: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for tag, element in keys.items():
        values = element.get("Value") or []
        if element.get("vr") == "SQ" and values and values[0]:
            yield from _parameters(values[0], f"{prefix}{tag}.")
        elif values:
            texts = [name_text(value) if element.get("vr") == "PN" else str(value) for value in values]
            yield prefix + tag, ("," if element.get("vr") == "UI" else "\\").join(text or "" for text in texts)
        else:
            yield "includefield", prefix + tag


async def _matches(
    connections: NodeConnections, node: Node, path: str, query: Query, *, limit: int | None
) -> AsyncIterator[dict[str, Any]]:
    offset = 0
    last: Any = None
    while True:
        size = PAGE if limit is None else min(PAGE, limit - offset)
        page = [("limit", str(size)), ("offset", str(offset))]
        answer = await connections.get(node, path, [*query, *page], accept=_JSON)
        if answer.status == 204 or not answer.body.strip():
            return
        matches = await answer.json()
        if not isinstance(matches, list):
            raise PeerFailed(
                f"{answer.where} answered no list of matches, but a {type(matches).__name__}", retryable=False
            )
        if matches and matches == last:
            return  # the node ignores the offset
        for match in matches:
            yield _checked(match, answer.where)
        offset += len(matches)
        # A page with fewer matches than requested is the last, unless the node warns that it has more.
        more = len(matches) == size or (matches and "299" in answer.headers.get("Warning", ""))
        if not more or len(matches) > size or (limit is not None and offset >= limit):
            return
        last = matches


def _checked(dataset: Any, where: str, depth: int = 0) -> dict[str, Any]:
    """Copy a dataset of the DICOM JSON model without malformed elements. Raises `PeerFailed` if it is not an object."""
    if not isinstance(dataset, dict) or depth > _DEEPEST:
        raise PeerFailed(f"{where} answered no dataset of the DICOM JSON model", retryable=False)
    elements: dict[str, Any] = {}
    for tag, element in dataset.items():
        if not _TAG.fullmatch(tag.upper()) or not isinstance(element, dict):
            continue
        values = element.get("Value")
        if not isinstance(values, list):
            values = None
        if element.get("vr") == "SQ":
            values = [_checked(item or {}, where, depth + 1) for item in values or ()]
        binary = element.get("InlineBinary")
        kept = {"vr": element.get("vr"), "Value": values, "InlineBinary": binary if isinstance(binary, str) else None}
        elements[tag.upper()] = {name: value for name, value in kept.items() if value is not None}
    return elements
