"""Requests as values, and the interpretation of responses. No I/O."""

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
from neurdicom.errors import Damaged, Invalid, MergedAway, NeurdicomError, PeerFailed, TooManyAttempts, Unavailable

ResultT = TypeVar("ResultT")


class ServerAway(Unavailable):
    """A server URL at which nothing responds, or something that is not a NeurDICOM server."""


#: A JSON object, as the API returns it.
JsonObject = dict[str, Any]

#: Seconds to wait for data of the server: for a look-up, and for a response that takes computation.
ANSWER_SECONDS = 60.0
WORK_SECONDS = 300.0

#: Entities per page of a list; the API allows no more.
_PAGE = "1000"

_PROBLEM = "application/problem+json"
_NEXT = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')

#: Error class by code; the subclass where a class and its subclass share a code.
_ERRORS: Mapping[str, type[NeurdicomError]] = {
    each.code: each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, NeurdicomError)
}


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A complete response.

    Attributes
    ----------
    url : str
        Base URL of the server, for messages.
    status : int
        HTTP status.
    headers : Mapping[str, str]
        Headers by name, ignoring case.
    body : bytes
        Decompressed body.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ApiRequest(Generic[ResultT]):
    """A request, and the function that reads its response.

    Attributes
    ----------
    method, path : str
        Such as GET and `/api/jobs/1`; ids in the path are quoted.
    read : Callable[[ApiResponse], ResultT]
        Reads a response that is not an error.
    query : sequence of (str, str)
        Query arguments.
    json : JsonObject or None
        JSON body.
    file : Path or None
        File to stream as the body instead.
    media_type : str
        Media type of `file`.
    seconds : float
        Time in seconds to wait for data of the server.
    expected : frozenset of int
        Statuses from 300 on that are not errors.
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
        """Read a response to this request.

        Parameters
        ----------
        response : ApiResponse
            The response as received.

        Returns
        -------
        ResultT
            What `read` returns for it.

        Raises
        ------
        NeurdicomError
            The server refused the request; the class is the one for the problem's code.
        Unavailable
            The response is not from a NeurDICOM server.
        """
        if HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES or response.status in self.expected:
            return self.read(response)
        raise error_of(response)


def one_tool(plugin: str | None, model: str | None) -> tuple[Literal["plugin", "model"], str]:
    """Return the type and the id of the tool. Raises `Invalid` unless exactly one of the two is given."""
    if plugin is not None and model is None:
        return "plugin", plugin
    if model is not None and plugin is None:
        return "model", model
    raise Invalid("exactly one of plugin and model is required", field="plugin")


def list_request(path: str, filters: Mapping[str, str] | None = None, sort: str = "") -> ApiRequest[list[JsonObject]]:
    """Describe the request for the first page of a list.

    Parameters
    ----------
    path : str
        Path of the list.
    filters : Mapping[str, str], optional
        Texts by field name.
    sort : str
        Field names separated by commas; the default order of the list if empty.

    Returns
    -------
    ApiRequest
        The request for the first page; `next_page` describes the following ones.
    """
    query = [*(filters or {}).items(), ("limit", _PAGE)]
    return ApiRequest("GET", path, read_list, [*query, ("sort", sort)] if sort else query)


def segment(id: str) -> str:
    """Quote an id for a path."""
    return quote(id, safe="")


def read_object(response: ApiResponse) -> JsonObject:
    """Read a JSON object from a response. Raises `Unavailable` if the body is something else."""
    value = _read_json(response)
    if not isinstance(value, dict):
        raise not_neurdicom(response)
    return value


def read_list(response: ApiResponse) -> list[JsonObject]:
    """Read a JSON array of objects from a response. Raises `Unavailable` if the body is something else."""
    value = _read_json(response)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise not_neurdicom(response)
    return value


def read_texts(response: ApiResponse) -> list[str]:
    """Read a JSON array of texts from a response. Raises `Unavailable` if the body is something else."""
    value = _read_json(response)
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise not_neurdicom(response)
    return value


def read_nothing(response: ApiResponse) -> None:
    """Ignore the body of a response."""


def _read_json(response: ApiResponse) -> Any:
    try:
        return json.loads(response.body)
    except ValueError:
        raise not_neurdicom(response) from None


def next_page(request: ApiRequest[ResultT], response: ApiResponse) -> ApiRequest[ResultT] | None:
    """Describe the request for the next page of a list.

    Only the query of the Link header is used: a proxy may have changed scheme and host, and a token is sent to no other
    server than the one that it was given for.

    Parameters
    ----------
    request : ApiRequest
        The request for a page.
    response : ApiResponse
        The response to it.

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
    """Make the error that a response reports.

    Parameters
    ----------
    response : ApiResponse
        A response that reports an error.

    Returns
    -------
    NeurdicomError
        Error of the class for the problem's code, with its `field`; `Unavailable` if the body is not problem details.
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
    elif kind is Damaged:
        error = Damaged(detail, expected=problem.get("expected"), found=problem.get("found"))
    elif kind is MergedAway:
        error = MergedAway(detail, patient=str(problem.get("patient")), into=str(problem.get("into")))
    else:
        error = kind(detail)
    if isinstance(error, Unavailable) and (seconds := _retry_after(response)) is not None:
        error.retry_after = seconds
    error.code = code
    error.field = problem.get("field")
    return error


def _retry_after(response: ApiResponse) -> float | None:
    text = response.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdecimal() else None


def not_neurdicom(response: ApiResponse) -> ServerAway:
    """Make the error for a response that no NeurDICOM server sends."""
    known = HTTPStatus._value2member_map_.get(response.status)
    status = f"{response.status} {known.phrase}" if isinstance(known, HTTPStatus) else str(response.status)
    return ServerAway(f"{response.url} returned {status}, which is no response of a NeurDICOM server")


def no_answer(url: str, error: Exception) -> ServerAway:
    """Make the error for a server that does not respond."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            # asyncio and blocking sockets, and httpx on top of them, have different texts for the same failure
            is_of_resolver = isinstance(cause, socket.gaierror)
            reason = cause.strerror if is_of_resolver else os.strerror(cause.errno)
            return ServerAway(f"{url} does not answer: {reason}")
        cause = cause.__cause__ or cause.__context__
    if not url.startswith(("http://", "https://")):
        return ServerAway(f"{url} does not answer: a URL that begins with http:// or https:// is expected")
    return ServerAway(f"{url} does not answer: {str(error) or type(error).__name__}")
