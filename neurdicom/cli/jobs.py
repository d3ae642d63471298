"""The port through which `neurdicom process` makes and follows jobs, and its adapter for a running server."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from neurdicom.client import AsyncClient, ServerSentEvent
from neurdicom.plugins.params import Param
from neurdicom.plugins.tools import ToolType


class ProcessingJobs(ABC):
    """Port to processing jobs: makes them, and follows them."""

    @abstractmethod
    async def params(self, tool_type: ToolType, id: str) -> Mapping[str, Param]:
        """Return the parameters of a plugin or a model. Raises `NotFound`."""

    @abstractmethod
    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        """Make a job, or count the items that it would have; the request is the body of `POST /api/process`."""

    @abstractmethod
    def follow(self, job: str) -> AsyncGenerator[ServerSentEvent, None]:
        """Yield the events of a job until its end."""

    @abstractmethod
    async def cancel(self, job: str) -> None:
        """Cancel a job."""

    @abstractmethod
    async def close(self) -> None:
        """Release all resources."""


class ServerJobs(ProcessingJobs):
    """Jobs of a running server.

    Parameters
    ----------
    url : str
        URL of the server, such as `http://localhost:8080`.
    token : str or None
        A bearer token.
    """

    def __init__(self, url: str, token: str | None) -> None:
        self._client = AsyncClient(url, token)

    async def params(self, tool_type: ToolType, id: str) -> Mapping[str, Param]:
        found = await (self._client.models if tool_type == "model" else self._client.plugins).get(id)
        return {name: Param.from_meta(name, described) for name, described in found.get("params", {}).items()}

    async def submit(self, request: dict[str, Any]) -> dict[str, Any]:
        return await self._client.jobs.process(**request)

    def follow(self, job: str) -> AsyncGenerator[ServerSentEvent, None]:
        return self._client.jobs.follow(job)

    async def cancel(self, job: str) -> None:
        await self._client.jobs.cancel(job)

    async def close(self) -> None:
        await self._client.close()
