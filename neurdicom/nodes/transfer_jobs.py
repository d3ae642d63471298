"""Runners of the jobs that move instances between this server and a node."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, cast

from neurdicom.archive.selection import MANY, Selection, Selector
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError, NotFound, PeerFailed
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, Runner
from neurdicom.nodes.peer import Node, Peer, Progress
from neurdicom.nodes.request_schemas import UNIQUE_KEYS
from neurdicom.nodes.service import NodeService
from neurdicom.nodes.walk import find_all

#: Most failures, and most warnings, that are kept of one item.
_MAX_REASONS = 20

_TAGS = {
    "PatientID": "00100020",
    "StudyInstanceUID": "0020000D",
    "SeriesInstanceUID": "0020000E",
    "SOPInstanceUID": "00080018",
}
_NOTHING = Progress()


class Peers:
    """Nodes with their protocols.

    Parameters
    ----------
    nodes : NodeService
        Knows the nodes.
    by_protocol : Mapping[str, Peer]
        Implementation of each protocol.
    """

    def __init__(self, nodes: NodeService, by_protocol: Mapping[str, Peer]) -> None:
        self._nodes = nodes
        self._by_protocol = by_protocol

    async def find(self, name: str) -> tuple[Node, Peer]:
        """Return a node and the implementation of its protocol. Raises `NotFound`, or `PeerFailed` without one."""
        node = await self._nodes.get(name)
        peer = self._by_protocol.get(node.protocol)
        if peer is None:
            raise PeerFailed(f"this server can't speak {node.protocol} with nodes", retryable=False)
        return node, peer

    async def of_job(self, job: Job) -> tuple[Node, Peer]:
        """Return the node of a job as `find` does. Raises `PeerFailed`, also when the node was removed."""
        try:
            return await self.find(job.request["node"])
        except NotFound as error:
            raise PeerFailed(str(error), retryable=False) from error


class SendRunner(Runner):
    """Runner that sends instances; an item is the key of one."""

    def __init__(self, catalog: Catalog, peers: Peers) -> None:
        self._catalog = catalog
        self._selector = Selector(catalog)
        self._peers = peers

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the instances of the requested entities, each once, series by series."""
        ids = {level: job.request[name] for name, level in MANY.items() if job.request.get(name)}
        async for _, instances in self._selector.instances(Selection(ids)):
            for instance in instances:
                yield Item(instance["key"])

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Send instances."""
        node, peer = await self._peers.of_job(job)
        places = {instance: place for place, instance in enumerate(items)}
        before = Progress()
        progress = cast(AsyncGenerator[Progress, None], peer.send(node, items))
        async with aclosing(progress):
            async for now in progress:
                place = places.pop(now.instance or "", None)
                if place is not None:
                    yield await self._sent(place, before, now)
                    if stop.is_set():
                        return
                before = now

    async def _sent(self, place: int, before: Progress, now: Progress) -> ItemOutcome:
        """Make the outcome of an instance; series and study are named where it failed or was changed."""
        if now.failed <= before.failed and now.warned <= before.warned:
            return ItemOutcome(place, done=1)
        found = await self._catalog.get(Level.INSTANCE, now.instance or "")
        series, study = (found["series"], found["study"]) if found else (None, None)
        reason = now.reason or "the node gave no reason"
        reasons = (Failure(now.instance, reason, series=series, study=study),)
        if now.failed > before.failed:
            return ItemOutcome(place, failed=1, failures=reasons, retryable=now.retryable)
        return ItemOutcome(place, done=1, warned=1, warnings=reasons)


class RetrieveRunner(Runner):
    """Runner that retrieves entities; an item is the unique keys of one (`level`, and keyword to value).

    An item with `error` is what a request names and can't be asked for.
    """

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the requested entities; over DICOMweb their series, so that little is repeated after a failure."""
        node, peer = await self._peers.of_job(job)
        level = Level(job.request["level"])
        for wrong in job.request.get("wrong", ()):
            yield Item({"level": level.value, **wrong}, 1)
        for ids in await _requested(node, peer, level, job.request):
            if node.protocol == "DICOMWEB" and level in (Level.PATIENT, Level.STUDY):
                series = await _series_of(node, peer, ids)
                for item in series:
                    yield item
                if series:
                    continue
            yield Item({"level": level.value, "ids": ids}, 1 if level is Level.INSTANCE else None)

    async def run(self, job: Job, items: Sequence[Any], stop: asyncio.Event) -> AsyncIterator[ItemOutcome]:
        """Retrieve entities, one after the other."""
        node, peer = await self._peers.of_job(job)
        method = job.request.get("method")
        for place, item in enumerate(items):
            if "error" in item:
                failure = Failure(None, item["error"], series=_named(item, "Series"), study=_named(item, "Study"))
                yield ItemOutcome(place, failed=1, failures=(failure,))
                continue
            tally = _Tally(place, item["ids"])
            progress = cast(
                AsyncGenerator[Progress, None],
                peer.retrieve(node, Level(item["level"]), item["ids"], method=method),
            )
            try:
                async with aclosing(progress):
                    async for now in progress:
                        yield tally.take(now)
                        if stop.is_set():
                            return
            except NeurdicomError as error:
                yield tally.broken(error)
            else:
                yield tally.whole(node)
            if stop.is_set():
                return


