"""Programs, which worker processes load, and their replies."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePath
from typing import Any, Literal

Kind = Literal["builtin", "python", "native", "model"]
Input = Literal["stored", "modality"]
Level = Literal["instance", "series"]
#: Kinds of result. A segmentation is an image of labels, measurements are JSON; both say more in a DICOM object.
Result = Literal["IMAGE", "JSON", "SEGMENTATION", "MEASUREMENTS"]


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """Administrator's limits for tools, which also apply where META.json asks for nothing.

    Attributes
    ----------
    timeout : float
        Most seconds for a call.
    memory : int
        Most MiB for a worker.
    threads : int
        Most threads that one worker may compute in; networks only.
    """

    timeout: float
    memory: int
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Program:
    """Program that a worker process loads and runs for the rest of its life: a plugin, a model, or a builtin module.

    Attributes
    ----------
    kind : {"builtin", "python", "native", "model"}
        `builtin`: a module of ours whose public functions are the verbs. `python`, `native`: plugins, and `model`: a
        neural network; their one verb is `process`.
    target : str
        For `builtin` the module's dotted name; for `python` the folder that holds `plugin.py`; for `native` the path of
        the shared library; for `model` its folder.
    name : str
        Name in errors and in the log.
    digest : str
        Version of the code behind `target`; a call goes only to workers that loaded this version.
    timeout : float
        Seconds that a load or a call may take.
    memory : int
        MiB that the program may add to its worker process.
    input : {"stored", "modality"}
        Pixel values that a native plugin gets: as stored, or with the modality LUT applied.
    result : {"IMAGE", "JSON", "SEGMENTATION", "MEASUREMENTS"} or None
        Kind of result that the plugin declares; None: it follows from what `process` returned.
    models : Mapping[str, str]
        Models that a plugin uses: the plugin's names for them, and their folders, each named after its digest.
    threads : int
        Most threads that one call may compute in; networks only.
    level : {"instance", "series"}
        Level that META.json gives: one call gets one instance, or a whole series.
    geometry : bool
        A native plugin gets `_image` in its parameters for single images, too.
    """

    kind: Kind
    target: str
    name: str = ""
    digest: str = ""
    timeout: float = 60.0
    memory: int = 2048
    input: Input = "stored"
    result: Result | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    threads: int = 1
    level: Level = "instance"
    geometry: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """Identity: workers of one program serve calls of another with the same key."""
        return self.kind, self.target, self.version

    @property
    def digests(self) -> tuple[str, ...]:
        """Digests of everything that is loaded: the program's own, then those of its models, ordered by name."""
        return self.digest, *(PurePath(self.models[name]).name for name in sorted(self.models))

    @property
    def version(self) -> str:
        """Version of the code and the weights: all `digests` joined."""
        return "+".join(self.digests)

    @property
    def gives_json(self) -> bool:
        """True if the declared result is JSON."""
        return self.result in ("JSON", "MEASUREMENTS")

    @property
    def title(self) -> str:
        """Name for people: `name`, or else `target`."""
        return self.name or self.target

    def to_wire(self) -> dict[str, Any]:
        """Return the fields as a JSON-able object."""
        return asdict(self)

    @classmethod
    def from_wire(cls, fields: Mapping[str, Any]) -> "Program":
        """Rebuild a program from its `to_wire` form."""
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Reply:
    """Reply of a verb.

    Attributes
    ----------
    meta : dict
        JSON-able description, such as the media type and the shape.
    body : bytes or memoryview
        The payload. A memoryview lies over memory that only this reply holds, and is read-only.
    """

    meta: dict[str, Any] = field(default_factory=dict)
    body: bytes | memoryview = b""
