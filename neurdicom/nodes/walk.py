"""All entities of a node that match a query, also where it refuses one without keys, or answers only so many."""

import logging
from collections.abc import Mapping
from datetime import date
from typing import Any

from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import PeerFailed
from neurdicom.nodes.piecewise import Find

log = logging.getLogger(__name__)

#: Matches of one query from which on there may be more: nodes have limits, and our requestor takes no more.
MOST_MATCHES = 10_000

_PATIENT_ID, _STUDY_DATE = "00100020", "00080020"
_KEY = {
    Level.PATIENT: (_PATIENT_ID, "LO"),
    Level.STUDY: ("0020000D", "UI"),
    Level.SERIES: ("0020000E", "UI"),
    Level.INSTANCE: ("00080018", "UI"),
}
_LEVELS = list(Level)

#: The first and the last year whose studies are looked for by date; studies without a date are found by patient.
_FIRST_YEAR = 1895

Keys = Mapping[str, Any]
"""Keys of a query in the DICOM JSON model."""


async def find_all(find: Find, level: Level, keys: Keys) -> list[dict[str, Any]]:
    """Find all entities at a level that match keys.

    A node that refuses the query, or finds nothing without keys, is asked in other ways: with a wildcard as Patient ID,
    patient by patient, and by ranges of Study Date.

    Parameters
    ----------
    find : callable
        Queries the node. Raises `PeerFailed`.
    level : Level
        Level of the entities.
    keys : mapping
        Matching keys; empty for all entities.

    Returns
    -------
    list of dict
        Matches with the unique keys of the level and above.

    Raises
    ------
    PeerFailed
        The node can't be reached, or refuses each of the ways; the message has all reasons.
    """
    requested = {**_unique(level), **keys}
    reasons: list[str] = []
    for name, way in (("at once", _at_once), ("by patients", _by_patients), ("by dates", _by_dates)):
        if way is not _at_once and (_has_value(keys, _PATIENT_ID) or level is Level.PATIENT):
            break
        try:
            found = await way(find, level, requested)
        except PeerFailed as error:
            if error.retryable and error.retry_after is not None:
                raise
            reasons.append(f"{name}: {error}")
            continue
        if found or keys:
            return found
    if len(reasons) == 0:
        return []
    raise PeerFailed(f"the node answers no query for all it has; {'; '.join(reasons)}", retryable=False)


async def _at_once(find: Find, level: Level, keys: Keys) -> list[dict[str, Any]]:
    """Query without further keys, then with a Patient ID that all match."""
    try:
        found = await find(level, keys)
    except PeerFailed:
        if _has_value(keys, _PATIENT_ID):
            raise
        found = await find(level, {**keys, _PATIENT_ID: {"vr": "LO", "Value": ["*"]}})
    return found if len(found) < MOST_MATCHES else await _by_dates(find, level, keys)


async def _by_patients(find: Find, level: Level, keys: Keys) -> list[dict[str, Any]]:
    """Query patient by patient."""
    patients = await find(Level.PATIENT, {_PATIENT_ID: {"vr": "LO"}})
    found: list[dict[str, Any]] = []
    for patient in patients:
        if value := _value(patient, _PATIENT_ID):
            found += await _below(find, level, {**keys, _PATIENT_ID: {"vr": "LO", "Value": [value]}})
    return found


async def _by_dates(find: Find, level: Level, keys: Keys) -> list[dict[str, Any]]:
    """Query by ranges of Study Date, which are halved where they have as many matches as a node gives at most."""
    if _has_value(keys, _STUDY_DATE):
        raise PeerFailed("its Study Date is a key already", retryable=False)
    first, last = date(_FIRST_YEAR, 1, 1).toordinal(), date.today().toordinal() + 366
    ranges, found = [(first, last)], dict[tuple[str, ...], dict[str, Any]]()
    while ranges:
        begin, end = ranges.pop()
        text = f"{date.fromordinal(begin):%Y%m%d}-{date.fromordinal(end):%Y%m%d}"
        matches = await _below(find, level, {**keys, _STUDY_DATE: {"vr": "DA", "Value": [text]}})
        if len(matches) >= MOST_MATCHES and begin < end:
            middle = (begin + end) // 2
            ranges += [(middle + 1, end), (begin, middle)]
            continue
        if len(matches) >= MOST_MATCHES:
            log.warning("a node gives only %d matches for the day %s, which may have more", len(matches), text)
        for match in matches:
            found.setdefault(tuple(_value(match, tag) for tag, _ in _KEY.values()), match)
    return [*found.values()]


async def _below(find: Find, level: Level, keys: Keys) -> list[dict[str, Any]]:
    """Query at a level; below studies by the hierarchy, which every node answers, where the query is refused."""
    try:
        return await find(level, keys)
    except PeerFailed:
        if level in (Level.PATIENT, Level.STUDY):
            raise
    above = _LEVELS[_LEVELS.index(level) - 1]
    found: list[dict[str, Any]] = []
    for parent in await _below(find, above, {**_unique(above), **_of_study(keys)}):
        path = {tag: {"vr": vr, "Value": [_value(parent, tag)]} for tag, vr in _KEY.values() if _value(parent, tag)}
        found += [{**path, **match} for match in await find(level, {**keys, **path})]
    return found


def _unique(level: Level) -> dict[str, Any]:
    """Make return keys of the unique keys at a level and above, patients aside unless the level is theirs."""
    levels = [level] if level is Level.PATIENT else _LEVELS[1 : _LEVELS.index(level) + 1]
    return {_KEY[each][0]: {"vr": _KEY[each][1]} for each in levels}


def _of_study(keys: Keys) -> dict[str, Any]:
    """Select the keys that decide above: Patient ID and Study Date."""
    return {tag: keys[tag] for tag in (_PATIENT_ID, _STUDY_DATE) if _has_value(keys, tag)}


def _has_value(keys: Keys, tag: str) -> bool:
    return bool((keys.get(tag) or {}).get("Value"))


def _value(match: Keys, tag: str) -> str:
    values = (match.get(tag) or {}).get("Value") or [None]
    return "" if values[0] is None else str(values[0])
