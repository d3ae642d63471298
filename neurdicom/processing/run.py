"""Runs of a plugin or a model: declared, requested, resolved to a version and to files, and answered."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Self

import orjson

from neurdicom import __version__
from neurdicom.archive.selection_schemas import EITHER_SELECTION, FILTERS_OF_LEVEL, SELECTION_MEMBERS
from neurdicom.catalog.projection import uid_field
from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.pixels.encode.formats import OF_RESULTS
from neurdicom.plugins.params import convert_arguments
from neurdicom.plugins.tools import Tool, ToolType
from neurdicom.schema import NAMED, Declaration
from neurdicom.workers.arguments import is_large, json_pieces
from neurdicom.workers.call import Priority
from neurdicom.workers.executor import Input
from neurdicom.workers.program import Reply

#: Formats of an image result; `json` is the JSON that a native plugin returns beside its image.
FORMATS = (*OF_RESULTS, "json")
#: Format that keeps values and shape of an image unchanged.
EXACT = "npy"
#: Format that stands for DICOM instances.
DICOM = "dicom"

#: Options of a request and their defaults; a `frame` of None means all.
OPTIONS: Mapping[str, Any] = {"format": "png", "store": False, "cache": True, "frame": None}

#: Types of tools, which are also the members of a request that name a tool.
TOOLS: tuple[ToolType, ...] = ("plugin", "model")

_BOOLEAN = {"type": "boolean"}
_NULL = {"type": "null"}
_STUDY_UID = uid_field(Level.STUDY)

#: Members of a request that name the tool, its parameters, and the options of a job.
ACTION_MEMBERS: dict[str, Any] = {
    "plugin": {"type": ["string", "null"], "description": "Id of the plugin to run; either this or `model`."},
    "model": {"type": ["string", "null"], "description": "Id of the model to run; either this or `plugin`."},
    "params": {"type": ["object", "null"], "description": "Parameters of the plugin or the model, by name."},
    "format": {"enum": [*FORMATS, DICOM], "default": "png"},
    "store": {**_BOOLEAN, "default": False, "description": "Store the results as DICOM instances of the study."},
    "cache": {**_BOOLEAN, "default": True, "description": "Return kept results instead of computing them again."},
    "frame": {
        "description": "Number of the frame of each instance, from 1. `all`, the default, makes one result for each "
        "frame where the tool takes single frames.",
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": 2**31 - 1}, {"enum": ["all", None]}],
    },
}

#: Exactly one tool is named.
EITHER_TOOL: dict[str, Any] = {
    "description": "plugin or model, the id of the one to run",
    "oneOf": [
        {"required": ["plugin"], "properties": {"plugin": {"type": "string"}, "model": _NULL}},
        {"required": ["model"], "properties": {"model": {"type": "string"}, "plugin": _NULL}},
    ],
    NAMED: "plugin",
}

#: A job over a selection, or its estimate.
PROCESS_REQUEST = Declaration(
    {
        "type": "object",
        "examples": [{"plugin": "org.example.plugin", "series": ["1.2.840.113619.2.1.1"]}],
        "additionalProperties": False,
        "properties": {
            **ACTION_MEMBERS,
            **SELECTION_MEMBERS,
            "dry_run": {**_BOOLEAN, "default": False, "description": "Only count what the job would do."},
        },
        "allOf": [EITHER_TOOL, EITHER_SELECTION, FILTERS_OF_LEVEL],
    },
    alone=("filters",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Request to run a tool over one instance or one series.

    Attributes
    ----------
    tool_type : {"plugin", "model"}
        Type of the tool.
    tool : str
        Id of the tool.
    level : Level
        `INSTANCE` or `SERIES`.
    entity : str
        Id or key of the instance or series; its key in a `ResolvedRun`.
    frame : int or None
        Frame of an instance, from 1.
    params : Mapping[str, Any]
        Parameters as JSON has them; `converted_for` checks them, and adds the defaults.
    texts : Mapping[str, Sequence[str]]
        Further parameters, as texts of a query or a form.
    format : str
        One of `FORMATS`, or `DICOM`; a result that is no image has its own.
    store : bool
        Store the result as DICOM instances in the source's study.
    cache : bool
        Return a kept result of an equal run if there is one.
    priority : Priority
        Interactive runs go before background runs.
    user : str
        Id of the user who asks, empty where there is none: waiting runs of several users take turns.
    digest : str or None
        The version to run, which the caller holds, and for which the parameters are converted; None: the current one.
    job : str or None
        Id of the job whose item it is: its result is durable before the item counts as done, and of an image the
        samples are kept, whatever the format.
    """

    tool_type: ToolType
    tool: str
    entity: str = ""
    level: Level = Level.INSTANCE
    frame: int | None = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    format: str = "png"
    store: bool = False
    cache: bool = True
    priority: Priority = Priority.INTERACTIVE
    user: str = ""
    digest: str | None = None
    job: str | None = None

    @property
    def is_durable(self) -> bool:
        """True if its result has to be durable before it is answered."""
        return self.store or self.job is not None

    @property
    def is_large(self) -> bool:
        """True if converting the parameters takes so long that a thread does it."""
        return is_large(self.params) or is_large(self.texts) or any(map(_has_long_text, self.texts.values()))

    def converted_for(self, tool: Tool) -> Self:
        """Return the request with its parameters converted for a version of the tool.

        Parameters that were converted for it stay as they are.

        Raises
        ------
        Invalid
            A parameter is unknown, missing or wrong; `field` names it.
        """
        if self.digest == tool.digest:
            return self
        params = convert_arguments(tool.params, self.texts, self.params)
        if not params and not self.texts:
            return self
        return replace(self, params=params, texts={})

    def to_document(self) -> dict[str, Any]:
        """Return the fields that all items of a job share, for the job's document; the parameters are converted."""
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
    """Request with the version of the tool and the input files.

    Attributes
    ----------
    request : RunRequest
        The request, with its parameters converted for that version.
    tool : Tool
        The version of the tool.
    inputs : tuple of Input
        In the order in which the tool gets them.
    """

    request: RunRequest
    tool: Tool
    inputs: tuple[Input, ...]

    @property
    def is_volume(self) -> bool:
        """True if the inputs are the slices of a volume."""
        return self.tool.level == "series" or self.inputs[0].frame is None

    @property
    def is_whole(self) -> bool:
        """True if the tool gets all frames: the requested frame only selects the picture of a stack."""
        return not self.tool.per_frame or self.is_volume

    @property
    def frame(self) -> int | None:
        """Frame of a stack to show."""
        return (self.request.frame or 1) if self.is_whole else None

    @property
    def format(self) -> str:
        """Format to compute; for an image of a job the samples, from which every other format can be encoded."""
        request = self.request
        return request.format if request.job is None or request.format == "json" else EXACT

    @property
    def sources(self) -> list[list[str]]:
        """Key of the instance and SHA-256 of the file of each input."""
        return [[one.key, one.sha256] for one in self.inputs]

    @cached_property
    def id(self) -> str:
        """Id of the result, equal for every computation that must give the same result.

        It is a digest of the inputs' SHA-256, frames and edits, of type, id and digest of the tool and the models that
        it uses, of the parameters (a double is a float by now, however it was written), and of the version of
        NeurDICOM, since another one may decode or convert pixels otherwise.
        """
        tool = self.tool
        is_whole = self.is_whole
        files = [[one.sha256, None if is_whole else one.frame, _edits(one)] for one in self.inputs]
        said = [__version__, tool.type, tool.id, tool.digest, dict(tool.uses), files]
        return _digest(said, self.request.params, _canonical)

    @cached_property
    def digest(self) -> str:
        """Digest of the code and the parameters: all its runs over one series make one derived series."""
        return _digest([self.tool.type, self.tool.id, self.tool.digest], self.request.params, _sorted)

    def compute_digests(self) -> None:
        """Compute the digests that will be needed, which takes long for large parameters."""
        _ = self.id
        if self.request.store or self.request.format == DICOM:
            _ = self.digest

    def digest_with(self, reply: Reply) -> str:
        """Compute a digest of the run and the result's bytes: the same result becomes the same DICOM instances."""
        sources = [[one.instance, one.sha256, one.frame, _edits(one)] for one in self.inputs]
        return sha256(_sorted([self.digest, sources, sha256(reply.body).hexdigest()])).hexdigest()

    @property
    def _moved_to(self) -> list[str]:
        """List the UIDs of the studies that moves write into the first input."""
        return [edit["value"] for edit in self.inputs[0].edits if edit["field"] == _STUDY_UID]

    def to_wire(self, series: str, slices: Sequence[tuple[int, int]] | None = None) -> dict[str, Any]:
        """Return the run for the worker that writes DICOM.

        Parameters
        ----------
        series : str
            Id of the source's series: no two series of one UID get one derived series, nor one that was moved to
            another study and what was derived of it before.
        slices : sequence of (int, int), optional
            Number of the input, and frame in it, for each slice of a volume, where their order is not that of the
            inputs.
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
            "series": "\\".join((series, *self._moved_to)),
        }


@dataclass(frozen=True, slots=True)
class RunResult:
    """Answer to a run.

    Attributes
    ----------
    reply : Reply
        The encoded result.
    result : str or None
        Id of the kept result, where one is kept.
    stored : tuple of str
        Keys of the DICOM instances that were made of it.
    is_cached : bool
        Whether it was computed earlier.
    etag : str or None
        Strong validator of the reply, without quotes, where a result is kept.
    is_current : bool
        Whether the caller's copy is still current; the reply is empty then.
    """

    reply: Reply
    result: str | None = None
    stored: tuple[str, ...] = ()
    is_cached: bool = False
    etag: str | None = None
    is_current: bool = False


def _digest(said: Sequence[Any], params: Mapping[str, Any], dumps: Callable[[Any], bytes]) -> str:
    """Compute the digest of a list in JSON whose last item are parameters, ordered by name."""
    if not is_large(params):
        return sha256(dumps([*said, dict(params)])).hexdigest()
    digest = sha256(dumps(said)[:-1] + b",")
    for piece in json_pieces(dict(sorted(params.items())), dumps):
        digest.update(piece)
    digest.update(b"]")
    return digest.hexdigest()


def _edits(one: Input) -> list[dict[str, Any]]:
    """List the edits of an input for digests: by UID, so that results are found when their source gets other keys."""
    return [{name: uid_of(value) if name == "entity" else value for name, value in edit.items()} for edit in one.edits]


def _has_long_text(texts: Sequence[str]) -> bool:
    return any(is_large({"": text}) for text in texts)


def _canonical(value: Any) -> bytes:
    """Encode as RFC 8785 has it: members sorted, no spaces; ASCII, so that every text that JSON may carry has bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _sorted(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
