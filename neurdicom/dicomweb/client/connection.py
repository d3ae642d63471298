"""Requests to the DICOMweb services of a node, and what goes wrong with them as `PeerFailed`."""

import asyncio
import base64
import email.utils
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import httpx
import orjson

from neurdicom.errors import PeerFailed
from neurdicom.nodes.peer import Node

#: Seconds to connect, and that a node may be silent.
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

#: Seconds that a query may take as a whole.
_QUERY_SECONDS = 300.0

#: Bytes of an answer that is read into memory, and of one that tells of an error.
MAX_ANSWER = 32 * 1024 * 1024
_MAX_TOLD = 2048

_MAX_REDIRECTS = 5

#: Statuses after which the same request may succeed later; so may it after all of 5xx but these.
_BUSY = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505})

#: From so many bytes on, reading JSON takes long enough to hold the event loop.
_LARGE = 256 * 1024

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of bounded size.

    Attributes
    ----------
    status : int
    headers : httpx.Headers
    body : bytes
    where : str
        Node and request, for messages.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    where: str

    async def json(self) -> Any:
        """The body as JSON. Raises `PeerFailed`."""
        try:
            if len(self.body) < _LARGE:
                return orjson.loads(self.body)
            return await asyncio.to_thread(orjson.loads, self.body)
        except orjson.JSONDecodeError as error:
            raise PeerFailed(
                f"{self.where} answered what is no JSON: {_shortened(self.body)}", retryable=False
            ) from error


