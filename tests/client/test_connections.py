"""Both clients with a server whose connections break."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from neurdicom.client import events
from neurdicom.errors import Invalid, NotFound, Unavailable
from tests.support.clients import Caller
from tests.support.faulty import FaultyRequest, FaultyServer
from tests.support.server import free_port

EVENT = 'event: result\nid: {}\ndata: {{"number": {}}}\n\n'
END = 'event: end\nid: 4-end\ndata: {"state": "done"}\n\n'


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    """The server; clients come again at once."""
    monkeypatch.setattr(events, "_FIRST_DELAY", 0.01)
    with FaultyServer() as server:
        yield server


def base(server: FaultyServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def stream(request: FaultyRequest, *parts: str) -> None:
    """Answer events, with the length of more than there are."""
    request.send_response(200)
    request.send_header("Content-Type", "text/event-stream; charset=utf-8")
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for part in parts:
        request.wfile.write(f"{len(part.encode()):x}\r\n{part}\r\n".encode())


def successively(*behaviours: Callable[[FaultyRequest], None]) -> Callable[[FaultyRequest], None]:
    """Behave otherwise at each request; the last behaviour stays."""
    left = list(behaviours)
    return lambda request: (left.pop(0) if len(left) > 1 else left[0])(request)


def test_a_stream_that_breaks_in_the_middle(faulty: FaultyServer, do: Caller) -> None:
    asked: list[str | None] = []

    def behave(request: FaultyRequest) -> None:
        asked.append(request.headers["Last-Event-ID"])
        number = len(asked)
        if number == 1:
            stream(request, EVENT.format(1, 1), EVENT.format(2, 2)[:20])
            request.cut()
        elif number == 2:
            request.cut()
        elif number == 3:
            request.answer(502, b"<h1>Bad Gateway</h1>", "text/html")
        elif number == 4:
            stream(request, EVENT.format(2, 2), EVENT.format(3, 3), "")
        else:
            stream(request, EVENT.format(4, 4), END, "")

    faulty.behaviour = behave
    found = do(base(faulty), lambda client: client.jobs.follow("1"))
    assert [each.data.get("number") for each in found] == [1, 2, 3, 4, None]
    assert asked == [None, "1", "1", "1", "3"]
    assert found[-1].data == {"state": "done"}


def test_waiting_survives_it_too(faulty: FaultyServer, do: Caller) -> None:
    faulty.behaviour = successively(FaultyRequest.cut, lambda request: stream(request, END, ""))
    assert do(base(faulty), lambda client: client.jobs.wait("1")) == {"state": "done"}
    assert faulty.requests == ["GET /api/jobs/1/events?items=none"] * 2


def test_a_job_that_is_forgotten(faulty: FaultyServer, do: Caller) -> None:
    gone = b'{"status": 404, "detail": "there is no job 1", "code": "not_found"}'
    faulty.behaviour = successively(
        lambda request: stream(request, EVENT.format(1, 1), ""),
        lambda request: request.answer(404, gone, "application/problem+json"),
    )
    with pytest.raises(NotFound, match="there is no job 1"):
        do(base(faulty), lambda client: client.jobs.follow("1"))


def test_patience_ends(faulty: FaultyServer, do: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PATIENCE_SECONDS", 0.1)
    faulty.behaviour = FaultyRequest.cut
    with pytest.raises(Unavailable, match="does not answer any more"):
        do(base(faulty), lambda client: client.jobs.wait("1"))


def test_one_wording_for_dead_servers(do: Caller) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", "nonsense", "http://a:b", "ftp://127.0.0.1"):
        with pytest.raises(Unavailable) as raised:
            do(url, lambda client: client.health())
        assert str(raised.value).startswith(f"{url} does not answer: ")


def test_a_connection_that_breaks(faulty: FaultyServer, do: Caller) -> None:
    faulty.behaviour = FaultyRequest.cut
    with pytest.raises(Unavailable, match="does not answer: "):
        do(base(faulty), lambda client: client.jobs.get("1"))


def test_a_password_in_the_url_is_not_told(do: Caller) -> None:
    with pytest.raises(Unavailable) as raised:
        do(f"http://ann:secret@127.0.0.1:{free_port()}", lambda client: client.health())
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("token", ["tök", "a\nb"])
def test_a_token_that_is_none(faulty: FaultyServer, do: Caller, token: str) -> None:
    with pytest.raises(Invalid, match="token"):
        do(base(faulty), lambda client: client.health(), token)


def test_a_token_stays_with_its_server(faulty: FaultyServer, do: Caller) -> None:
    """A page's Link leads to the same server, whatever host it names, and redirects are not followed."""
    with FaultyServer() as other:
        elsewhere: dict[str, Any] = {"Link": f'<{base(other)}/api/plugins?offset=1>; rel="next"'}
        faulty.behaviour = successively(
            lambda request: request.answer_json([{"id": "1"}], **elsewhere),
            lambda request: request.answer_json([{"id": "2"}]),
        )
        assert do(base(faulty), lambda client: client.plugins.list(), "t") == [{"id": "1"}, {"id": "2"}]
        assert faulty.requests[1] == "GET /api/plugins?offset=1"
        faulty.behaviour = lambda request: request.answer(307, Location=f"{base(other)}/api/jobs/1")
        with pytest.raises(Unavailable, match="307 Temporary Redirect"):
            do(base(faulty), lambda client: client.jobs.get("1"), "t")
        assert other.requests == []


def test_a_server_below_a_path(faulty: FaultyServer, do: Caller) -> None:
    faulty.behaviour = lambda request: request.answer_json({"ready": True})
    do(f"{base(faulty)}/pacs/", lambda client: client.health())
    assert faulty.requests == ["GET /pacs/api/health"]


def test_an_upload_is_streamed(faulty: FaultyServer, do: Caller, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "study.zip").write_bytes(data)
    read: list[bytes] = []

    def take(request: FaultyRequest) -> None:
        assert (request.headers["Content-Type"], request.headers["Transfer-Encoding"]) == ("application/zip", None)
        read.append(request.read())
        request.answer_json({"results": [{"status": "stored"}]}, 201)

    faulty.behaviour = take
    assert do(base(faulty), lambda client: client.instances.upload(tmp_path / "study.zip")) == [{"status": "stored"}]
    assert read == [data]
