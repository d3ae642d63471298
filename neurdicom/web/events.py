"""A job's progress as server-sent events (WHATWG HTML 9.2)."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any, cast

import orjson

from neurdicom.archive.names import EntityNames
from neurdicom.errors import Invalid, NeurdicomError
from neurdicom.http.base import ApiHandler
from neurdicom.http.operation import STRING, operation
from neurdicom.http.parameters import choice_parameter
from neurdicom.http.routing import Route
from neurdicom.jobs import Job, JobEvent, JobService
from neurdicom.security.authentication import SESSION_COOKIE
from neurdicom.web.jobs import below, describe_jobs

#: Milliseconds after which a client reconnects.
_RECONNECT = 2000

#: Seconds that a client may take to receive an event; a slower one is disconnected, and resumes where it was.
_PATIENCE = 60.0

#: Seconds after which the credential is checked again.
_CREDENTIAL_SECONDS = 60.0

#: Id of an event: the position in the job's log after it, with a suffix at the end of the job.
_EVENT_ID = re.compile(r"(\d{1,15})(-end)?", re.ASCII)

_ITEMS = choice_parameter(
    "items",
    "With `none`, only the progress of the job is sent, without events for single items.",
    ("all", "none"),
    "all",
)

_PROGRESS = ("id", "state", "done", "failed", "total", "rate", "time_left", "retry_at", "retry_reason")


class EventsHandler(ApiHandler):
    """Handler of a job's event stream, which lasts until the job is over."""

    jobs: JobService
    names: EntityNames

    @operation(
        "Follow a job as server-sent events",
        tag="jobs",
        description="`progress`, the state and counts of the job, is sent at once, after each change (at most about "
        "once a second), and at least every ten seconds. `result` and `failure` are sent for each item, from the first "
        "one, in the order in which the items finished; their data are those of `GET /api/jobs/{id}/results`, and each "
        "has an id. `end` has the job in its final state, and closes the stream. A client that reconnects with "
        "`Last-Event-ID` gets the events since then; after the end it gets a 204, which tells browsers to stop.",
        query=(_ITEMS,),
        answers={
            200: {"description": "The events.", "content": {"text/event-stream": {"schema": STRING}}},
            204: "The job is over, and the client has received its end.",
        },
    )
    async def get(self, job: str) -> None:
        """Stream the events of a job."""
        position, knows_end = self._last_event()
        items = _ITEMS.of(self) == "all"
        found = await self.jobs.get(job)
        if knows_end and found.is_over and position >= found.finished_count:
            self.set_status(HTTPStatus.NO_CONTENT)
            self.finish()
            return
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        if self.request.method == "HEAD":
            await self.flush()
            self.finish()
            return
        # A stopping server does not wait for this: it closes the connection, and the client reconnects.
        self.context.under_way.discard(self)
        events = self.jobs.events.follow(job, position, items=items)
        async with aclosing(cast(AsyncGenerator[JobEvent, None], events)) as source:
            await self._stream(source)

    async def _stream(self, source: AsyncGenerator[JobEvent, None]) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        self.write(f"retry: {_RECONNECT}\n\n")
        async for event in source:
            if event.items:
                shown = await self.names.shown([item for _, item in event.items])
                items = [below(self.reach.prefix, item) for item in shown]
                positions = (position for position, _ in event.items)
                self.write(b"".join(map(_item_event, positions, items)))
            else:
                self.write(_event("progress", _progress(event.job)))
                if event.job.is_over:
                    [described] = await describe_jobs([event.job], self.names, prefix=self.reach.prefix)
                    self.write(_event("end", described, id=f"{event.position}-end"))
            if not await self._send():
                return
            if loop.time() - checked > _CREDENTIAL_SECONDS:
                checked = loop.time()
                if not await self._may_go_on():
                    break
        self.finish()

    async def _send(self) -> bool:
        """Wait until the client has received the written bytes; return False if it disconnected or is too slow."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self.flush_to_client()
        except TimeoutError:
            self.break_off()
            return False

    async def _may_go_on(self) -> bool:
        try:
            principal = await self.context.authenticator.authenticate(
                self.request.headers.get("Authorization"),
                self.get_cookie(SESSION_COOKIE),
                self.request.remote_ip or "",
            )
        except NeurdicomError:  # it can't be checked now; a client that reconnects is checked again
            return False
        return principal is not None

    def _last_event(self) -> tuple[int, bool]:
        """Read how much of the log the client has received, and whether it has received the end. Raises `Invalid`."""
        given = self.request.headers.get("Last-Event-ID", "").strip()
        if not given:
            return 0, False
        read = _EVENT_ID.fullmatch(given)
        if read is None:
            raise Invalid(
                f"Last-Event-ID is {given[:80]!r}; the id of an event of this stream is expected", field="Last-Event-ID"
            )
        return int(read[1]), read[2] is not None


def _progress(job: Job) -> dict[str, Any]:
    answer = job.to_api(most=0)
    return {name: answer[name] for name in _PROGRESS}


def _item_event(position: int, item: dict[str, Any]) -> bytes:
    return _event("failure" if item["state"] == "failed" else "result", item, id=str(position))


def _event(type: str, data: dict[str, Any], *, id: str | None = None) -> bytes:
    head = f"event: {type}\n" + (f"id: {id}\n" if id else "")
    return head.encode() + b"data: " + orjson.dumps(data) + b"\n\n"


ROUTES = [Route("/api/jobs/{id}/events", EventsHandler)]
