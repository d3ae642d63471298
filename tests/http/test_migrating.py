"""Answers during a migration of the catalog: health, liveness, and refusals that say when to come again."""

import asyncio
from typing import Any

import httpx
import pytest

from neurdicom.config import Settings
from neurdicom.http.migrating import MigratingServer, MigrationState
from neurdicom.http.server import bind


def ask(method: str, path: str, **more: Any) -> httpx.Response:
    """Ask a server that has migrated 12 of 34 instances."""

    async def scenario() -> httpx.Response:
        sockets = bind(Settings(port=0))
        try:
            port = sockets[0].getsockname()[1]
            async with MigratingServer(sockets, MigrationState(12, 34)), httpx.AsyncClient() as client:
                return await client.request(method, f"http://127.0.0.1:{port}{path}", **more)
        finally:
            for sock in sockets:
                sock.close()

    return asyncio.run(scenario())


def test_the_health_tells_how_much_is_done() -> None:
    answer = ask("GET", "/api/health")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.json() == {"status": "migrating", "ready": False, "migration": {"done": 12, "total": 34}}


def test_the_process_lives() -> None:
    answer = ask("GET", "/api/health/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/studies"),
        ("POST", "/api/instances"),
        ("GET", "/dicom-web/studies"),
        ("DELETE", "/x"),
        ("GET", "/"),
    ],
)
def test_all_else_is_refused_for_now(method: str, path: str) -> None:
    body = {} if method == "GET" else {"content": b"x" * 2_000_000}
    answer = ask(method, path, **body)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "10")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["status"]) == ("unavailable", 503)
    assert "12 of 34 instances" in answer.json()["detail"]


def test_connections_that_come_in_between_wait_for_the_server() -> None:
    async def scenario() -> None:
        sockets = bind(Settings(port=0))
        port = sockets[0].getsockname()[1]
        async with MigratingServer(sockets, MigrationState()):
            pass
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        async with MigratingServer(sockets, MigrationState()):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        for sock in sockets:
            sock.close()

    asyncio.run(scenario())
