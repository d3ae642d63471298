"""Operations on DICOM nodes: echo, find, and the jobs that retrieve and send."""

import asyncio
from collections.abc import Mapping
from typing import Any

from neurdicom.archive.lookup import get_entity
from neurdicom.archive.selection import MANY, MAX_IDS
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.codec.json_model import to_tags
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.named_keys import parse_keys
from neurdicom.dicom.uids import check_uid
from neurdicom.errors import Invalid, shown
from neurdicom.jobs import Job, JobService
from neurdicom.nodes.fields import METHODS
from neurdicom.nodes.transfer_jobs import Peers, ids_of
from neurdicom.security.access import Principal

#: Unique keys that identify an entity of a level in a retrieval (PS3.4 C.4.2.1.4).
UNIQUE_KEYS = {
    Level.PATIENT: ("PatientID",),
    Level.STUDY: ("StudyInstanceUID",),
    Level.SERIES: ("StudyInstanceUID", "SeriesInstanceUID"),
    Level.INSTANCE: ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"),
}

#: Matches of one query: default and maximum.
DEFAULT_MATCHES = 1000
MAX_MATCHES = 10_000

#: Converting more matches would hold the event loop, so a thread does it.
_MANY = 100

_LEVELS = {level.name: level for level in Level} | {"IMAGE": Level.INSTANCE}


class RemoteService:
    """Service for the operations on remote nodes.

    Parameters
    ----------
    catalog : Catalog
        Has the entities to send.
    peers : Peers
        Speaks with nodes.
    jobs : JobService
        Runs long operations, with the runners `send` and `retrieve`.
    """

    def __init__(self, catalog: Catalog, peers: Peers, jobs: JobService) -> None:
        self._catalog = catalog
        self._peers = peers
        self._jobs = jobs

    async def echo(self, name: str) -> float:
        """Measure the seconds that a node takes to answer. Raises `NotFound` or `PeerFailed`."""
        node, peer = await self._peers.find(name)
        return await peer.echo(node)

    async def find(self, name: str, request: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Query a node with `level`, `query` (keys by keyword or tag), `limit`, `fuzzy`; return the matches by keyword.

        Raises
        ------
        NotFound
            There is no such node.
        Invalid
            A field is wrong; it is named.
        PeerFailed
            The node does not answer, or refuses the query.
        """
        _check_fields(request, ("level", "query", "limit", "fuzzy"))
        level = _level(request)
        query, limit = request.get("query") or {}, request.get("limit", DEFAULT_MATCHES)
        if not isinstance(query, Mapping):
            raise Invalid(f"query is {shown(query)}; an object of keys is expected", field="query")
        if type(limit) is not int or not 1 <= limit <= MAX_MATCHES:
            raise Invalid(f"limit is {shown(limit)}; 1 to {MAX_MATCHES} is expected", field="limit")
        fuzzy = request.get("fuzzy", False)
        if type(fuzzy) is not bool:
            raise Invalid(f"fuzzy is {shown(fuzzy)}; true or false is expected", field="fuzzy")
        keys = parse_keys(query)
        node, peer = await self._peers.find(name)
        matches = await peer.find(node, level, keys, limit=limit, fuzzy=fuzzy)
        return await asyncio.to_thread(_all_tags, matches) if len(matches) > _MANY else _all_tags(matches)

    async def send(self, name: str, request: Mapping[str, Any], *, by: Principal) -> Job:
        """Make a job that sends entities to a node.

        Parameters
        ----------
        name : str
            Name of the node.
        request : Mapping
            `patients`, `studies`, `series`, `instances`: lists of ids.
        by : Principal
            The user whose job it is.

        Raises
        ------
        NotFound
            There is no such node or entity.
        Invalid
            A field is wrong; it is named.
        """
        _check_fields(request, tuple(MANY))
        node, _ = await self._peers.find(name)
        for list_name in MANY:
            ids = request.get(list_name)
            if ids is not None and not (isinstance(ids, list) and all(isinstance(one, str) for one in ids)):
                raise Invalid(f"{list_name} is {shown(ids)}; a list of ids is expected", field=list_name)
        wanted = {list_name: request[list_name] for list_name in MANY if request.get(list_name)}
        _check_count(sum(map(len, wanted.values())), "ids", field=next(iter(wanted), "studies"))
        total = 0
        for list_name, level, entity in ids_of(wanted):
            found = await get_entity(self._catalog, level, entity, field=list_name)
            total += found.get("images_count", 1)
        return await self._jobs.submit("send", {"node": node.name} | wanted, by=by, total=total)

    async def retrieve(self, name: str, request: Mapping[str, Any], *, by: Principal) -> Job:
        """Make a job that retrieves entities from a node.

        Parameters
        ----------
        name : str
            Name of the node.
        request : Mapping
            `level`; `ids`: objects of unique keys by keyword (`StudyInstanceUID` and so on), or one such, at the level
            of patients and studies also plain ids; `method`, optional.
        by : Principal
            The user whose job it is.

        Raises
        ------
        NotFound
            There is no such node.
        Invalid
            A field is wrong; it is named.
        """
        _check_fields(request, ("level", "ids", "method"))
        level, ids, method = _level(request), request.get("ids"), request.get("method")
        node, _ = await self._peers.find(name)
        if method is not None and method not in METHODS[node.protocol]:
            choices = " or ".join(METHODS[node.protocol])
            raise Invalid(f"method is {shown(method)}; a {node.protocol} node has {choices}", field="method")
        given = ids if isinstance(ids, list) else [] if ids is None else [ids]
        _check_count(len(given), "ids", field="ids")
        wanted = [_unique_keys(level, one) for one in given]
        job = {"node": node.name, "level": level.value, "ids": wanted}
        return await self._jobs.submit("retrieve", job | ({"method": method} if method else {}), by=by)


def _all_tags(matches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [to_tags(match) for match in matches]


def _unique_keys(level: Level, given: Any) -> dict[str, str]:
    names = UNIQUE_KEYS[level]
    if isinstance(given, str) and len(names) == 1:
        given = {names[0]: given}
    if not isinstance(given, Mapping):
        raise Invalid(f"ids has {shown(given)}; an object with {', '.join(names)} is expected", field="ids")
    taken = dict.fromkeys(("PatientID", *names))
    for name in given.keys() - taken.keys():
        raise Invalid(f"ids has {name[:64]!r}; an entity at this level goes by {', '.join(taken)}", field="ids")
    for name in names:
        if name not in given:
            raise Invalid(f"ids lacks {name}, which an entity at this level needs", field="ids")
    for name, value in given.items():
        if not isinstance(value, str) or not value.strip() or len(value) > 64 or set("*?\\") & set(value):
            raise Invalid(f"{name} is {shown(value)}; one value without wildcards is expected", field="ids")
        if name != "PatientID":
            check_uid(value, "ids")
    return {name: given[name] for name in taken if name in given}


def _level(request: Mapping[str, Any]) -> Level:
    level = request.get("level")
    if not isinstance(level, str) or level.upper() not in _LEVELS:
        raise Invalid(f"level is {shown(level)}; PATIENT, STUDY, SERIES or INSTANCE is expected", field="level")
    return _LEVELS[level.upper()]


def _check_fields(request: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for field in request.keys() - set(known):
        raise Invalid(f"unknown field {field[:64]!r}; known are {', '.join(known)}", field=field[:64])


def _check_count(count: int, what: str, *, field: str) -> None:
    if not 1 <= count <= MAX_IDS:
        raise Invalid(f"there are {count} {what}; 1 to {MAX_IDS} are expected", field=field)
