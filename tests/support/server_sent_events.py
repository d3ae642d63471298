"""A client of server-sent events."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass
class Event:
    """A server-sent event."""

    type: str
    data: dict[str, Any]
    id: str | None


def events_of(lines: Iterator[str]) -> Iterator[Event]:
    """Read events as they come."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield Event(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}
        else:
            fields = {}


@contextmanager
def followed(client: httpx.Client, job: str, last: str | None = None, **options: Any) -> Iterator[Iterator[Event]]:
    """The events of a job, from the one after `last`."""
    headers = options.pop("headers", {}) | ({} if last is None else {"Last-Event-ID": last})
    with client.stream("GET", f"/api/jobs/{job}/events", headers=headers, **options) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        yield events_of(answer.iter_lines())


def all_events(client: httpx.Client, job: str, last: str | None = None, **options: Any) -> list[Event]:
    """All events of a job up to its end."""
    with followed(client, job, last, **options) as events:
        return list(events)
