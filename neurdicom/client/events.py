"""Server-sent events (WHATWG HTML 9.2): their parser, and a stream that resumes after a broken connection. No I/O."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from neurdicom.client.protocol import ApiResponse, JsonObject, ServerAway, error_of, not_neurdicom
from neurdicom.errors import Unavailable

#: Seconds without an event after which the connection counts as lost; the server sends one at least every ten.
SILENCE_SECONDS = 30.0

#: Seconds for which reconnecting to a server that does not respond is tried.
PATIENCE_SECONDS = 120.0

#: Seconds before the first attempt to reconnect, unless the server sets it, and longest time before any attempt.
_FIRST_DELAY, _LONGEST_DELAY = 1.0, 10.0

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """An event of a stream.

    Attributes
    ----------
    type : str
        `progress`, `result`, `failure` or `end` for events of a job.
    data : dict
        The JSON object of the event: the state of the job, or one item of it.
    id : str or None
        Position in the stream; None where the stream can't be resumed from this event.
    """

    type: str
    data: JsonObject
    id: str | None = None


@dataclass(slots=True)
class EventParser:
    """Parser of the events of one connection; an incomplete event at the end of the connection is dropped.

    Attributes
    ----------
    retry : float or None
        Seconds after which the server wants clients to reconnect.
    """

    retry: float | None = None
    _buffer: bytes = b""
    _fields: dict[str, str] = field(default_factory=dict)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Parse the next bytes; return the events that are complete."""
        # Not `splitlines`, which would split at characters that JSON may hold, such as U+2028.
        *lines, self._buffer = _LINE_END.split(self._buffer + data)
        events = []
        for line in lines:
            if line:
                self._take(line.decode("utf-8", "replace"))
            elif (event := self._dispatch()) is not None:
                events.append(event)
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and "data" in self._fields:
            self._fields["data"] += "\n" + value
        elif name in ("data", "event", "id"):
            self._fields[name] = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry = int(value) / 1000

    def _dispatch(self) -> ServerSentEvent | None:
        fields, self._fields = self._fields, {}
        try:
            data = json.loads(fields["data"])
        except (KeyError, ValueError):  # a comment, or an event that no NeurDICOM server sends
            return None
        return ServerSentEvent(fields.get("event", "message"), data, fields.get("id"))


class EventStream:
    """The events of a job, over any number of connections: the request for each, and the time of the next attempt.

    Parameters
    ----------
    path : str
        Path of the stream of events.
    query : sequence of (str, str)
        Query arguments.
    """

    def __init__(self, path: str, query: Sequence[tuple[str, str]] = ()) -> None:
        self.path = path
        self.query = query
        self.is_over = False
        self._parser = EventParser()
        self._last: str | None = None
        self._lost: float | None = None
        self._delay = _FIRST_DELAY
        self._problem: Exception | None = None

    def connect(self) -> dict[str, str]:
        """Start a connection; return the headers of its request."""
        self._parser = EventParser()
        self._problem = None
        return {"Accept": "text/event-stream"} | ({} if self._last is None else {"Last-Event-ID": self._last})

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Parse the next bytes of the connection.

        Parameters
        ----------
        data : bytes
            Bytes as received.

        Returns
        -------
        list of ServerSentEvent
            The events that are complete; after `end`, `is_over` is true.
        """
        events = self._parser.feed(data)
        if events:
            self._lost = None
            self._delay = self._parser.retry or _FIRST_DELAY
            self._last = next((event.id for event in reversed(events) if event.id is not None), self._last)
            self.is_over = events[-1].type == "end"
        return events

    def refuse(self, response: ApiResponse) -> None:
        """Handle a response that is not a stream of events.

        Raises
        ------
        NeurdicomError
            The server refuses to send the events; reconnecting does not help.
        """
        if response.status == HTTPStatus.NO_CONTENT:
            self.is_over = True
            return
        error = not_neurdicom(response) if response.status == HTTPStatus.OK else error_of(response)
        if not isinstance(error, Unavailable):
            raise error
        self._problem = error

    def lose(self, error: Exception) -> None:
        """Record why the connection broke."""
        self._problem = error

    def delay(self, url: str, now: float) -> float:
        """Compute the time until the next attempt to connect; each attempt without an event doubles it.

        Parameters
        ----------
        url : str
            URL of the server, for the message.
        now : float
            Seconds of a monotonic clock.

        Returns
        -------
        float
            Seconds from now.

        Raises
        ------
        Unavailable
            The server has not responded for too long.
        """
        if self._lost is None:  # not the time of the last event: its reader may have taken long
            self._lost = now
        if now - self._lost > PATIENCE_SECONDS:
            reason = "it closes the connection" if self._problem is None else str(self._problem)
            raise ServerAway(f"{url} does not answer any more: {reason}") from self._problem
        delay = min(self._delay, _LONGEST_DELAY)
        self._delay = 2 * delay
        return delay
