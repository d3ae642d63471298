"""Runs of a plugin or a model: as they are requested, resolved to a version and to files, and answered."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import orjson

from neurdicom import __version__
from neurdicom.dicom.query.attributes import Level
from neurdicom.plugins.tools import Tool, ToolType
from neurdicom.workers.call import Priority
from neurdicom.workers.executor import Input
from neurdicom.workers.program import Reply

#: What an image result can be given as; `json` is what a native plugin gives beside its image.
FORMATS = ("png", "jpeg", "lum8", "f32", "f64", "npy", "json")
#: The format that keeps values and shape of an image as they are.
EXACT = "npy"
#: The format that asks for DICOM instances.
DICOM = "dicom"

#: Options of a request to their defaults; a `frame` of None means all.
OPTIONS: Mapping[str, Any] = {"format": "png", "store": False, "cache": True, "frame": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """A request to run a tool over one instance or one series.

    Attributes
    ----------
    tool_type : {"plugin", "model"}
        Type of the tool.
    tool : str
        Its id.
    level : Level
        `INSTANCE` or `SERIES`.
    entity : str
        SOP or Series Instance UID.
    frame : int or None
        Of an instance, counted from 1.
    params : Mapping[str, Any]
        Parameters, converted and checked, with the defaults in them.
    format : str
        One of `FORMATS`, or `DICOM`; a result that is no image has its own.
    store : bool
        Keep the result as DICOM instances of the source's study.
    cache : bool
        An earlier result of the same may be given.
    priority : Priority
        Interactive runs go before those of the background.
    user : str
        Id of the user who asks, empty where there is none: waiting runs of several users take turns.
    digest : str or None
        The version that is to run, which somebody holds; None: the current one.
    job : str or None
        Id of the job that it is an item of: its result is durable before it counts as done, and of an image the samples
        are kept, whatever the format.
    """

    tool_type: ToolType
    tool: str
    entity: str = ""
    level: Level = Level.INSTANCE
    frame: int | None = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    format: str = "png"
    store: bool = False
    cache: bool = True
    priority: Priority = Priority.INTERACTIVE
    user: str = ""
    digest: str | None = None
    job: str | None = None

    @property
    def is_durable(self) -> bool:
        """Its result has to be durable before it is answered."""
        return self.store or self.job is not None

    def to_document(self) -> dict[str, Any]:
        """Serialise what all items of a job have in common."""
        options = {name: getattr(self, name) for name in OPTIONS}
        return {self.tool_type: self.tool, "digest": self.digest, "params": dict(self.params), **options}

    @classmethod
    def from_document(cls, document: Mapping[str, Any], **fields: Any) -> Self:
        """Read a document that `to_document` wrote; other fields are given beside it."""
        tool_type: ToolType = "plugin" if "plugin" in document else "model"
        options = {name: document[name] for name in OPTIONS}
        params, digest = document["params"], document["digest"]
        return cls(tool_type=tool_type, tool=document[tool_type], params=params, digest=digest, **options, **fields)


@dataclass(frozen=True)  # without slots: its digests are computed once
class ResolvedRun:
    """A request with the version of the tool and the files that it comes to.

    Attributes
    ----------
    request : RunRequest
    tool : Tool
    inputs : tuple of Input
        In the order in which the tool gets them.
    """

    request: RunRequest
    tool: Tool
    inputs: tuple[Input, ...]

    @property
    def is_volume(self) -> bool:
        """The inputs are the slices of a volume."""
        return self.tool.level == "series" or self.inputs[0].frame is None

    @property
    def is_whole(self) -> bool:
        """The tool gets all frames: the one that is asked for only says which of a stack becomes a picture."""
        return not self.tool.per_frame or self.is_volume

    @property
    def frame(self) -> int | None:
        """The frame of a stack that is shown."""
        return (self.request.frame or 1) if self.is_whole else None

    @property
    def format(self) -> str:
        """The format to compute: of a job's images the samples, which every other format can be made of."""
        request = self.request
        return request.format if request.job is None or request.format == "json" else EXACT

    @property
    def sources(self) -> list[list[str]]:
        """SOP Instance UID and SHA-256 of the file of each input."""
        return [[one.instance, one.sha256] for one in self.inputs]

    @cached_property
    def id(self) -> str:
        """The result's id, the same for every computation that must give the same.

        It is a digest of the inputs' SHA-256, frames and edits, of type, id and digest of the tool and the models that
        it uses, of the parameters (a double is a float by now, however it was written), and of the version of
        NeurDICOM, since another one may decode or convert pixels otherwise.
        """
        tool = self.tool
        is_whole = self.is_whole
        files = [
            [one.sha256, None if is_whole else one.frame, [dict(edit) for edit in one.edits]] for one in self.inputs
        ]
        said = [__version__, tool.type, tool.id, tool.digest, dict(tool.uses), files, dict(self.request.params)]
        # As RFC 8785 has it: members sorted, no spaces; ASCII, so that every text that JSON may carry has bytes.
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return sha256(text.encode("ascii")).hexdigest()

    @cached_property
    def digest(self) -> str:
        """Digest of the code and the parameters: all its runs over one series make one derived series."""
        return _digest([self.tool.type, self.tool.id, self.tool.digest, dict(self.request.params)])

    def digest_with(self, reply: Reply) -> str:
        """Name a result by its sources and its bytes: the same one becomes the same DICOM instances."""
        sources = [[one.instance, one.sha256, one.frame, list(one.edits)] for one in self.inputs]
        return _digest([self.digest, sources, sha256(reply.body).hexdigest()])

    def to_wire(self, slices: Sequence[tuple[int, int]] | None = None) -> dict[str, Any]:
        """Serialise it for the worker that writes DICOM.

        Parameters
        ----------
        slices : sequence of (int, int), optional
            Inputs by number, and frames in them, in the order of a volume, where it is another.
        """
        tool = self.tool
        names = ("type", "id", "name", "version", "author", "digest", "input")
        every: Sequence[tuple[int, int | None]] = [(number, one.frame) for number, one in enumerate(self.inputs)]
        return {
            "sources": [
                {"path": self.inputs[number].path, "frame": frame, "edits": list(self.inputs[number].edits)}
                for number, frame in (slices or every)
            ],
            "tool": {name: getattr(tool, name) for name in names} | {"produces": dict(tool.produces)},
            "params": dict(self.request.params),
            "run": self.digest,
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """The answer to a run.

    Attributes
    ----------
    reply : Reply
        The encoded result.
    result : str or None
        Id of the kept result, where one is kept.
    stored : tuple of str
        SOP Instance UIDs of the DICOM instances that were made of it.
    is_cached : bool
        It was computed earlier.
    etag : str or None
        A strong validator of the reply, without quotes, where a result is kept.
    is_current : bool
        What the caller has is still that; the reply is empty.
    """

    reply: Reply
    result: str | None = None
    stored: tuple[str, ...] = ()
    is_cached: bool = False
    etag: str | None = None
    is_current: bool = False


def _digest(value: Any) -> str:
    return sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