class NodeConnections:
    """HTTP connections to nodes, kept open. Certificates are checked against the authorities that the system trusts."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close them. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, node: Node, path: str, query: Query = (), *, accept: str) -> Answer:
        """Read an answer into memory; 2xx only. Raises `PeerFailed`."""
        try:
            async with asyncio.timeout(_QUERY_SECONDS):
                async with self.stream(node, path, query, accept=accept) as response:
                    where = _where(node, response)
                    return Answer(response.status_code, response.headers, await _read(response, where), where)
        except TimeoutError as error:
            raise PeerFailed(f"{node.name} took longer than {_QUERY_SECONDS:g} s to answer") from error

    @asynccontextmanager
    async def stream(
        self, node: Node, path: str, query: Query = (), *, accept: str
    ) -> AsyncGenerator[httpx.Response, None]:
        """Begin to read an answer; 2xx only. Redirects are followed on the same server. Raises `PeerFailed`."""
        headers = {"Accept": accept, **_authorization(node)}
        url = httpx.URL(f"{node.url}{path}{'?' if query else ''}{_encoded(query)}")
        for _ in range(_MAX_REDIRECTS):
            async with self._sent(node, "GET", url, headers) as response:
                if not response.is_redirect:
                    if not response.is_success:
                        raise await _refused(node, response)
                    yield response
                    return
                url = _redirected(node, response)
        raise PeerFailed(f"{node.name} redirects again and again", retryable=False)

    async def post(self, node: Node, path: str, body: AsyncIterator[bytes], headers: Mapping[str, str]) -> Answer:
        """Send a body, and read the answer, whatever its status. Raises `PeerFailed` where there is none.

        What `body` raises passes through.
        """
        url = httpx.URL(f"{node.url}{path}")
        async with self._sent(node, "POST", url, {**headers, **_authorization(node)}, body) as response:
            if response.is_redirect:
                _redirected(node, response)
                raise PeerFailed(
                    f"{node.name} redirects to {response.headers.get('Location', '')[:200]}: make that its url",
                    retryable=False,
                )
            where = _where(node, response)
            if response.is_success or response.status_code == httpx.codes.CONFLICT:
                return Answer(response.status_code, response.headers, await _read(response, where), where)
            told = await _beginning(response)
            return Answer(response.status_code, response.headers, told, where)

    @asynccontextmanager
    async def _sent(
        self,
        node: Node,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        body: AsyncIterator[bytes] | None = None,
    ) -> AsyncGenerator[httpx.Response, None]:
        client = await self._open()
        try:
            async with client.stream(method, url, headers=headers, content=body) as response:
                yield response
        except httpx.DecodingError as error:
            raise PeerFailed(f"{node.name} answered what can't be decompressed: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise PeerFailed(f"{node.name} can't be asked at {url.host}: {error}", retryable=False) from error
        except httpx.TimeoutException as error:
            raise PeerFailed(f"{node.name} at {url.host} did not answer in time ({type(error).__name__})") from error
        except httpx.TransportError as error:
            untrusted = isinstance(_root(error), ssl.SSLCertVerificationError)
            reason = str(error) or type(error).__name__
            raise PeerFailed(f"{node.name} at {url.host}: {reason}", retryable=not untrusted) from error

    async def _open(self) -> httpx.AsyncClient:
        async with self._opening:
            if self._client is None:
                trusted = await asyncio.to_thread(ssl.create_default_context)  # reads files
                jar = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
                self._client = httpx.AsyncClient(verify=trusted, timeout=_TIMEOUT, cookies=jar)
            return self._client


def _encoded(query: Query) -> str:
    """Encode a query, but for what may stand in one as it is: some nodes do not decode `*` (RFC 3986 3.4)."""
    return "&".join(f"{name}={quote(value, safe='*?,:/@')}" for name, value in query)


def check_answer(node: Node, answer: Answer) -> None:
    """Raise `PeerFailed` unless the status is 2xx."""
    if not httpx.codes.is_success(answer.status):
        raise failure(node, answer.where, answer.status, answer.headers, answer.body)


def failure(node: Node, where: str, status: int, headers: httpx.Headers, body: bytes) -> PeerFailed:
    """Give the error that a status other than success stands for."""
    phrase = httpx.codes.get_reason_phrase(status)
    told = _shortened(body)
    message = _without_secrets(node, f"{where} answered {status} {phrase}{f': {told}' if told else ''}")
    retryable = status in _BUSY or (status >= 500 and status not in _NEVER)
    return PeerFailed(message, retryable=retryable, retry_after=_retry_after(headers) if retryable else None)


async def _refused(node: Node, response: httpx.Response) -> PeerFailed:
    told = await _beginning(response)
    return failure(node, _where(node, response), response.status_code, response.headers, told)


def _where(node: Node, response: httpx.Response) -> str:
    return f"{node.name} ({response.request.method} {response.request.url.path})"


async def _read(response: httpx.Response, where: str) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise PeerFailed(f"{where} answered more than {MAX_ANSWER} bytes", retryable=False)
    return bytes(body)


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= _MAX_TOLD:
            break
    return body[:_MAX_TOLD]


def _redirected(node: Node, response: httpx.Response) -> httpx.URL:
    """Where a redirect leads, if that is on the same server. Raises `PeerFailed`."""
    here = response.request.url
    try:
        there = here.join(response.headers.get("Location", ""))
    except (httpx.InvalidURL, ValueError) as error:
        raise PeerFailed(f"{node.name} redirects to what is no URL", retryable=False) from error
    if (there.scheme, there.host, there.port) != (here.scheme, here.host, here.port):
        raise PeerFailed(
            f"{node.name} redirects to {there.scheme}://{there.host}, another server, which is not followed",
            retryable=False,
        )
    return there


def _authorization(node: Node) -> dict[str, str]:
    if node.token:
        return {"Authorization": f"Bearer {node.token}"}
    if node.username:
        return {"Authorization": f"Basic {_basic(node)}"}
    return {}


def _basic(node: Node) -> str:
    return base64.b64encode(f"{node.username}:{node.password}".encode()).decode()


def _without_secrets(node: Node, text: str) -> str:
    """Hide credentials that a node gives back in its words."""
    for secret in (node.token, node.password, _basic(node) if node.username else ""):
        if secret:
            text = text.replace(secret, "(hidden)")
    return text


def _shortened(body: bytes) -> str:
    text = " ".join(body[:_MAX_TOLD].decode("utf-8", "replace").split())
    return "".join(char for char in text if char.isprintable())[:300]


def _retry_after(headers: httpx.Headers) -> float | None:
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _root(error: BaseException) -> BaseException:
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error
