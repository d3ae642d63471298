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
from neurdicom.errors import Invalid
from neurdicom.jobs import Job, JobQueue
from neurdicom.nodes.request_schemas import DEFAULT_MATCHES, ENTITIES, FIND, LEVELS, RETRIEVAL, SENDING, UNIQUE_KEYS
from neurdicom.nodes.schemas import METHODS
from neurdicom.nodes.transfer_jobs import Peers, ids_of
from neurdicom.security.access import Principal

#: Converting more matches would hold the event loop, so a thread does it.
_MANY = 100


class RemoteService:
    """Service for the operations on remote nodes.

    Parameters
    ----------
    catalog : Catalog
        Has the entities to send.
    peers : Peers
        Speaks with nodes.
    jobs : JobQueue
        Takes the jobs of the kinds `send` and `retrieve`.
    """

    def __init__(self, catalog: Catalog, peers: Peers, jobs: JobQueue) -> None:
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
        checked = FIND.check(request)
        keys = await asyncio.to_thread(parse_keys, checked.get("query") or {})
        level, limit = LEVELS[checked["level"].upper()], checked.get("limit", DEFAULT_MATCHES)
        node, peer = await self._peers.find(name)
        matches = await peer.find(node, level, keys, limit=limit, fuzzy=checked.get("fuzzy", False))
        return await asyncio.to_thread(_all_tags, matches) if len(matches) > _MANY else _all_tags(matches)

    async def send(self, name: str, request: Mapping[str, Any], *, by: Principal) -> Job:
        """Make a job that sends entities to a node.

        Parameters
        ----------
        name : str
            Name of the node.
        request : Mapping
            `patients`, `studies`, `series`, `instances`: lists of ids; the job keeps the keys.
        by : Principal
            The user whose job it is.

        Raises
        ------
        NotFound
            There is no such node or entity.
        Invalid
            A field is wrong; it is named.
        """
        checked = SENDING.check(request)
        node, _ = await self._peers.find(name)
        wanted = {list_name: checked[list_name] for list_name in MANY if checked.get(list_name)}
        if (count := sum(map(len, wanted.values()))) > MAX_IDS:
            raise Invalid(f"there are {count} ids; expected: at most {MAX_IDS}", field=next(iter(wanted)))
        total, keys = 0, {list_name: list[str]() for list_name in wanted}
        for list_name, level, entity in ids_of(wanted):
            found = await get_entity(self._catalog, level, entity, field=list_name)
            keys[list_name].append(found["key"])
            total += found.get("images_count", 1)
        return await self._jobs.submit("send", {"node": node.name} | keys, by=by, total=total)

    async def retrieve(self, name: str, request: Mapping[str, Any], *, by: Principal) -> Job:
        """Make a job that retrieves entities from a node.

        Parameters
        ----------
        name : str
            Name of the node.
        request : Mapping
            `level`; `ids`: objects of unique keys by keyword (`StudyInstanceUID` and so on), or one such, at the level
            of patients and studies also plain ids; or `query`: keys as for `find`, none of them for all; `method`,
            optional. Of several ids those that are wrong fail beside the others.
        by : Principal
            The user whose job it is.

        Raises
        ------
        NotFound
            There is no such node.
        Invalid
            A field is wrong; it is named.
        """
        checked = RETRIEVAL.check(request)
        level, method = LEVELS[checked["level"].upper()], checked.get("method")
        node, _ = await self._peers.find(name)
        if method is not None and method not in METHODS[node.protocol]:
            choices = " or ".join(METHODS[node.protocol])
            raise Invalid(f"method is {method!r}; a {node.protocol} node has {choices}", field="method")
        job: dict[str, Any] = {"node": node.name, "level": level.value}
        if "query" in checked:
            query = FIND.check({"level": checked["level"], "query": checked["query"]})["query"]
            job["query"] = await asyncio.to_thread(parse_keys, query or {})
        else:
            job |= await asyncio.to_thread(_sorted_out, checked, level)
        return await self._jobs.submit("retrieve", job | ({"method": method} if method else {}), by=by)


def _all_tags(matches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [to_tags(match) for match in matches]


def _sorted_out(checked: Mapping[str, Any], level: Level) -> dict[str, Any]:
    """Sort the ids of a request into unique keys and wrong ones. Raises `Invalid` if all are wrong."""
    ids = checked["ids"]
    try:
        ENTITIES.check(checked)
        return {"ids": [_unique_keys(level, one) for one in (ids if isinstance(ids, list) else [ids])]}
    except Invalid:
        if not isinstance(ids, list) or len(ids) == 1:
            raise
    right: list[dict[str, str]] = []
    wrong: list[dict[str, Any]] = []
    for given in ids:
        try:
            ENTITIES.check({"level": checked["level"], "ids": [given]})
        except Invalid as error:
            wrong.append({"given": given, "error": str(error)})
        else:
            right.append(_unique_keys(level, given))
    return {"ids": right, "wrong": wrong}


def _unique_keys(level: Level, given: str | Mapping[str, str]) -> dict[str, str]:
    names = UNIQUE_KEYS[level]
    keys = {names[0]: given} if isinstance(given, str) else given
    return {name: keys[name] for name in dict.fromkeys(("PatientID", *names)) if name in keys}
