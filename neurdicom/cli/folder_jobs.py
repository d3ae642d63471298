"""Processing jobs in the data folder of a stopped server; imports the whole server."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self, cast

from neurdicom.app.components import Components
from neurdicom.app.server import NeurdicomServer
from neurdicom.cli.jobs import ProcessingJobs
from neurdicom.client import ServerSentEvent
from neurdicom.config import Settings
from neurdicom.jobs import JobEvent
from neurdicom.plugins.params import Param
from neurdicom.plugins.tools import ToolType
from neurdicom.security.access import LOCAL_ADMINISTRATOR
from neurdicom.web.jobs import describe_jobs


class FolderJobs(ProcessingJobs):
    """Jobs in the data folder of a stopped server, run by this process."""

    def __init__(self, server: NeurdicomServer, parts: Components) -> None:
        self._server = server
        self._processing = parts.processing.process
        self._jobs = parts.background.jobs
        self._process_jobs = parts.background.process_jobs
        self._names = parts.archive.names
        self._by = LOCAL_ADMINISTRATOR

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Open the data folder. Raises `Conflict` while a server runs on it."""
        server = NeurdicomServer(settings)
        return cls(server, await server.open())

    async def params(self, tool_type: ToolType, id: str) -> Mapping[str, Param]:
        return self._processing.tool(tool_type, id).params

    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        jobs = self._process_jobs
        work, selection = jobs.parse(request)
        if request.get("dry_run"):
            estimate = await jobs.estimate(work, selection)
            return {"total": estimate.total, "skipped": dict(estimate.skipped)}
        [described] = await describe_jobs([await jobs.submit(work, selection, by=self._by)], self._names)
        return described

    async def follow(self, job: str) -> AsyncGenerator[ServerSentEvent, None]:
        found = cast(AsyncGenerator[JobEvent, None], self._jobs.events.follow(job))
        async with aclosing(found) as events:
            async for event in events:
                for item in await self._names.shown([item for _, item in event.items]):
                    yield ServerSentEvent("failure" if item["state"] == "failed" else "result", item)
                if not event.items:
                    [described] = await describe_jobs([event.job], self._names)
                    yield ServerSentEvent("end" if event.job.is_over else "progress", described)

    async def cancel(self, job: str) -> None:
        await self._jobs.cancel_or_remove(job, by=self._by)

    async def close(self) -> None:
        await self._server.stop()
