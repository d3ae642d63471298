"""Server-sent events and the stream of them, without a server."""

import json
from typing import Any

import pytest

from neurdicom.client.events import EventParser, EventStream, ServerSentEvent
from neurdicom.client.protocol import ApiResponse
from neurdicom.errors import NotFound, Unavailable

URL = "http://pacs.example.org"
TEXT = (
    'retry: 2000\n\n: a comment\n\nevent: result\nid: 3\ndata: {"a":\ndata: "ä\u2028"}\n\ndata:{}\n\nevent: cut\ndata'
)
EVENTS = [ServerSentEvent("result", {"a": "ä\u2028"}, "3"), ServerSentEvent("message", {})]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_form_of_events(end: str, size: int) -> None:
    data = TEXT.replace("\n", end).encode()
    parser = EventParser()
    found = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    assert found == EVENTS
    assert parser.retry == 2.0


def test_what_is_no_json_is_left_out() -> None:
    assert EventParser().feed(b"data: {\n\ndata: {}\n\n") == [ServerSentEvent("message", {})]


def event(type: str, id: str | None = None, **data: Any) -> bytes:
    return f"event: {type}\n{f'id: {id}' if id else ''}\ndata: {json.dumps(data)}\n\n".replace("\n\nd", "\nd").encode()


def answer(status: int, code: str = "") -> ApiResponse:
    body = json.dumps({"detail": "no", "code": code}).encode() if code else b""
    return ApiResponse(URL, status, {"Content-Type": "application/problem+json" if code else "text/html"}, body)


def test_a_stream_goes_on_after_the_last_event_with_an_id() -> None:
    stream = EventStream("/api/jobs/1/events")
    assert "Last-Event-ID" not in stream.connect()
    assert [each.type for each in stream.feed(event("result", "1") + event("progress") + b"event: res")] == [
        "result",
        "progress",
    ]
    assert stream.connect()["Last-Event-ID"] == "1"
    assert [each.type for each in stream.feed(event("failure", "2"))] == ["failure"]
    assert not stream.is_over
    assert stream.connect()["Last-Event-ID"] == "2"
    stream.feed(event("end", "2-end"))
    assert stream.is_over


def test_the_delay_grows_until_there_is_an_event_again() -> None:
    stream = EventStream("/")
    stream.connect()
    assert [stream.delay(URL, 0.0) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    stream.feed(event("progress"))
    assert stream.delay(URL, 0.0) == 1.0
    stream.feed(b"retry: 3000\n\n" + event("progress"))
    assert [stream.delay(URL, 0.0) for _ in range(2)] == [3.0, 6.0]


def test_patience_ends() -> None:
    stream = EventStream("/")
    stream.connect()
    stream.feed(event("progress"))
    stream.connect()
    stream.lose(ConnectionError("it is gone"))
    assert stream.delay(URL, 200.0)  # however long the event took its reader
    assert stream.delay(URL, 319.0)
    with pytest.raises(Unavailable, match=r"pacs\.example\.org does not answer any more: it is gone"):
        stream.delay(URL, 321.0)


def test_answers_without_events() -> None:
    stream = EventStream("/")
    stream.connect()
    for passing in (answer(503, "unavailable"), answer(502), answer(200)):
        stream.refuse(passing)
        assert not stream.is_over
    assert stream.delay(URL, 0.0)
    with pytest.raises(Unavailable, match="returned 200 OK, which is no response"):
        stream.delay(URL, 1000.0)
    with pytest.raises(NotFound):
        stream.refuse(answer(404, "not_found"))
    stream.refuse(answer(204))
    assert stream.is_over
