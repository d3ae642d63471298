"""Meanings of answers, without a server."""

import inspect
import json
from typing import Any

import pytest

from neurdicom import errors
from neurdicom.client.protocol import ApiRequest, ApiResponse, error_of, list_request, next_page, read_list, read_object
from neurdicom.http.problems import problem_of

URL = "http://pacs.example.org"
KINDS = [each for each in vars(errors).values() if inspect.isclass(each) and issubclass(each, errors.NeurdicomError)]


def response(status: int, body: Any, content_type: str = "application/json", **headers: str) -> ApiResponse:
    given = {"Content-Type": content_type} | {name.replace("_", "-"): value for name, value in headers.items()}
    return ApiResponse(URL, status, given, body if isinstance(body, bytes) else json.dumps(body).encode())


def refusal(error: errors.NeurdicomError, **headers: str) -> ApiResponse:
    """Answer with an error in the form that the server writes."""
    body = problem_of(error)
    return response(body["status"], body, "application/problem+json", **headers)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_comes_as_it_was_raised(kind: type[errors.NeurdicomError]) -> None:
    options: dict[str, Any] = {"retry_after": 7.0} if kind is errors.TooManyAttempts else {}
    error = kind("so it is", **options)
    error.field = "patient_name"
    found = error_of(refusal(error, Retry_After="7"))
    assert (str(found), found.code, found.field) == ("so it is", kind.code, "patient_name")
    assert isinstance(found, kind)
    assert getattr(found, "retry_after", 7.0) == 7.0


def test_a_code_that_is_not_known() -> None:
    body = {"status": 418, "detail": "short and stout", "code": "teapot"}
    found = error_of(response(418, body, "application/problem+json"))
    assert (type(found), found.code, str(found)) == (errors.NeurdicomError, "teapot", "short and stout")


@pytest.mark.parametrize(
    ("status", "body", "content_type", "expected"),
    [
        (404, b"<h1>Not here</h1>", "text/html", "404 Not Found"),
        (502, b"", "text/plain", "502 Bad Gateway"),
        (599, b"", "text/plain", "returned 599,"),
        (302, b"", "text/html", "302 Found"),
        (400, {"message": "?"}, "application/json", "400 Bad Request"),
        (400, b"{", "application/problem+json", "400 Bad Request"),
        (200, b"<h1>Sign in to our WLAN</h1>", "text/html", "200 OK"),
        (200, [], "application/json", "200 OK"),
        (200, "yes", "application/json", "200 OK"),
    ],
)
def test_answers_of_other_servers(status: int, body: Any, content_type: str, expected: str) -> None:
    request = ApiRequest("GET", "/api/jobs/1", read_object)
    with pytest.raises(errors.Unavailable) as raised:
        request.interpret(response(status, body, content_type))
    assert expected in str(raised.value)
    assert str(raised.value).startswith(URL)
    assert str(raised.value).endswith(", which is no response of a NeurDICOM server")


def test_a_list_of_something_else() -> None:
    with pytest.raises(errors.Unavailable):
        read_list(response(200, ["a"]))


def test_the_next_page() -> None:
    first = list_request("/api/instances", {"patient_name": "ä*"}, "-study_date")
    link = '<https://elsewhere.example.org/x?patient_name=%C3%A4%2A&limit=5&offset=5>; rel="next"'
    following = next_page(first, response(200, [], Link=link))
    assert following is not None
    assert (following.path, following.read) == (first.path, first.read)
    assert following.query == [("patient_name", "ä*"), ("limit", "5"), ("offset", "5")]
    assert next_page(first, response(200, [])) is None
    assert next_page(first, response(200, [], Link='</api/results/1>; rel="describedby"')) is None
