"""Runners of the jobs that move instances between this server and a node."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from neurdicom.archive.selection import MANY, Selection, Selector
from neurdicom.catalog.base import Catalog
from neurdicom.dicom.query.attributes import Level
from neurdicom.errors import NeurdicomError, NotFound, PeerFailed
from neurdicom.jobs import Failure, Item, ItemOutcome, Job, Runner
from neurdicom.nodes.peer import Node, Peer, Progress
from neurdicom.nodes.service import NodeService

#: Most failures, and most warnings, that are kept of one item.
_MAX_REASONS = 20


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
                    yield _sent(place, before, now)
                    if stop.is_set():
                        return
                before = now


def _sent(place: int, before: Progress, now: Progress) -> ItemOutcome:
    reasons = (Failure(now.instance, now.reason or "the node gave no reason"),)
    if now.failed > before.failed:
        return ItemOutcome(place, failed=1, failures=reasons, retryable=now.retryable)
    if now.warned > before.warned:
        return ItemOutcome(place, done=1, warned=1, warnings=reasons)
    return ItemOutcome(place, done=1)


class RetrieveRunner(Runner):
    """Runner that retrieves entities; an item is the unique keys of one (`level`, and keyword to value)."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers

    async def expand(self, job: Job) -> AsyncIterator[Item]:
        """Yield the requested entities; over DICOMweb their series, so that little is repeated after a failure."""
        node, peer = await self._peers.of_job(job)
        level = Level(job.request["level"])
        for ids in job.request["ids"]:
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
            tally = _Tally(place)
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
                yield tally.whole()
            if stop.is_set():
                return


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

    def __init__(self, place: int) -> None:
        self._place = place
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

    def whole(self) -> ItemOutcome:
        """Make the outcome of a retrieval that the node completed."""
        if self._last.failed and not self._failures:
            self._failures.append(Failure(None, f"{self._last.failed} instances failed; the node gave no reason"))
        return self._outcome(final=True)

    def broken(self, error: NeurdicomError) -> ItemOutcome:
        """Make the outcome of a retrieval that failed as a whole; the instances before the failure are stored."""
        last = self._last
        self._failures.append(Failure(None, str(error)))
        missing = max((last.total or 0) - last.done - last.warned - last.failed, 1)
        retryable = isinstance(error, PeerFailed) and error.retryable
        return self._outcome(final=True, missing=missing, retryable=retryable)

    def _note(self, reasons: list[Failure], now: Progress) -> None:
        if len(reasons) < _MAX_REASONS:
            reasons.append(Failure(now.instance, now.reason or "the node gave no reason"))

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
