"""Tools: plugins and models alike, described for the code that runs them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

from neurdicom.plugins.params import Param
from neurdicom.workers.program import Input, Program, Result

ToolType = Literal["plugin", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """Version of a plugin or a model, described for the code that runs it.

    Attributes
    ----------
    type : {"plugin", "model"}
        Kind of tool.
    id, name, version, author : str
        As the API gives them.
    digest : str
        SHA-256 of the archive, in hexadecimal, which identifies the code.
    params : Mapping[str, Param]
        Parameters by name.
    level : {"instance", "series"}
        Level of one call: it gets one instance, or a whole series.
    input : {"stored", "modality"}
        Pixel values that it gets: stored, or after the modality LUT.
    result : str or None
        Declared kind of result.
    produces : Mapping[str, Any]
        The whole of META.json's `result`, with segments or measurements.
    meta : Mapping[str, Any]
        Its whole META.json.
    per_frame : bool
        Whether one call gets one frame of an instance, and not all of them.
    uses : Mapping[str, str]
        Models that a plugin uses: id to digest.
    """

    type: ToolType
    id: str
    name: str
    version: str
    author: str
    digest: str
    params: Mapping[str, Param] = field(default_factory=dict)
    level: Literal["instance", "series"] = "instance"
    input: Input = "stored"
    result: Result | None = None
    produces: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    per_frame: bool = True
    uses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """Version of a tool that is held for a computation, with its program."""

    tool: Tool
    program: Program


class ToolSet(ABC):
    """Installed plugins, or installed models."""

    @abstractmethod
    def tool(self, id: str, digest: str | None = None) -> Tool:
        """Describe the current version of a tool, or a held one with this digest. Raises `NotFound` or `Conflict`."""

    @abstractmethod
    def hold(self, id: str, digest: str | None = None) -> AbstractContextManager[Tool]:
        """Keep a version's files when it is replaced or deleted, without running it. Raises as `use` does."""

    @abstractmethod
    def use(self, id: str, digest: str | None = None) -> AbstractAsyncContextManager[Running]:
        """Hold the current version of a tool for a computation, or a version with this digest that is held already.

        Raises
        ------
        NotFound
            There is no such tool.
        Conflict
            There is, but its version with this digest is gone.
        PluginQuarantined
            It failed to load too often.
        """

    @abstractmethod
    async def delete(self, id: str) -> None:
        """Remove a tool; requests that run it are still answered. Raises `NotFound`."""