async def _requested(node: Node, peer: Peer, level: Level, request: Mapping[str, Any]) -> list[dict[str, str]]:
    """List the unique keys of the entities that a request names, or that match its query. Raises `PeerFailed`."""
    ids: list[dict[str, str]] = list(request.get("ids") or ())
    if "query" not in request:
        return ids
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for match in await find_all(partial(peer.find, node), level, request["query"]):
        one = {name: str(_first(match, _TAGS[name]) or "") for name in UNIQUE_KEYS[level]}
        if all(one.values()):
            found.setdefault(tuple(one.values()), one)
    if not found:
        raise PeerFailed(f"{node.name} has nothing at this level that matches the query", retryable=False)
    return [*ids, *found.values()]


def _named(item: Mapping[str, Any], entity: str) -> str | None:
    """Return the UID of the study or series that a wrong item names, where it is a text."""
    given = item.get("given")
    value = given.get(f"{entity}InstanceUID") if isinstance(given, Mapping) else given if entity == "Study" else None
    return value if isinstance(value, str) and value else None


async def _series_of(node: Node, peer: Peer, ids: Mapping[str, str]) -> list[Item]:
    """List the series of a study or a patient, as the node reports them; empty where it can't."""
    keys: dict[str, Any] = {tag: {"vr": "UI"} for tag in ("0020000D", "0020000E")} | {"00201209": {"vr": "IS"}}
    for keyword, tag, vr in (("PatientID", "00100020", "LO"), ("StudyInstanceUID", "0020000D", "UI")):
        if keyword in ids:
            keys[tag] = {"vr": vr, "Value": [ids[keyword]]}
    try:
        matches = await peer.find(node, Level.SERIES, keys)
    except PeerFailed as error:
        if error.retryable:
            raise
        return []  # it may still answer the retrieval
    items = []
    for match in matches:
        study = _first(match, "0020000D") or ids.get("StudyInstanceUID")
        series, count = _first(match, "0020000E"), _first(match, "00201209")
        if study and series:
            url = str(_first(match, "00081190") or "")
            unique = {
                "StudyInstanceUID": _in_url(url, "studies", str(study)),
                "SeriesInstanceUID": _in_url(url, "series", str(series)),
            }
            if "PatientID" in ids:
                unique["PatientID"] = ids["PatientID"]
            weight = int(count) if str(count).isdecimal() else None
            items.append(Item({"level": Level.SERIES.value, "ids": unique}, weight))
    return items


def _in_url(url: str, name: str, uid: str) -> str:
    """Return what the Retrieve URL of a match names an entity by, where that is a key: its UID names several there."""
    found = re.search(rf"/{name}/({re.escape(uid)}~[0-9a-f]{{8}})(/|$)", url)
    return found[1] if found else uid


def _first(match: Mapping[str, Any], tag: str) -> Any:
    element = match.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values[0] if isinstance(values, list) and values else None


class _Tally:
    """Counts and failures of one entity while it is retrieved."""

    def __init__(self, place: int, ids: Mapping[str, str]) -> None:
        self._place = place
        self._ids = ids
        self._last = Progress()
        self._failures: list[Failure] = []
        self._warnings: list[Failure] = []
        self._retryable = True

    def take(self, now: Progress) -> ItemOutcome:
        """Add progress that the node reports; return the outcome so far."""
        if now.warned > self._last.warned:
            self._note(self._warnings, now)
        elif now.reason is not None:  # a DIMSE node counts failures at once, and names the instances at the end
            self._retryable = self._retryable and now.retryable
            self._note(self._failures, now)
        self._last = now
        return self._outcome(final=False)

    def whole(self, node: Node) -> ItemOutcome:
        """Make the outcome of a retrieval that the node completed."""
        last = self._last
        if last.failed and not self._failures:
            self._failures.append(
                self._failure(None, f"{last.failed} instances failed; {last.answer or 'the node gave no reason'}")
            )
        if not last.done + last.failed + last.warned:
            self._failures.append(self._failure(None, f"{node.name} sent nothing of it, and says that this was all"))
            return self._outcome(final=True, missing=1, retryable=False)
        return self._outcome(final=True)

    def broken(self, error: NeurdicomError) -> ItemOutcome:
        """Make the outcome of a retrieval that failed as a whole; the instances before the failure are stored."""
        last = self._last
        self._failures.append(self._failure(self._ids.get("SOPInstanceUID"), str(error)))
        missing = max((last.total or 0) - last.done - last.warned - last.failed, 1)
        retryable = isinstance(error, PeerFailed) and error.retryable
        return self._outcome(final=True, missing=missing, retryable=retryable)

    def _note(self, reasons: list[Failure], now: Progress) -> None:
        if len(reasons) < _MAX_REASONS:
            reasons.append(self._failure(now.instance, now.reason or "the node gave no reason", now))

    def _failure(self, instance: str | None, reason: str, now: Progress = _NOTHING) -> Failure:
        """Name a failure by the instance, and by series and study as far as they are known."""
        series = now.series or self._ids.get("SeriesInstanceUID")
        return Failure(instance, reason, series=series, study=now.study or self._ids.get("StudyInstanceUID"))

    def _outcome(self, *, final: bool, missing: int = 0, retryable: bool | None = None) -> ItemOutcome:
        last = self._last
        return ItemOutcome(
            self._place,
            done=last.done + last.warned,
            failed=last.failed + missing,
            warned=last.warned,
            total=last.total,
            failures=tuple(self._failures),
            warnings=tuple(self._warnings),
            retryable=self._retryable if retryable is None else retryable,
            final=final,
        )


def ids_of(request: Mapping[str, Any]) -> Iterator[tuple[str, Level, str]]:
    """Yield the entities of a request to send: the name of the list, the level and the id."""
    for name, level in MANY.items():
        for entity in request.get(name, ()):
            yield name, level, entity
