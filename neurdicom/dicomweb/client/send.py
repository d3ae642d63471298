"""STOW-RS user agent (PS3.18 10.5), which streams files as parts, and reads the outcome of each."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from neurdicom.archive.files import File, FileInSyntax, FileService
from neurdicom.dicom.codec.transfer_syntaxes import EXPLICIT
from neurdicom.dicomweb.client.connection import Answer, NodeConnections, check_answer, failure
from neurdicom.errors import NeurdicomError, PeerFailed
from neurdicom.nodes.peer import Node

#: Most bytes and instances of one request; a larger instance has a request of its own.
_BYTES = 16 * 1024 * 1024
_INSTANCES = 50

_FAILED, _STORED = "00081198", "00081199"
_UID, _FAILURE_REASON, _WARNING_REASON = "00081155", "00081197", "00081196"

#: Failure Reason (PS3.18 10.5.3.2, PS3.7 C) to its meaning; a code without an entry has that of its highest byte.
_REASONS = {
    0x0105: "no such attribute",
    0x0106: "invalid attribute value",
    0x0110: "processing failure",
    0x0111: "duplicate SOP instance",
    0x0112: "no such SOP instance",
    0x0117: "invalid SOP instance UID",
    0x0119: "class-instance conflict",
    0x0122: "SOP class not supported",
    0x0124: "not authorized",
    0xC122: "transfer syntax not supported",
    0xA700: "out of resources",
    0xA900: "the dataset does not match its SOP class",
    0xC000: "the dataset can't be understood",
}
_WARNINGS = {
    0xB000: "elements were coerced",
    0xB006: "elements were discarded",
    0xB007: "the dataset does not match its SOP class",
}
_DUPLICATE, _UNSUPPORTED_SYNTAX = 0x0111, 0xC122

#: Statuses that a single instance of the request may have caused: it is malformed or too large, or its type or content
#: is not accepted.
_OF_ONE = frozenset({400, 413, 415, 422})


@dataclass(frozen=True, slots=True)
class StowResult:
    """The outcome of one instance.

    Attributes
    ----------
    instance : str
        Key of the instance; its SOP Instance UID in an answer.
    failed : bool
        True if it was not stored.
    warned : bool
        True if it was stored with a warning.
    reason : str or None
        The reason of the failure or the warning.
    retryable : bool
        True if sending it again may help.
    """

    instance: str
    failed: bool = False
    warned: bool = False
    reason: str | None = None
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class _Given:
    """Instance to send, by its key, with its file."""

    instance: str
    file: FileInSyntax

    @property
    def uid(self) -> str:
        return self.file.download.instance


class StowSender:
    """Sender of instances to nodes.

    Parameters
    ----------
    connections : NodeConnections
        Connections to nodes.
    files : FileService
        Opens the files, edits applied.
    """

    def __init__(self, connections: NodeConnections, files: FileService) -> None:
        self._connections = connections
        self._files = files

    async def send(self, node: Node, instances: Sequence[str]) -> AsyncIterator[StowResult]:
        """Send instances, by their keys, several in each request; yield the outcome of each. Raises `PeerFailed`."""
        batch: list[_Given] = []
        size = 0
        for instance in instances:
            try:
                given = _Given(instance, await self._files.give(instance))
            except NeurdicomError as error:
                yield StowResult(instance, failed=True, reason=str(error))
                continue
            is_full = size + given.file.download.size > _BYTES or len(batch) == _INSTANCES
            # An answer names instances by their UIDs alone.
            if batch and (is_full or given.uid in {each.uid for each in batch}):
                for sent in await self._send(node, batch):
                    yield sent
                batch, size = [], 0
            batch.append(given)
            size += given.file.download.size
        if batch:
            for sent in await self._send(node, batch):
                yield sent

    async def _send(self, node: Node, batch: Sequence[_Given], *, converted: bool = False) -> list[StowResult]:
        """Send one request; instances refused for their transfer syntax are sent again, once, as Explicit VR."""
        answer = await self._post(node, [given.file.download for given in batch])
        if answer.status in _OF_ONE and len(batch) > 1:
            half = len(batch) // 2
            return [*await self._send(node, batch[:half]), *await self._send(node, batch[half:])]
        if answer.status in _OF_ONE:
            told, refused = _refusal(node, answer, batch[0].uid)
        else:
            if answer.status != httpx.codes.CONFLICT:  # whose body lists each instance
                check_answer(node, answer)
            told, refused = read_answer(await answer.json(), answer)
        results: list[StowResult] = []
        for given in batch:
            uid = given.uid
            if not converted and given.file.syntax != EXPLICIT and _may_be_syntax(refused.get(uid)):
                results.append(await self._send_converted(node, given, told[uid]))
            else:
                missing = StowResult(uid, failed=True, reason=f"{answer.where} does not mention it", retryable=True)
                results.append(replace(told.get(uid, missing), instance=given.instance))
        return results

    async def _send_converted(self, node: Node, given: _Given, refused: StowResult) -> StowResult:
        try:
            other = _Given(given.instance, await self._files.give(given.instance, (EXPLICIT,), strict=True))
        except PeerFailed:
            raise
        except NeurdicomError as error:
            reason = f"{refused.reason}; stored as {given.file.syntax}, which can't be sent as Explicit VR: {error}"
            return StowResult(given.instance, failed=True, reason=reason)
        (sent,) = await self._send(node, [other], converted=True)
        return sent

    async def _post(self, node: Node, files: Sequence[File]) -> Answer:
        boundary = uuid.uuid4().hex
        heads = [_head(boundary, first=place == 0) for place in range(len(files))]
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = sum(map(len, heads)) + sum(file.size for file in files) + len(tail)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(length),
            "Accept": "application/dicom+json",
        }
        try:
            return await self._connections.post(node, "/studies", _body(heads, files, tail), headers)
        except PeerFailed:
            raise
        except (NeurdicomError, OSError) as error:  # for example a file that was deleted while it was sent
            raise PeerFailed(f"the request to {node.name} broke off: {error}") from error


def read_answer(body: Any, answer: Answer) -> tuple[dict[str, StowResult], dict[str, int]]:
    """Read a Store Instances Response (PS3.18 10.5.3.3): outcomes by instance, and Failure Reasons of failed ones.

    Raises `PeerFailed` if it is not one.
    """
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, Mapping) or not ({_FAILED, _STORED} & body.keys()):
        raise PeerFailed(f"{answer.where} answered without the outcome of any instance", retryable=False)
    told: dict[str, StowResult] = {}
    refused: dict[str, int] = {}
    for item in _items(body, _STORED):
        uid, code = _value(item, _UID), _code(item, _WARNING_REASON)
        warning = None if code is None else f"{_WARNINGS.get(code, 'stored with a warning')} ({code:04X})"
        told[str(uid)] = StowResult(str(uid), warned=warning is not None, reason=warning)
    for item in _items(body, _FAILED):
        uid, code = _value(item, _UID), _code(item, _FAILURE_REASON)
        refused[str(uid)] = code or 0
        told[str(uid)] = _failure(str(uid), code or 0)
    return told, refused


def _failure(uid: str, code: int) -> StowResult:
    words = _REASONS.get(code) or _REASONS.get(code & 0xFF00) or _REASONS.get(code & 0xF000)
    reason = f"{words or 'unknown Failure Reason'} ({code:04X})"
    if code == _DUPLICATE:  # the node has it already
        return StowResult(uid, warned=True, reason=reason)
    return StowResult(uid, failed=True, reason=reason, retryable=code & 0xFF00 == 0xA700)


def _may_be_syntax(code: int | None) -> bool:
    """Tell whether a node may have refused an instance for its transfer syntax."""
    return code is not None and (code == _UNSUPPORTED_SYNTAX or code & 0xF000 == 0xC000)


def _refusal(node: Node, answer: Answer, uid: str) -> tuple[dict[str, StowResult], dict[str, int]]:
    """Make the outcome, in the form of `read_answer`, of a request with a single instance that was refused."""
    reason = str(failure(node, answer.where, answer.status, answer.headers, answer.body))
    refused = {uid: _UNSUPPORTED_SYNTAX} if answer.status == httpx.codes.UNSUPPORTED_MEDIA_TYPE else {}
    return {uid: StowResult(uid, failed=True, reason=reason)}, refused


def _items(dataset: Mapping[str, Any], tag: str) -> list[Mapping[str, Any]]:
    element = dataset.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return [item for item in values if isinstance(item, Mapping)] if isinstance(values, list) else []


def _value(item: Mapping[str, Any], tag: str) -> Any:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, Mapping) else None
    return values[0] if isinstance(values, list) and values else None


def _code(item: Mapping[str, Any], tag: str) -> int | None:
    value = _value(item, tag)
    text = str(value)
    return int(text) & 0xFFFF if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _head(boundary: str, *, first: bool) -> bytes:
    return f"{'' if first else chr(13) + chr(10)}--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


async def _body(heads: Sequence[bytes], files: Sequence[File], tail: bytes) -> AsyncIterator[bytes]:
    for head, file in zip(heads, files, strict=True):
        yield head
        async for piece in file.read():
            yield piece
    yield tail
