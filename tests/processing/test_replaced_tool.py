"""A tool that is replaced between the resolution of a request and its computation."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from neurdicom.archive.verify.guard import FileGuard
from neurdicom.catalog.base import Catalog
from neurdicom.catalog.records import Location
from neurdicom.dicom.header import BlobRef
from neurdicom.errors import Conflict, Invalid
from neurdicom.plugins.params import Param
from neurdicom.plugins.tools import Running, Tool, ToolSet
from neurdicom.processing.dicom_output.files import DicomOutput
from neurdicom.processing.execute import ProcessService
from neurdicom.processing.resolve import ModalityCheck, Resolver
from neurdicom.processing.result import KeptResult
from neurdicom.processing.result_records import PendingResult
from neurdicom.processing.result_store import ResultStore
from neurdicom.processing.run import RunRequest
from neurdicom.workers.call import CancellationToken
from neurdicom.workers.executor import Executor, Task
from neurdicom.workers.program import Program, Reply


def version(digest: str, **params: dict[str, Any]) -> Tool:
    declared = {name: Param.from_meta(name, described) for name, described in params.items()}
    return Tool(type="plugin", id="p", name="P", version="1", author="", digest=digest * 64, params=declared)


class ReplacedTools:
    """Tools whose only one is replaced when its first version is to be used."""

    def __init__(self, first: Tool, second: Tool) -> None:
        self.current = first
        self._second = second

    def tool(self, id: str, digest: str | None = None) -> Tool:
        return self.current

    @asynccontextmanager
    async def use(self, id: str, digest: str | None = None) -> AsyncIterator[Running]:
        self.current = self._second
        if digest != self.current.digest:
            raise Conflict("this version is gone")
        yield Running(self.current, Program("python", "/p"))


class OneInstanceArchive:
    """A catalog and a guard of one instance."""

    async def locate(self, instance: str) -> Location:
        return Location(instance, BlobRef("key", 1, "a" * 64), {"rows": 2}, False, "1", "1.1")

    async def path(self, location: Location) -> Path:
        return Path("/file")


class Unkept:
    """A store of results that keeps none."""

    def __init__(self) -> None:
        self.counts = {"misses": 0}

    async def find(self, result: str, format: str, frame: int | None) -> KeptResult | None:
        return None

    def epoch(self, tool_type: str, tool: str) -> int:
        return 0

    async def tag_of(self, result: str, names: Sequence[str]) -> str | None:
        return None

    def offer(self, pending: PendingResult) -> bool:
        return False


class ParameterLog:
    """Notes the parameters of its runs."""

    def __init__(self) -> None:
        self.params: list[dict[str, Any]] = []

    async def run(self, task: Task, token: CancellationToken) -> Reply:
        self.params.append(dict(task.params))
        return Reply({"kind": "bytes"}, b"result")


def service(tools: ReplacedTools, worker: ParameterLog) -> ProcessService:
    archive, unused = OneInstanceArchive(), object()
    resolver = Resolver(cast(Catalog, archive), cast(FileGuard, archive), {"plugin": cast(ToolSet, tools)})
    return ProcessService(
        resolver,
        cast(Executor, worker),
        cast(ResultStore, Unkept()),
        cast(DicomOutput, unused),
        cast(ModalityCheck, unused),
    )


def test_the_new_version_converts_the_parameters() -> None:
    first = version("a", x={"type": "int"})
    second = version("b", x={"type": "text", "isarray": True}, y={"type": "double", "default": 2})
    worker = ParameterLog()
    request = RunRequest(tool_type="plugin", tool="p", entity="1.2", texts={"x": ["1,2"]})
    with pytest.raises(Invalid):  # the first version takes one number
        asyncio.run(service(ReplacedTools(first, second), worker).run(request))
    request = RunRequest(tool_type="plugin", tool="p", entity="1.2", texts={"x": ["1"]})
    asyncio.run(service(ReplacedTools(first, second), worker).run(request))
    assert worker.params == [{"x": ["1"], "y": 2.0}]


def test_the_new_version_refuses_parameters_that_it_does_not_take() -> None:
    worker = ParameterLog()
    tools = ReplacedTools(version("a", x={"type": "int"}), version("b", y={"type": "int", "default": 1}))
    request = RunRequest(tool_type="plugin", tool="p", entity="1.2", params={"x": 1})
    with pytest.raises(Invalid, match="unknown parameter 'x'"):
        asyncio.run(service(tools, worker).run(request))
    assert worker.params == []


def test_converted_parameters_stay_as_they_are() -> None:
    kinds = {"text": "1", "int": "2", "double": "3", "bool": "yes"}
    described: dict[str, dict[str, Any]] = {name: {"type": name, "isnull": True} for name in kinds}
    described |= {f"{name}s": {"type": name, "isarray": True} for name in kinds}
    tool = version("a", none={"type": "int", "isnull": True}, empty={"type": "int", "is_required": False}, **described)
    texts = {**{name: [text] for name, text in kinds.items()}, **{f"{name}s": [text] for name, text in kinds.items()}}
    once = RunRequest(tool_type="plugin", tool="p", texts={**texts, "none": [""]}).converted_for(tool)
    assert once.params["none"] is None
    assert (once.params["doubles"], once.texts) == ([3.0], {})
    assert once.converted_for(tool) == once
