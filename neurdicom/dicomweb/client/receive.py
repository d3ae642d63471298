"""WADO-RS user agent (PS3.18 10.4), which stores an answer part by part as it arrives."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

import httpx

from neurdicom.archive.ingest.commit import SenderOrder
from neurdicom.archive.ingest.result import IngestResult
from neurdicom.archive.ingest.service import Arrival, IngestService
from neurdicom.archive.upload.multipart import MultipartReader, PartBegins, PartData
from neurdicom.dicomweb.client.connection import NodeConnections
from neurdicom.errors import Malformed, PeerFailed, Unavailable
from neurdicom.nodes.peer import Node
from neurdicom.nodes.requested import RequestedEntity

#: Accept header for instances in the transfer syntax in which they are stored, as many parts or as one.
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*, application/dicom; transfer-syntax=*;q=0.5'

#: Most instances that are being stored at a time.
_AT_ONCE = 8

#: Bytes of an answer that are parsed at a time.
_SLICE = 64 * 1024


async def receive(
    connections: NodeConnections, ingest: IngestService, node: Node, path: str, requested: RequestedEntity
) -> AsyncIterator[IngestResult]:
    """Retrieve all instances of a study, series or instance, and store them.

    Parameters
    ----------
    connections : NodeConnections
        Connections to nodes.
    ingest : IngestService
        Stores the instances.
    node : Node
        The node.
    path : str
        Path of the study, series or instance below the node's base URL.
    requested : RequestedEntity
        Refuses instances of others.

    Yields
    ------
    IngestResult
        The result of each instance, in the order of arrival.

    Raises
    ------
    PeerFailed
        The node can't be reached or refuses, or the answer breaks off; instances that arrived before are stored, and
        their results yielded.
    """
    storing: deque[asyncio.Task[IngestResult]] = deque()
    arrival: Arrival | None = None
    order = SenderOrder()
    broken: PeerFailed | None = None
    try:
        async with connections.stream(node, path, accept=_ACCEPT) as response:
            reader = _reader(node, response)
            async for event in _events(node, reader, response):
                if isinstance(event, PartBegins):
                    arrival = ingest.receive(f"{node.name}{path}", order, requested)
                elif isinstance(event, PartData):
                    assert arrival is not None
                    await arrival.write(event.data)
                elif arrival is not None:
                    storing.append(asyncio.create_task(arrival.finish()))
                    arrival = None
                    while storing and (len(storing) >= _AT_ONCE or storing[0].done()):
                        yield await storing.popleft()
            if reader is None and arrival is not None:
                storing.append(asyncio.create_task(arrival.finish()))
                arrival = None
    except PeerFailed as error:
        broken = error
    except Unavailable as error:  # this server's disk is full, for example
        broken = PeerFailed(str(error))
    finally:
        if arrival is not None:
            await arrival.abort()
        if storing:
            await asyncio.wait(storing)
    while storing:
        yield storing.popleft().result()
    if broken is not None:
        raise broken


async def receive_file(connections: NodeConnections, node: Node, path: str) -> AsyncIterator[bytes]:
    """Retrieve one instance as the node has it stored, and yield its bytes.

    Parameters
    ----------
    connections : NodeConnections
        Connections to nodes.
    node : Node
        The node.
    path : str
        Path of the instance below the node's base URL.

    Raises
    ------
    PeerFailed
        The node can't be reached or refuses, the answer breaks off, or has another number of instances than one.
    """
    parts = 0
    async with connections.stream(node, path, accept=_ACCEPT) as response:
        async for event in _events(node, _reader(node, response), response):
            if isinstance(event, PartBegins):
                parts += 1
                if parts > 1:
                    break
            elif isinstance(event, PartData):
                yield bytes(event.data)
    if parts != 1:
        raise PeerFailed(f"{node.name} answered {parts or 'no'} instances where one is expected", retryable=False)


def _reader(node: Node, response: httpx.Response) -> MultipartReader | None:
    """Make the parser of a multipart answer; None for an answer that is a single instance."""
    content_type = response.headers.get("Content-Type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("multipart/related", "multipart/mixed"):
        try:
            return MultipartReader(content_type)
        except Malformed as error:
            raise PeerFailed(f"{node.name}: {error}", retryable=False) from error
    if kind in ("application/dicom", "application/octet-stream"):
        return None
    raise PeerFailed(
        f"{node.name} answered {content_type[:100]!r} where multipart/related or application/dicom is expected",
        retryable=False,
    )


async def _events(
    node: Node, reader: MultipartReader | None, response: httpx.Response
) -> AsyncIterator[PartBegins | PartData | object]:
    if reader is None:
        yield PartBegins(response.url.path)
        async for piece in response.aiter_bytes():
            yield PartData(memoryview(piece))
        return
    try:
        async for piece in response.aiter_bytes():
            for start in range(0, len(piece), _SLICE):  # decompressed pieces may be large
                for event in reader.feed(piece[start : start + _SLICE]):
                    yield event
    except Malformed as error:
        raise PeerFailed(f"{node.name}: {error}") from error
    if not reader.complete:
        raise PeerFailed(f"{node.name}: the answer ends before its closing boundary")
