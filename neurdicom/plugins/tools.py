"""Plugins and models alike, for those who run them."""

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
    """One version of a plugin or a model.

    Attributes
    ----------
    type : {"plugin", "model"}
        What it is.
    id, name, version, author : str
        As the API gives them.
    digest : str
        SHA-256 of the archive, in hexadecimal: which code computes.
    params : Mapping[str, Param]
        By name.
    level : {"instance", "series"}
        What one call gets.
    input : {"stored", "modality"}
        Which pixel values it gets.
    result : str or None
        The kind of result that it declares.
    produces : Mapping[str, Any]
        The whole of META.json's `result`, with segments or measurements.
    meta : Mapping[str, Any]
        Its whole META.json.
    per_frame : bool
        One call gets one frame of an instance, and not the whole of it.
    uses : Mapping[str, str]
        Models that a plugin reaches: id to digest.
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
    """A version of a tool that is held for a computation."""

    tool: Tool
    program: Program


class ToolSet(ABC):
    """The installed plugins, or the installed models."""

    @abstractmethod
    def tool(self, id: str, digest: str | None = None) -> Tool:
        """Describe the current version of one, or one of this digest that is held. Raises `NotFound` or `Conflict`."""

    @abstractmethod
    def hold(self, id: str, digest: str | None = None) -> AbstractContextManager[Tool]:
        """Keep a version from going when it is replaced or deleted, without running it. Raises as `use` does."""

    @abstractmethod
    def use(self, id: str, digest: str | None = None) -> AbstractAsyncContextManager[Running]:
        """Hold the current version of one for a computation, or one of this digest that somebody holds already.

        Raises
        ------
        NotFound
            There is none.
        Conflict
            There is, but that version of it is gone.
        PluginQuarantined
            It kept failing to load.
        """

    @abstractmethod
    async def delete(self, id: str) -> None:
        """Remove one; requests that run it get their answers. Raises `NotFound`."""
