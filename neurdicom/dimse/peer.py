"""Operations with remote nodes over DIMSE, run in the DIMSE processes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import orjson

from neurdicom.config import Settings
from neurdicom.dicom.codec.dictionary import dictionary_vr, tag_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dimse.identifier import LEVEL_NAMES
from neurdicom.dimse.ipc.pool import DimseProcessPool
from neurdicom.dimse.ipc.process import result_of
from neurdicom.dimse.ipc.query_retrieve import remote_of
from neurdicom.dimse.retrievals import Retrieval, RetrievalRegistry
from neurdicom.errors import Invalid, PeerFailed
from neurdicom.nodes.commitment import CommitmentReport, Reporter
from neurdicom.nodes.peer import Method, Node, Peer, Progress
from neurdicom.nodes.piecewise import instances_below, retrieve_piecewise
from neurdicom.nodes.requested import matches_of_query
from neurdicom.nodes.transfer import TransferService


class DimsePeer(Peer, Reporter):
    """Peer for nodes that speak DIMSE: SCU of their services, and SCP that reports on storage commitment.

    Parameters
    ----------
    settings : Settings
        The server's settings.
    pool : DimseProcessPool
        The processes that run the operations.
    transfer : TransferService
        Describes the instances to send.
    retrievals : RetrievalRegistry
        Tells the instances that were asked for from others.
    """

    def __init__(
        self,
        settings: Settings,
        pool: DimseProcessPool,
        transfer: TransferService,
        retrievals: RetrievalRegistry,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._transfer = transfer
        self._retrievals = retrievals

    async def echo(self, node: Node) -> float:
        """Verify a node by C-ECHO."""
        return float(await result_of(self._operate(node, "echo")))

    async def find(
        self, node: Node, level: Level, keys: Mapping[str, Any], *, limit: int | None = None, fuzzy: bool = False
    ) -> list[dict[str, Any]]:
        """Query a node by C-FIND: in the study root; in the patient root for patients, or if it supports only that."""
        if fuzzy:
            raise Invalid("fuzzy matching is possible with DICOMWEB nodes only; leave fuzzy out", field="fuzzy")
        matches: list[dict[str, Any]] = []
        arguments = {"level": level.value, "keys": dict(keys), "limit": limit}
        async with aclosing(self._events(node, "find", **arguments)) as events:
            async for some in events:
                matches += some
        return matches_of_query(node.name, keys, matches, level=LEVEL_NAMES[level])

    async def send(self, node: Node, instances: Sequence[str]) -> AsyncIterator[Progress]:
        """Send instances by C-STORE."""
        there = await self._transfer.describe(instances)
        known = {each.instance for each in there}
        total = len(instances)
        done = failed = warned = 0
        for instance in instances:
            if instance not in known:
                failed += 1
                yield Progress(done, failed, warned, total, instance, "there is no such instance")
        wanted = [(each.instance, each.sop_class, each.transfer_syntax) for each in there]
        if not wanted:
            return
        async with aclosing(self._events(node, "send", instances=wanted)) as events:
            async for event in events:
                if event["failed"]:
                    failed += 1
                elif event["reason"]:
                    warned += 1
                else:
                    done += 1
                yield Progress(done, failed, warned, total, event["instance"], event["reason"], event["retryable"])

    async def retrieve(
        self, node: Node, level: Level, ids: Mapping[str, str], *, method: Method | None = None
    ) -> AsyncIterator[Progress]:
        """Retrieve from a node: by C-MOVE if this server listens for DIMSE and the node allows it, else C-GET.

        What a node fails to send of a whole is asked for again, instance by instance.
        """
        chosen = method or node.retrieve or ("C-MOVE" if self._settings.dimse_port else "C-GET")
        if chosen == "WADO-RS":
            raise Invalid("method is WADO-RS; C-MOVE or C-GET is expected for a DIMSE node", field="method")
        if chosen == "C-MOVE" and not self._settings.dimse_port:
            raise Invalid("C-MOVE needs this server to listen for DIMSE (dimse_port); C-GET does not", field="method")
        verb = "move" if chosen == "C-MOVE" else "get"
        with self._retrievals.begin(node, ids) as retrieval:
            pieces = retrieve_piecewise(
                self._retrieved(node, verb, level, ids, retrieval),
                retrieval.stored,
                partial(instances_below, partial(self.find, node), level, ids),
                partial(self._fetched, node, verb),
            )
            async with aclosing(pieces):
                async for progress in pieces:
                    yield progress

    async def _fetched(self, node: Node, verb: str, ids: Mapping[str, str]) -> AsyncGenerator[Progress, None]:
        """Retrieve one instance."""
        with self._retrievals.begin(node, ids) as retrieval:
            async with aclosing(self._retrieved(node, verb, Level.INSTANCE, ids, retrieval)) as steps:
                async for progress in steps:
                    yield progress

    async def _retrieved(
        self, node: Node, verb: str, level: Level, ids: Mapping[str, str], retrieval: Retrieval
    ) -> AsyncGenerator[Progress, None]:
        """Retrieve an entity by one request."""
        keys = {tag: {"vr": dictionary_vr(int(tag, 16)), "Value": [value]} for tag, value in _tags(ids).items()}
        arguments = {"level": level.value, "keys": keys, "message_id": retrieval.number}
        async with aclosing(self._events(node, verb, **arguments)) as events:
            async for progress in _with_refused(events, retrieval):
                yield progress

    async def report(self, node: Node, report: CommitmentReport) -> None:
        """Report on a request for storage commitment by N-EVENT-REPORT."""
        body = await asyncio.to_thread(orjson.dumps, (report.held, report.refused))
        await result_of(
            self._pool.operate("report", body, remote=remote_of(node).to_wire(), transaction=report.transaction)
        )

    def _operate(self, node: Node, verb: str, body: bytes = b"", **arguments: Any) -> AsyncIterator[Any]:
        return self._pool.operate(verb, body, remote=remote_of(node).to_wire(), **arguments)

    async def _events(self, node: Node, verb: str, **arguments: Any) -> AsyncGenerator[Any, None]:
        async with aclosing(self._operate(node, verb, **arguments)) as steps:  # type: ignore[type-var]
            async for kind, data in steps:
                if kind == "event":
                    yield data


async def _with_refused(events: AsyncIterator[Any], retrieval: Retrieval) -> AsyncIterator[Progress]:
    """Convert a node's reports to progress, which also names the instances that were refused, each once."""
    told = 0
    event: dict[str, Any] = {
        "completed": 0,
        "failed": 0,
        "warned": 0,
        "total": None,
        "retryable": False,
        "answer": None,
    }
    try:
        async for event in events:
            refused = retrieval.refused[:]
            for each in refused[told:]:
                yield _progress(event, len(refused), each.instance, each.reason)
            told = len(refused)
            is_told = event["instance"] in {each.instance for each in refused}
            yield _progress(event, told, *((None, None) if is_told else (event["instance"], event["reason"])))
    except PeerFailed:
        for each in retrieval.refused[told:]:
            yield _progress(event, len(retrieval.refused), each.instance, each.reason)
        raise


def _progress(event: Mapping[str, Any], refused: int, instance: str | None, reason: str | None) -> Progress:
    """Convert a node's counts; instances that were refused are failed ones, also where the node says otherwise."""
    uncounted = max(0, refused - event["failed"])
    done = max(0, event["completed"] - uncounted)
    failed = event["failed"] + event["completed"] - done
    retryable = event["retryable"] and not refused
    return Progress(done, failed, event["warned"], event["total"], instance, reason, retryable, answer=event["answer"])


def _tags(ids: Mapping[str, str]) -> dict[str, str]:
    try:
        return {tag_of(keyword): value for keyword, value in ids.items()}
    except KeyError as error:
        raise Invalid(f"{error.args[0]!r} is not the keyword of a unique key", field="ids") from error
