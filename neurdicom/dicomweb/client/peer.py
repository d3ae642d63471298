"""Operations with remote nodes over DICOMweb."""

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, cast

from neurdicom.archive.files import FileService
from neurdicom.archive.ingest.result import IngestResult
from neurdicom.archive.ingest.service import IngestService
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicomweb.client.connection import NodeConnections
from neurdicom.dicomweb.client.query import first_text, search, study_path
from neurdicom.dicomweb.client.receive import receive, receive_file
from neurdicom.dicomweb.client.send import StowResult, StowSender
from neurdicom.errors import Invalid, PeerFailed, Unavailable
from neurdicom.nodes.peer import Method, Node, Peer, Progress
from neurdicom.nodes.piecewise import retrieve_piecewise
from neurdicom.nodes.requested import NotRequested, RequestedEntity, matches_of_query

log = logging.getLogger(__name__)

_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"


class DicomWebFiles:
    """Files of nodes that speak DICOMweb, as they are stored there.

    Parameters
    ----------
    connections : NodeConnections, optional
        Connections to nodes; by default its own.
    """

    def __init__(self, connections: NodeConnections | None = None) -> None:
        self._connections = connections or NodeConnections()

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._connections.close()

    def stored_file(self, node: Node, ids: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Retrieve an instance by WADO-RS in the transfer syntax in which it is stored."""
        path = study_path(ids["StudyInstanceUID"], ids["SeriesInstanceUID"], ids["SOPInstanceUID"])
        return receive_file(self._connections, node, path)


class DicomWebPeer(Peer):
    """Peer for nodes that speak DICOMweb, as user agent.

    Parameters
    ----------
    ingest : IngestService
        Stores the instances retrieved.
    files : FileService
        Opens the files to send.
    """

    def __init__(self, ingest: IngestService, files: FileService) -> None:
        self._connections = NodeConnections()
        self._ingest = ingest
        self._sender = StowSender(self._connections, files)

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._connections.close()

    async def echo(self, node: Node) -> float:
        """Verify a node by a QIDO-RS query for a single study."""
        begin = time.perf_counter()
        await search(self._connections, node, Level.STUDY, {}, limit=1)
        return time.perf_counter() - begin

    async def find(
        self, node: Node, level: Level, keys: Mapping[str, Any], *, limit: int | None = None, fuzzy: bool = False
    ) -> list[dict[str, Any]]:
        """Query a node by QIDO-RS."""
        matches = await search(self._connections, node, level, keys, limit=limit, fuzzy=fuzzy)
        return matches_of_query(node.name, keys, matches)

    async def send(self, node: Node, instances: Sequence[str]) -> AsyncIterator[Progress]:
        """Send instances by STOW-RS."""
        now = Progress(total=len(instances))
        sent = cast(AsyncGenerator[StowResult, None], self._sender.send(node, instances))
        async with aclosing(sent):
            async for one in sent:
                now = _counted(now, one.instance, one.reason, failed=one.failed, retryable=one.retryable)
                yield now

    async def retrieve(
        self, node: Node, level: Level, ids: Mapping[str, str], *, method: Method | None = None
    ) -> AsyncIterator[Progress]:
        """Retrieve by WADO-RS. What does not arrive of a study or series is asked for instance by instance."""
        if method not in (None, "WADO-RS"):
            raise Invalid(f"method is {method}; WADO-RS is expected for a DICOMWEB node", field="method")
        before = now = Progress()
        for path, keys in await self._paths(node, level, ids):
            wanted = {**ids, **({"StudyInstanceUID": keys[_STUDY]} if _STUDY in keys else {})}
            stored: set[str] = set()
            whole = self._retrieved(node, path, wanted, stored)
            if level is not Level.INSTANCE:
                list_instances = partial(self._instances, node, keys)
                whole = retrieve_piecewise(whole, stored, list_instances, partial(self._fetched, node, wanted))
            async with aclosing(whole):
                async for now in whole:
                    now = _added(before, now)
                    yield now
            before = now

    async def _retrieved(
        self, node: Node, path: str, wanted: Mapping[str, str], stored: set[str]
    ) -> AsyncGenerator[Progress, None]:
        """Retrieve what a path names, and note what is stored of it."""
        now = Progress()
        async with aclosing(self._received(node, path, wanted)) as results:
            async for result in results:
                if result.id and result.error is None:
                    stored.add(uid_of(result.id))
                now = _of_result(now, result)
                yield now

    def _fetched(self, node: Node, wanted: Mapping[str, str], ids: Mapping[str, str]) -> AsyncGenerator[Progress, None]:
        """Retrieve one instance of an entity."""
        path = study_path(ids["StudyInstanceUID"], ids["SeriesInstanceUID"], ids["SOPInstanceUID"])
        return self._retrieved(node, path, {**wanted, **ids}, set())

    def stored_file(self, node: Node, ids: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Retrieve an instance by WADO-RS in the transfer syntax in which it is stored."""
        return DicomWebFiles(self._connections).stored_file(node, ids)

    async def _received(self, node: Node, path: str, wanted: Mapping[str, str]) -> AsyncGenerator[IngestResult, None]:
        """Retrieve what a path names, and refuse instances of other entities, with a line in the log for each."""
        received = receive(self._connections, self._ingest, node, path, RequestedEntity(wanted))
        async with aclosing(cast(AsyncGenerator[IngestResult, None], received)) as results:
            async for result in results:
                if isinstance(result.error, NotRequested):
                    log.warning("%s sent what was not requested, which is refused: %s", node.name, result.error)
                yield result

    async def _paths(self, node: Node, level: Level, ids: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
        """List the paths to retrieve, each with its unique keys; a patient is retrieved study by study."""
        tags = (("StudyInstanceUID", _STUDY), ("SeriesInstanceUID", _SERIES))
        keys = {tag: ids[name] for name, tag in tags if name in ids}
        if level is not Level.PATIENT:
            return [(study_path(ids["StudyInstanceUID"], keys.get(_SERIES, ""), ids.get("SOPInstanceUID", "")), keys)]
        patient = {"00100020": {"vr": "LO", "Value": [ids["PatientID"]]}, _STUDY: {"vr": "UI"}}
        studies = [first_text(match, _STUDY) for match in await self.find(node, Level.STUDY, patient)]
        if not studies:
            raise PeerFailed(f"{node.name} has no study of the patient {ids['PatientID']!r}", retryable=False)
        return [(study_path(study), {_STUDY: study}) for study in studies if study]

    async def _instances(self, node: Node, keys: Mapping[str, str]) -> list[dict[str, str]]:
        """List the instances of a study or series, each with its unique keys."""
        query: dict[str, Any] = {tag: {"vr": "UI", "Value": [entity]} for tag, entity in keys.items()}
        query |= {tag: {"vr": "UI"} for tag in (_SERIES, _INSTANCE) if tag not in query}
        found = []
        for match in await self.find(node, Level.INSTANCE, query):
            instance = first_text(match, _INSTANCE)
            series = keys.get(_SERIES) or first_text(match, _SERIES)
            if instance and series:
                unique = {"StudyInstanceUID": keys[_STUDY], "SeriesInstanceUID": series, "SOPInstanceUID": instance}
                found.append(unique)
        return found


def _added(before: Progress, now: Progress) -> Progress:
    """Add the progress of one path to that of the paths before."""
    done, failed, warned = before.done + now.done, before.failed + now.failed, before.warned + now.warned
    return replace(now, done=done, failed=failed, warned=warned, total=None)


def _of_result(before: Progress, result: IngestResult) -> Progress:
    failed = result.error is not None
    retryable = isinstance(result.error, Unavailable)
    reason = str(result.error) if failed else None
    instance = result.error.instance if isinstance(result.error, NotRequested) else uid_of(result.id or "") or None
    return _counted(before, instance, reason, failed=failed, retryable=retryable)


def _counted(before: Progress, instance: str | None, reason: str | None, *, failed: bool, retryable: bool) -> Progress:
    warned = reason is not None and not failed
    return Progress(
        before.done + (not failed and not warned),
        before.failed + failed,
        before.warned + warned,
        before.total,
        instance,
        reason,
        retryable,
    )
