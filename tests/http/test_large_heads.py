"""Requests whose URL or headers are too large: answered in words, and the connection closed."""

import json
import socket
from email.parser import BytesParser

import pytest

from tests.support.server import Server
from tests.support.waiting import wait_for


def answer_to(server: Server, *pieces: bytes) -> tuple[int, dict[str, object]]:
    """Send pieces of a request, and read until the server closes; the status, and the problem."""
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b"".join(iter(lambda: connection.recv(65536), b""))
    line, _, rest = received.partition(b"\r\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    fields = BytesParser().parsebytes(head)
    assert fields["Content-Type"] == "application/problem+json"
    assert fields["Connection"] == "close"
    assert int(fields["Content-Length"]) == len(body)
    return int(line.split()[1]), json.loads(body)


@pytest.mark.parametrize("size", [66_000, 70_000, 200_000, 3_000_000])
@pytest.mark.parametrize("kind", ["query", "path"])
def test_a_url_that_is_too_long(server: Server, size: int, kind: str) -> None:
    url = b"/dicom-web/studies" + (b"?" if kind == "query" else b"/") + b"1" * size
    status, problem = answer_to(server, b"GET " + url + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (status, problem["status"]) == (414, 414)
    assert "65536 bytes" in str(problem["detail"])


def test_a_url_that_never_ends(server: Server) -> None:
    assert answer_to(server, b"GET /", *[b"x" * 65536] * 4)[0] == 414


@pytest.mark.parametrize("fields", [[b"X-A: " + b"a" * 70_000], [b"X-%d: " % n + b"a" * 1000 for n in range(80)]])
def test_headers_that_are_too_large(server: Server, fields: list[bytes]) -> None:
    head = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n" + b"\r\n".join(fields) + b"\r\n\r\n"
    status, problem = answer_to(server, head)
    assert (status, problem["status"]) == (431, 431)
    wait_for(lambda: "GET /api/health HTTP/1.1 was answered with 431" in server.log)


def test_a_request_after_another_is_refused_likewise(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET /api/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /?" + b"x" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"".join(iter(lambda: connection.recv(65536), b"")).startswith(b"HTTP/1.1 414 ")


def test_patients_names_stay_out_of_the_log(server: Server) -> None:
    answer_to(server, b"GET /api/patients?patient_name=Secret^Name" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n")
    wait_for(lambda: "GET /api/patients was answered with 414" in server.log)
    assert "Secret" not in server.log


def test_what_fits_is_read(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 60_000 + b"\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
