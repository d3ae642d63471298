"""HTTP requests to the DICOMweb services of nodes, whose failures are raised as `PeerFailed`."""

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

#: Seconds that a node may be silent, and seconds to connect.
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)

#: Seconds that a query may take as a whole.
_QUERY_SECONDS = 300.0

#: Most bytes of an answer that is read into memory, and of the text of an error answer.
MAX_ANSWER = 32 * 1024 * 1024
_MAX_EXCERPT = 2048

_MAX_REDIRECTS = 5

#: Statuses after which the same request may succeed later, and statuses 5xx after which it can't.
_BUSY = frozenset({408, 425, 429})
_NEVER = frozenset({501, 505})

#: Bytes of JSON from which on it is parsed in a thread, so as not to block the event loop.
_LARGE = 256 * 1024

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of bounded size.

    Attributes
    ----------
    status : int
        HTTP status.
    headers : httpx.Headers
        Headers of the answer.
    body : bytes
        Body, decompressed.
    where : str
        Node and request, for messages.
    """

    status: int
    headers: httpx.Headers
    body: bytes
    where: str

    async def json(self) -> Any:
        """Parse the body as JSON. Raises `PeerFailed`."""
        try:
            if len(self.body) < _LARGE:
                return orjson.loads(self.body)
            return await asyncio.to_thread(orjson.loads, self.body)
        except orjson.JSONDecodeError as error:
            raise PeerFailed(f"{self.where} answered no JSON: {_excerpt(self.body)}", retryable=False) from error


class NodeConnections:
    """Pool of HTTP connections to nodes. Certificates are checked against the system's certificate authorities."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def get(self, node: Node, path: str, query: Query = (), *, accept: str) -> Answer:
        """Get a resource and read the answer into memory.

        Parameters
        ----------
        node : Node
            The node.
        path : str
            Path below the node's base URL.
        query : sequence of (str, str)
            Names and values of the query.
        accept : str
            The Accept header.

        Returns
        -------
        Answer
            With a status 2xx.

        Raises
        ------
        PeerFailed
            The node can't be reached, answers with another status, more than `MAX_ANSWER` bytes, or too slowly.
        """
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
        """Get a resource as a stream. Redirects are followed on the same server.

        Parameters
        ----------
        node, path, query, accept
            As for `get`.

        Yields
        ------
        httpx.Response
            With a status 2xx; its body is not read yet.

        Raises
        ------
        PeerFailed
            The node can't be reached, or answers with another status.
        """
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
        """Post a body and read the answer, whatever its status.

        Parameters
        ----------
        node : Node
            The node.
        path : str
            Path below the node's base URL.
        body : async iterator of bytes
            The body; its exceptions are raised as they are.
        headers : Mapping[str, str]
            Headers of the request.

        Returns
        -------
        Answer
            Of an error other than 409, the body is only the beginning.

        Raises
        ------
        PeerFailed
            The node can't be reached or redirects.
        """
        url = httpx.URL(f"{node.url}{path}")
        async with self._sent(node, "POST", url, {**headers, **_authorization(node)}, body) as response:
            if response.is_redirect:
                _redirected(node, response)
                raise PeerFailed(
                    f"{node.name} redirects to {response.headers.get('Location', '')[:200]}; "
                    "change the node's url accordingly",
                    retryable=False,
                )
            where = _where(node, response)
            if response.is_success or response.status_code == httpx.codes.CONFLICT:
                return Answer(response.status_code, response.headers, await _read(response, where), where)
            return Answer(response.status_code, response.headers, await _beginning(response), where)

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
            raise PeerFailed(f"{node.name}: the answer can't be decompressed: {error}") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise PeerFailed(f"{node.name} has an invalid url ({url.host}): {error}", retryable=False) from error
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
    """Encode a query; characters that are allowed in one stay, since some nodes do not decode `*` (RFC 3986 3.4)."""
    return "&".join(f"{name}={quote(value, safe='*?,:/@')}" for name, value in query)


def check_answer(node: Node, answer: Answer) -> None:
    """Check that the status of an answer is 2xx. Raises `PeerFailed`."""
    if not httpx.codes.is_success(answer.status):
        raise failure(node, answer.where, answer.status, answer.headers, answer.body)


def failure(node: Node, where: str, status: int, headers: httpx.Headers, body: bytes) -> PeerFailed:
    """Make the error for a status other than success.

    Parameters
    ----------
    node : Node
        The node, whose credentials are hidden in the message.
    where : str
        Node and request, for the message.
    status : int
        HTTP status.
    headers : httpx.Headers
        Headers of the answer, of which Retry-After counts.
    body : bytes
        The body, or its beginning; the message quotes an excerpt.
    """
    phrase = httpx.codes.get_reason_phrase(status)
    excerpt = _excerpt(body)
    message = _without_secrets(node, f"{where} answered {status} {phrase}{f': {excerpt}' if excerpt else ''}")
    retryable = status in _BUSY or (status >= 500 and status not in _NEVER)
    return PeerFailed(message, retryable=retryable, retry_after=_retry_after(headers) if retryable else None)


async def _refused(node: Node, response: httpx.Response) -> PeerFailed:
    body = await _beginning(response)
    return failure(node, _where(node, response), response.status_code, response.headers, body)


def _where(node: Node, response: httpx.Response) -> str:
    return f"{node.name} ({response.request.method} {response.request.url.path})"


async def _read(response: httpx.Response, where: str) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER:
            raise PeerFailed(f"{where} answered more than {MAX_ANSWER} bytes, the most that are read", retryable=False)
    return bytes(body)


async def _beginning(response: httpx.Response) -> bytes:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) >= _MAX_EXCERPT:
            break
    return body[:_MAX_EXCERPT]


def _redirected(node: Node, response: httpx.Response) -> httpx.URL:
    """Read the URL of a redirect. Raises `PeerFailed` if it is on another server."""
    here = response.request.url
    try:
        there = here.join(response.headers.get("Location", ""))
    except (httpx.InvalidURL, ValueError) as error:
        raise PeerFailed(f"{node.name} redirects to an invalid URL", retryable=False) from error
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
    """Hide credentials that a node repeats in its answer."""
    for secret in (node.token, node.password, _basic(node) if node.username else ""):
        if secret:
            text = text.replace(secret, "(hidden)")
    return text


def _excerpt(body: bytes) -> str:
    text = " ".join(body[:_MAX_EXCERPT].decode("utf-8", "replace").split())
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
