"""Who a command asks for processing jobs: a running server over HTTP, or the folder of a stopped one."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import httpx

from neurdicom import errors
from neurdicom.config import Settings
from neurdicom.errors import NeurdicomError, Unavailable
from neurdicom.plugins.params import Param
from neurdicom.security.access import LOCAL_ADMINISTRATOR

if TYPE_CHECKING:
    from neurdicom.app.components import Components
    from neurdicom.app.server import Server
    from neurdicom.jobs import JobEvent

#: Seconds that a server which went away may take to come back.
PATIENCE = 120.0

#: Seconds without any news after which the connection counts as lost; there is some every ten seconds.
_SILENCE = 30.0


@dataclass(frozen=True, slots=True)
class Event:
    """What has happened to a job: `progress`, `result`, `failure` or `end`."""

    type: str
    data: dict[str, Any]


class Jobs(ABC):
    """Makes processing jobs, and follows them."""

    @abstractmethod
    async def params(self, tool_type: str, id: str) -> Mapping[str, Param]:
        """The parameters of a plugin or a model. Raises `NotFound`."""

    @abstractmethod
    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a job, or count what it would do; the request is that of `POST /api/process`."""

    @abstractmethod
    def follow(self, job: str) -> AsyncIterator[Event]:
        """What happens to it from its beginning to its end."""

    @abstractmethod
    async def cancel(self, job: str) -> None:
        """Ask for its end."""

    @abstractmethod
    async def close(self) -> None:
        """Release everything."""


class HttpJobs(Jobs):
    """Those of a running server.

    Parameters
    ----------
    url : str
        The server's, such as `http://localhost:8080`.
    token : str or None
        A bearer token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(base_url=url.rstrip("/"), headers=headers, timeout=httpx.Timeout(60.0))

    async def params(self, tool_type: str, id: str) -> Mapping[str, Param]:
        found = await self._ask("GET", f"/api/{tool_type}s/{quote(id, safe='')}")
        return {name: Param.from_meta(name, described) for name, described in found.get("params", {}).items()}

    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._ask("POST", "/api/process", json=request)

    async def cancel(self, job: str) -> None:
        await self._ask("DELETE", f"/api/jobs/{job}")

    async def follow(self, job: str) -> AsyncIterator[Event]:
        last: str | None = None
        heard = time.monotonic()
        while True:
            try:
                events = cast(AsyncGenerator[tuple[Event, str | None], None], self._stream(job, last))
                async with aclosing(events) as source:
                    async for event, id in source:
                        heard, last = time.monotonic(), id or last
                        yield event
                        if event.type == "end":
                            return
            except (httpx.TransportError, Unavailable) as error:
                if time.monotonic() - heard > PATIENCE:
                    raise Unavailable(f"the server does not answer any more: {error}") from error
            await asyncio.sleep(1.0)

    async def _stream(self, job: str, last: str | None) -> AsyncIterator[tuple[Event, str | None]]:
        headers = {} if last is None else {"Last-Event-ID": last}
        limits = httpx.Timeout(60.0, read=_SILENCE)
        async with self._http.stream("GET", f"/api/jobs/{job}/events", headers=headers, timeout=limits) as answer:
            if answer.status_code != 200:
                await answer.aread()
                raise _error_of(answer)
            fields: dict[str, str] = {}
            async for line in answer.aiter_lines():
                name, _, value = line.partition(":")
                if line:
                    fields[name] = value.removeprefix(" ")
                    continue
                if "data" in fields:
                    yield Event(fields.get("event", ""), json.loads(fields["data"])), fields.get("id")
                fields = {}

    async def _ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            answer = await self._http.request(method, path, **request)
        except (httpx.TransportError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise Unavailable(f"{self._http.base_url} does not answer: {error or type(error).__name__}") from error
        if answer.is_error:
            raise _error_of(answer)
        return cast(dict[str, Any], answer.json()) if answer.content else {}

    async def close(self) -> None:
        await self._http.aclose()


class FolderJobs(Jobs):
    """Those of a stopped server's folder: they run in this process."""

    def __init__(self, server: "Server", parts: "Components") -> None:
        self._server = server
        self._processing = parts.processing.process
        self._jobs = parts.background.jobs
        self._process_jobs = parts.background.process_jobs
        self._by = LOCAL_ADMINISTRATOR

    @classmethod
    async def open(cls, settings: Settings) -> "FolderJobs":
        """Open the folder. Raises `Conflict` while a server runs on it."""
        from neurdicom.app import Server  # brings the whole server, which `--help` need not wait for

        server = Server(settings)
        return cls(server, await server.open())

    async def params(self, tool_type: str, id: str) -> Mapping[str, Param]:
        return self._processing.tool("model" if tool_type == "model" else "plugin", id).params

    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        jobs = self._process_jobs
        work, selection = jobs.parse(request)
        if request.get("dry_run"):
            estimate = await jobs.estimate(work, selection)
            return {"total": estimate.total, "skipped": dict(estimate.skipped)}
        return (await jobs.submit(work, selection, by=self._by)).to_api()

    async def follow(self, job: str) -> AsyncIterator[Event]:
        feed = cast("AsyncGenerator[JobEvent, None]", self._jobs.events.follow(job))
        async with aclosing(feed) as source:
            async for news in source:
                for _, item in news.items:
                    yield Event("failure" if item["state"] == "failed" else "result", item)
                if not news.items:
                    yield Event("end" if news.job.is_over else "progress", news.job.to_api())

    async def cancel(self, job: str) -> None:
        await self._jobs.cancel_or_remove(job, by=self._by)

    async def close(self) -> None:
        await self._server.stop()


def _error_of(answer: httpx.Response) -> NeurdicomError:
    """The error behind an answer of a server, of our own class where it names one."""
    try:
        problem = answer.json()
        detail, code, field = str(problem["detail"]), problem.get("code"), problem.get("field")
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"{answer.url.host} answers {answer.status_code}; is it a NeurDICOM server?")
    known: dict[str, type[NeurdicomError]] = {}
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, NeurdicomError) and each is not errors.TooManyAttempts:
            known.setdefault(each.code, each)
    return known.get(code, NeurdicomError)(detail, field=field)
