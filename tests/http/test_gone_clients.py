"""Requests whose clients go away before the answer: they end, and are logged and counted as what they are."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from neurdicom.archive.quota.limits import QuotaUse
from neurdicom.config import Settings
from neurdicom.http.base import ApiHandler
from neurdicom.http.context import HttpContext
from neurdicom.http.operation import operation
from neurdicom.http.routing import Route, RouteTable
from neurdicom.http.server import ApiServer, bind
from neurdicom.security.access import Access, Principal
from neurdicom.web.metrics import Metrics, log_request
from tests.support.waiting import until


class SlowAuthentication:
    """Takes as long as a test wants to identify a caller."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()
        self.answers = asyncio.Event()

    async def authenticate(self, *_: object) -> Principal | None:
        self.is_asked.set()
        await self.answers.wait()
        return None


class TimedWork:
    """The work of a handler, and how far it came."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.is_done = False
        self.is_stopped = False

    async def run(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(5.0)
            self.is_done = True
        except asyncio.CancelledError:
            self.is_stopped = True
            raise


class WorkingHandler(ApiHandler):
    work: TimedWork

    async def _answer(self) -> None:
        await self.work.run()
        self.send_json({})


class StopsHandler(WorkingHandler):
    stops_with_client = True

    @operation("Work", tag="work", access=Access.PUBLIC, answers={200: "Done."})
    async def get(self) -> None:
        await self._answer()


class StopsLaterHandler(WorkingHandler):
    @operation("Work", tag="work", access=Access.PUBLIC, answers={200: "Done."})
    async def get(self) -> None:
        self.stops_with_client = True
        await self.stop_if_gone()
        await self._answer()


ROUTES = RouteTable((Route("/stops", StopsHandler), Route("/later", StopsLaterHandler)))


class WorkingServer:
    """A server of these routes in this event loop."""

    def __init__(self) -> None:
        self.authentication = SlowAuthentication()
        self.work = TimedWork()
        self.context = HttpContext(settings=Settings(port=0), authenticator=cast(Any, self.authentication), started=0.0)
        counts: Any = type(
            "Counts", (), {"associations": 0, "outcomes": {}, "size": 0, "damaged_files": 0, "max_bytes": 0}
        )()
        counts.use = QuotaUse()
        counts.counts = dict.fromkeys(
            ("hits", "misses", "shared", "current", "kept", "dropped", "evicted", "hit_bytes"), 0
        )
        self.metrics = Metrics(ROUTES, counts, counts, counts)
        self.server = ApiServer(self.context, ROUTES, [self.work], lambda handler: log_request(self.metrics, handler))

    async def ask(self, path: str) -> asyncio.StreamWriter:
        """Send a request; the client goes when what is answered is closed."""
        host, port = self.server.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return writer


@asynccontextmanager
async def serving() -> AsyncIterator[WorkingServer]:
    site = WorkingServer()
    site.server.listen(bind(site.context.settings))
    try:
        yield site
    finally:
        await site.server.close(0.0)


def is_counted(site: WorkingServer, path: str) -> bool:
    line = f'neurdicom_http_requests_total{{method="GET",route="{path}",status="499"}} 1.0'
    return line in site.metrics.expose(under_way=0).decode()


@pytest.mark.parametrize("path", ["/stops", "/later"])
@pytest.mark.parametrize("stage", ["identified", "working"])
def test_nothing_runs_for_nobody(path: str, stage: str, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with serving() as site:
            client = await site.ask(path)
            await site.authentication.is_asked.wait()
            if stage == "working":
                site.authentication.answers.set()
                await site.work.begun.wait()
            client.close()
            await asyncio.sleep(0.05)  # Tornado looks at the connection once the caller is identified
            site.authentication.answers.set()
            await until(lambda: is_counted(site, path), "a count")
            assert not site.context.under_way
            assert site.work.begun.is_set() == site.work.is_stopped == (stage == "working")
            assert not site.work.is_done

    with caplog.at_level(logging.INFO, "neurdicom.access"):
        asyncio.run(scenario())
    [line] = [record for record in caplog.records if record.name == "neurdicom.access"]
    assert (line.getMessage(), cast(Any, line).status) == (f"GET {path}", 499)
    assert not [record for record in caplog.records if record.levelno > logging.INFO]
