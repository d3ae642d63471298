"""Operations of the API, each described once and a method of both clients.

A description is a method of a resource that returns a request; it does no I/O. The decorators here turn it into an
operation: on a resource of `Client` it blocks and returns the result, on a resource of `AsyncClient` it returns an
awaitable or an asynchronous iterator. Docstrings document the operation's parameters, results and errors.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from neurdicom.client.events import EventStream, ServerSentEvent
from neurdicom.client.protocol import ApiRequest, JsonObject
from neurdicom.client.transport import AsyncHttpTransport, HttpTransport

P = ParamSpec("P")
ResultT = TypeVar("ResultT")
DescriptionT = TypeVar("DescriptionT")
TransportT_co = TypeVar("TransportT_co", bound=HttpTransport | AsyncHttpTransport, covariant=True)


class ApiResource(Generic[TransportT_co]):
    """A part of the API, with the transport that sends its requests.

    Parameters
    ----------
    transport : HttpTransport or AsyncHttpTransport
        Sends the requests that the operations describe.
    """

    def __init__(self, transport: TransportT_co) -> None:
        self.transport = transport


class _Operation(Generic[P, DescriptionT]):
    """A description that becomes an operation when it is read from a resource."""

    def __init__(self, describe: Callable[Concatenate[Any, P], DescriptionT]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    def _bind(self, resource: ApiResource[Any], perform: Callable[[DescriptionT], Any]) -> Callable[P, Any]:
        @wraps(self._describe)
        def operation(*args: P.args, **kwargs: P.kwargs) -> Any:
            return perform(self._describe(resource, *args, **kwargs))

        return operation


class call(_Operation[P, ApiRequest[ResultT]]):  # noqa: N801 (a decorator, as property is)
    """Operation with one request and one response."""

    @overload
    def __get__(self, resource: ApiResource[HttpTransport], owner: type) -> Callable[P, ResultT]: ...
    @overload
    def __get__(
        self, resource: ApiResource[AsyncHttpTransport], owner: type
    ) -> Callable[P, Coroutine[Any, Any, ResultT]]: ...
    def __get__(self, resource: ApiResource[Any], owner: type) -> Any:
        return self._bind(resource, resource.transport.send)


class listing(_Operation[P, ApiRequest[list[JsonObject]]]):  # noqa: N801
    """Operation that returns a list, whose pages are requested as they are needed."""

    @overload
    def __get__(self, resource: ApiResource[HttpTransport], owner: type) -> Callable[P, Iterator[JsonObject]]: ...
    @overload
    def __get__(
        self, resource: ApiResource[AsyncHttpTransport], owner: type
    ) -> Callable[P, AsyncIterator[JsonObject]]: ...
    def __get__(self, resource: ApiResource[Any], owner: type) -> Any:
        return self._bind(resource, resource.transport.pages)


class events(_Operation[P, EventStream]):  # noqa: N801
    """Operation that returns the events of a stream."""

    @overload
    def __get__(
        self, resource: ApiResource[HttpTransport], owner: type
    ) -> Callable[P, Generator[ServerSentEvent, None, None]]: ...
    @overload
    def __get__(
        self, resource: ApiResource[AsyncHttpTransport], owner: type
    ) -> Callable[P, AsyncGenerator[ServerSentEvent, None]]: ...
    def __get__(self, resource: ApiResource[Any], owner: type) -> Any:
        return self._bind(resource, resource.transport.events)


class last_event(_Operation[P, EventStream]):  # noqa: N801
    """Operation that returns the data of a stream's last event."""

    @overload
    def __get__(self, resource: ApiResource[HttpTransport], owner: type) -> Callable[P, JsonObject]: ...
    @overload
    def __get__(
        self, resource: ApiResource[AsyncHttpTransport], owner: type
    ) -> Callable[P, Coroutine[Any, Any, JsonObject]]: ...
    def __get__(self, resource: ApiResource[Any], owner: type) -> Any:
        return self._bind(resource, resource.transport.last_event)
