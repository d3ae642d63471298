"""A refusal reaches its client, whatever of the body is still under way, and the connection goes on."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from tests.support.server import Server

BLOCK = b"x" * 65536


def connect(server: Server) -> http.client.HTTPConnection:
    address = urlsplit(server.url)
    assert address.hostname is not None
    return http.client.HTTPConnection(address.hostname, address.port, timeout=30)


@pytest.mark.parametrize("blocks", [0, 1, 16, 512])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("path", ["/api/users", "/api/instances", "/api/plugins"])
def test_a_body_without_a_credential(secured: Server, path: str, blocks: int, chunked: bool) -> None:
    connection = connect(secured)
    try:
        for _ in range(3):
            headers = {} if chunked else {"Content-Length": str(blocks * len(BLOCK))}
            body = (BLOCK for _ in range(blocks))
            connection.request("POST", path, body, headers, encode_chunked=chunked)
            answer = connection.getresponse()
            assert answer.status == 401
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert b"unauthenticated" in answer.read()
            assert answer.headers.get("Connection") != "close"
    finally:
        connection.close()


def test_refusals_keep_the_connection(secured: Server) -> None:
    connection = connect(secured)
    try:
        connection.connect()
        own = connection.sock
        for path, status in (("/api/studies", 401), ("/nothing", 404), ("/api/health?x=1", 422), ("/api/health", 200)):
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == status
            assert answer.headers["X-Request-ID"]
            assert connection.sock is own
    finally:
        connection.close()


def test_a_client_that_waits_to_be_asked(secured: Server) -> None:
    """`Expect: 100-continue`: told at once, and the connection ends, since the body never comes."""
    connection = connect(secured)
    try:
        connection.putrequest("POST", "/api/users")
        connection.putheader("Content-Length", str(1 << 40))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        answer = connection.getresponse()
        assert answer.status == 401 and answer.headers["Connection"] == "close"
    finally:
        connection.close()


def test_a_body_over_the_limit(secured: Server, admin_token: str) -> None:
    """17 MiB of JSON: 413 as soon as it is too much, though nobody said how much would come."""
    connection = connect(secured)
    try:
        body = (b"x" * (1 << 20) for _ in range(17))
        headers = {"Authorization": f"Bearer {admin_token}"}
        connection.request("POST", "/api/users", body, headers, encode_chunked=True)
        answer = connection.getresponse()
        assert answer.status == 413
        assert b"too_large" in answer.read()
        connection.request("GET", "/api/health")
        assert connection.getresponse().status == 200
    finally:
        connection.close()


def test_a_client_that_leaves_in_the_middle(secured: Server) -> None:
    address = urlsplit(secured.url)
    for _ in range(3):
        with socket.create_connection((address.hostname, address.port)) as client:
            client.sendall(b"POST /api/users/auth HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert secured.client.get("/api/health").status_code == 200
    assert "Traceback" not in secured.log
