"""Requests as values, and what their answers mean: no I/O."""

import json
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from neurdicom import errors
from neurdicom.errors import Invalid, NeurdicomError, PeerFailed, TooManyAttempts, Unavailable

ResultT = TypeVar("ResultT")


class ServerAway(Unavailable):
    """Nothing answers at a server's URL, or no NeurDICOM server does."""


#: A JSON object, as the API answers it.
JsonObject = dict[str, Any]

#: Seconds that a server may be silent: while it looks something up, and while it does work before it answers.
ANSWER_SECONDS = 60.0
WORK_SECONDS = 300.0

#: Entities of a page of a list, the most that there may be.
_PAGE = "1000"

_PROBLEM = "application/problem+json"
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')

#: Error class by code; of a class and its subclass that share a code, the subclass.
_ERRORS: Mapping[str, type[NeurdicomError]] = {
    each.code: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, NeurdicomError)
}


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A whole answer.

    Attributes
    ----------
    url : str
        The server's base URL, for messages.
    status : int
        HTTP status.
    headers : Mapping[str, str]
        By name, whatever its case.
    body : bytes
        Decompressed.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[ResultT]):
    """A request, and how its answer is read.

    Attributes
    ----------
    method, path : str
        Such as GET and `/api/jobs/1`; ids in the path are quoted.
    read : Callable[[ApiResponse], ResultT]
        Reads an answer that is no error.
    query : sequence of (str, str)
        Query arguments.
    json : JsonObject or None
        The body.
    file : Path or None
        The body instead, streamed.
    media_type : str
        Media type of `file`.
    seconds : float
        The time for which the server may be silent.
    expected : frozenset of int
        Statuses from 300 on that are no errors.
    """

    method: str
    path: str
    read: Callable[[ApiResponse], ResultT]
    query: Sequence[tuple[str, str]] = ()
    json: JsonObject | None = None
    file: Path | None = None
    media_type: str = "application/octet-stream"
    seconds: float = ANSWER_SECONDS
    expected: frozenset[int] = field(default=frozenset())

    def interpret(self, response: ApiResponse) -> ResultT:
        """Read the answer.

        Parameters
        ----------
        response : ApiResponse
            What came.

        Returns
        -------
        ResultT
            What `read` makes of it.

        Raises
        ------
        NeurdicomError
            The server refused the request; the class is that of the problem's code.
        Unavailable
            The answer is not one of a NeurDICOM server.
        """
        if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES or response.status in self.expected:
            return self.read(response)
        raise error_of(response)


def one_tool(plugin: str | None, model: str | None) -> tuple[Literal["plugin", "model"], str]:
    """Tell the type and the id of a tool. Raises `Invalid` unless one of the two is given."""
    if plugin is not None and model is None:
        return "plugin", plugin
    if model is not None and plugin is None:
        return "model", model
    raise Invalid("a plugin or a model is expected, and one of them", field="plugin")


def list_request(path: str, filters: Mapping[str, str] | None = None, sort: str = "") -> ApiRequest[list[JsonObject]]:
    """Describe the request for the first page of a list.

    Parameters
    ----------
    path : str
        The list's.
    filters : Mapping[str, str], optional
        Field name to text.
    sort : str
        Field names separated by commas; the list's own order by default.

    Returns
    -------
    ApiRequest
        Its answer is a page; `next_page` describes the next.
    """
    query = [*(filters or {}).items(), ("limit", _PAGE)]
    return ApiRequest("GET", path, read_list, [*query, ("sort", sort)] if sort else query)


def segment(id: str) -> str:
    """Quote an id for a path."""
    return quote(id, safe="")


def read_object(response: ApiResponse) -> JsonObject:
    """Read a JSON object. Raises `Unavailable` when it is none."""
    value = _read_json(response)
    if not isinstance(value, dict):
        raise not_neurdicom(response)
    return value


def read_list(response: ApiResponse) -> list[JsonObject]:
    """Read a JSON array of objects. Raises `Unavailable` when it is none."""
    value = _read_json(response)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise not_neurdicom(response)
    return value


def read_nothing(response: ApiResponse) -> None:
    """Take an answer without a body."""


def _read_json(response: ApiResponse) -> Any:
    try:
        return json.loads(response.body)
    except ValueError:
        raise not_neurdicom(response) from None


def next_page(request: ApiRequest[ResultT], response: ApiResponse) -> ApiRequest[ResultT] | None:
    """Describe the request for the next page of a list.

    Of the Link header only the query counts: a proxy may have changed scheme and host, and a token goes to the server
    that it was given for and to no other.

    Parameters
    ----------
    request : ApiRequest
        The request for a page.
    response : ApiResponse
        Its answer.

    Returns
    -------
    ApiRequest or None
        None after the last page.
    """
    found = _NEXT.search(response.headers.get("Link", ""))
    if found is None:
        return None
    return replace(request, query=parse_qsl(urlsplit(found[1]).query, keep_blank_values=True))


def error_of(response: ApiResponse) -> NeurdicomError:
    """Make the error that an answer stands for.

    Parameters
    ----------
    response : ApiResponse
        An answer that is no success.

    Returns
    -------
    NeurdicomError
        Of the class that has the problem's code, with its `field`; `Unavailable` when the answer is no problem details.
    """
    try:
        problem = json.loads(response.body) if response.headers.get("Content-Type", "").startswith(_PROBLEM) else None
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or not isinstance(problem.get("detail"), str):
        return not_neurdicom(response)
    detail, code = problem["detail"], str(problem.get("code") or NeurdicomError.code)
    kind = _ERRORS.get(code, NeurdicomError)
    error: NeurdicomError
    if kind is TooManyAttempts:
        error = TooManyAttempts(detail, retry_after=_retry_after(response) or 1.0)
    elif kind is PeerFailed:
        error = PeerFailed(detail, retry_after=_retry_after(response))
    else:
        error = kind(detail)
    error.code = code
    error.field = problem.get("field")
    return error


def _retry_after(response: ApiResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def not_neurdicom(response: ApiResponse) -> ServerAway:
    """Make the error of an answer that no NeurDICOM server gives."""
    known = HTTPStatus._value2member_map_.get(response.status)
    status = f"{response.status} {known.phrase}" if isinstance(known, HTTPStatus) else str(response.status)
    return ServerAway(f"{response.url} answers {status}; is it a NeurDICOM server?")


def no_answer(url: str, error: Exception) -> ServerAway:
    """Make the error of a server that does not answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            # asyncio and blocking sockets, and httpx over them, word the same failure differently
            is_of_resolver = isinstance(cause, socket.gaierror)
            reason = cause.strerror if is_of_resolver else os.strerror(cause.errno)
            return ServerAway(f"{url} does not answer: {reason}")
        cause = cause.__cause__ or cause.__context__
    return ServerAway(f"{url} does not answer: {str(error) or type(error).__name__}")
