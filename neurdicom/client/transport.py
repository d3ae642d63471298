"""The two transports that do the I/O: httpx connections for the described requests and event streams."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, contextmanager
from http import HTTPStatus
from typing import Any, BinaryIO, TypeVar

import httpx

from neurdicom.client.events import SILENCE_SECONDS, EventStream, ServerSentEvent
from neurdicom.client.protocol import ANSWER_SECONDS, ApiRequest, ApiResponse, JsonObject, next_page, no_answer
from neurdicom.errors import Invalid, Unavailable

ResultT = TypeVar("ResultT")

#: Number of bytes of a file that are read at a time.
_PIECE = 256 * 1024

#: Exceptions of httpx where there is no response, or none that can be read.
_NO_ANSWER = (httpx.RequestError, httpx.InvalidURL)

_STREAM_TIMEOUT = httpx.Timeout(ANSWER_SECONDS, read=SILENCE_SECONDS)


class HttpTransport:
    """Blocking connections to one server.

    Parameters
    ----------
    url : str
        URL of the server, such as `http://localhost:8080`.
    token : str or None
        A bearer token.

    Raises
    ------
    Unavailable
        The URL is not valid.
    Invalid
        The token contains characters that a token can't have.
    """

    def __init__(self, url: str, token: str | None) -> None:
        with _failures(url):
            self.url = _without_password(url)
            self._http = httpx.Client(base_url=url.rstrip("/"), headers=_authorization(token))

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._http.close()

    def send(self, request: ApiRequest[ResultT]) -> ResultT:
        """Send a request and read its response. Raises as `ApiRequest.interpret`."""
        return request.interpret(self._exchange(request))

    def pages(self, request: ApiRequest[list[JsonObject]]) -> Iterator[JsonObject]:
        """Yield the items of a list, page by page. Raises as `ApiRequest.interpret`."""
        page: ApiRequest[list[JsonObject]] | None = request
        while page is not None:
            response = self._exchange(page)
            yield from page.interpret(response)
            page = next_page(page, response)

    def events(self, stream: EventStream) -> Generator[ServerSentEvent, None, None]:
        """Yield the events of a stream, reconnecting as needed. Raises as `EventStream.refuse` and `delay`."""
        while not stream.is_over:
            try:
                request = _stream_request(stream)
                with self._http.stream(**request) as response:
                    if _is_stream(response):
                        for piece in response.iter_bytes():
                            yield from stream.feed(piece)
                    else:
                        response.read()
                        stream.refuse(_response(self.url, response))
            except _NO_ANSWER as error:
                stream.lose(error)
            if not stream.is_over:
                time.sleep(stream.delay(self.url, time.monotonic()))

    def last_event(self, stream: EventStream) -> JsonObject:
        """Return the data of the last event. Raises as `events`, and `Unavailable` if that is not `end`."""
        last = None
        for last in self.events(stream):  # noqa: B007 (the last one counts)
            pass
        return _ended(self.url, last)

    def _exchange(self, request: ApiRequest[Any]) -> ApiResponse:
        with _failures(self.url):
            if request.file is None:
                return _response(self.url, self._http.request(**_described(request)))
            with request.file.open("rb") as file:
                return _response(self.url, self._http.request(**_described(request), content=file))


class AsyncHttpTransport:
    """Connections to one server for asyncio.

    Parameters
    ----------
    url, token : str
        As of `HttpTransport`.

    Raises
    ------
    Unavailable, Invalid
        As `HttpTransport`.
    """

    def __init__(self, url: str, token: str | None) -> None:
        with _failures(url):
            self.url = _without_password(url)
            self._http = httpx.AsyncClient(base_url=url.rstrip("/"), headers=_authorization(token))

    async def close(self) -> None:
        """Close the connections. Idempotent."""
        await self._http.aclose()

    async def send(self, request: ApiRequest[ResultT]) -> ResultT:
        """Send a request and read its response. Raises as `ApiRequest.interpret`."""
        return request.interpret(await self._exchange(request))

    async def pages(self, request: ApiRequest[list[JsonObject]]) -> AsyncIterator[JsonObject]:
        """Yield the items of a list, page by page. Raises as `ApiRequest.interpret`."""
        page: ApiRequest[list[JsonObject]] | None = request
        while page is not None:
            response = await self._exchange(page)
            for item in page.interpret(response):
                yield item
            page = next_page(page, response)

    async def events(self, stream: EventStream) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a stream, reconnecting as needed. Raises as `EventStream.refuse` and `delay`."""
        while not stream.is_over:
            try:
                request = _stream_request(stream)
                async with self._http.stream(**request) as response:
                    if _is_stream(response):
                        async for piece in response.aiter_bytes():
                            for event in stream.feed(piece):
                                yield event
                    else:
                        await response.aread()
                        stream.refuse(_response(self.url, response))
            except _NO_ANSWER as error:
                stream.lose(error)
            if not stream.is_over:
                await asyncio.sleep(stream.delay(self.url, time.monotonic()))

    async def last_event(self, stream: EventStream) -> JsonObject:
        """Return the data of the last event. Raises as `events`, and `Unavailable` if that is not `end`."""
        last = None
        async with aclosing(self.events(stream)) as events:
            async for last in events:  # noqa: B007 (the last one counts)
                pass
        return _ended(self.url, last)

    async def _exchange(self, request: ApiRequest[Any]) -> ApiResponse:
        with _failures(self.url):
            if request.file is None:
                return _response(self.url, await self._http.request(**_described(request)))
            with await asyncio.to_thread(request.file.open, "rb") as file:
                return _response(self.url, await self._http.request(**_described(request), content=_pieces(file)))


def _authorization(token: str | None) -> dict[str, str]:
    if not token:  # such as an unset variable of the shell, with a server that requires none
        return {}
    if not (token.isascii() and token.isprintable()):
        raise Invalid("the token contains characters that a token can't have", field="token")
    return {"Authorization": f"Bearer {token}"}


def _without_password(url: str) -> str:
    return str(httpx.URL(url).copy_with(userinfo=b""))


def _described(request: ApiRequest[Any]) -> dict[str, Any]:
    """Make the arguments of httpx's `request`, without the content of a file."""
    described: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "params": list(request.query) or None,
        "timeout": request.seconds,
    }
    if request.json is not None:
        described["content"] = json.dumps(request.json).encode()
        described["headers"] = {"Content-Type": "application/json"}
    elif request.file is not None:
        size = request.file.stat().st_size
        described["headers"] = {"Content-Type": request.media_type, "Content-Length": str(size)}
    return described


def _stream_request(stream: EventStream) -> dict[str, Any]:
    """Make the arguments of httpx's `stream`."""
    headers = stream.connect()
    params = list(stream.query) or None
    return {"method": "GET", "url": stream.path, "params": params, "headers": headers, "timeout": _STREAM_TIMEOUT}


def _is_stream(response: httpx.Response) -> bool:
    is_event_stream = response.headers.get("Content-Type", "").startswith("text/event-stream")
    return response.status_code == HTTPStatus.OK and is_event_stream


def _response(url: str, response: httpx.Response) -> ApiResponse:
    return ApiResponse(url, response.status_code, response.headers, response.content)


def _ended(url: str, event: ServerSentEvent | None) -> JsonObject:
    if event is None or event.type != "end":
        raise Unavailable(f"{url} ended the events of the job before the job ended; its record may be deleted")
    return event.data


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE):
        yield piece


@contextmanager
def _failures(url: str) -> Iterator[None]:
    """Raise `Unavailable` where there is no response."""
    try:
        yield
    except _NO_ANSWER as error:
        raise no_answer(url, error) from error
