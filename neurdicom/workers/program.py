"""What a worker process loads, and what it answers."""

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
class Program:
    """One thing that a worker process loads, and that serves its calls for the rest of its life.

    Attributes
    ----------
    kind : {"builtin", "python", "native", "model"}
        `builtin`: a module of ours whose public functions are the verbs. `python` and `native`: plugins, with
        the verb `process`, as is `model`.
    target : str
        The module's dotted name; the folder that holds `plugin.py`; the path of the shared library; the folder that
        holds a model.
    name : str
        What errors and the log call it.
    digest : str
        Version of the code behind `target`; calls go only to workers that loaded this one.
    timeout : float
        Seconds that a load or a call may take.
    memory : int
        MiB that the program may add to its worker process.
    input : {"stored", "modality"}
        Pixel values that a native plugin gets: as stored, or with the modality LUT applied.
    result : {"IMAGE", "JSON", "SEGMENTATION", "MEASUREMENTS"} or None
        Kind of result that the plugin declares; None: it follows from what `process` returned.
    models : Mapping[str, str]
        Models that a plugin reaches: the names that it knows them by, to their folders, each named after its digest.
    threads : int
        Most threads that one call may compute in; networks only.
    level : {"instance", "series"}
        What META.json says that one call gets.
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
        """What makes two programs the same: workers of one serve calls of the other."""
        return self.kind, self.target, self.version

    @property
    def digests(self) -> tuple[str, ...]:
        """Of everything that is loaded: the program's own, and those of its models, by name."""
        return self.digest, *(PurePath(self.models[name]).name for name in sorted(self.models))

    @property
    def version(self) -> str:
        """All `digests`: which code and which weights compute."""
        return "+".join(self.digests)

    @property
    def gives_json(self) -> bool:
        """Whether the declared result is JSON."""
        return self.result in ("JSON", "MEASUREMENTS")

    @property
    def title(self) -> str:
        """The name, or else the target."""
        return self.name or self.target

    def as_dict(self) -> dict[str, Any]:
        """The fields, as JSON can carry them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Program":
        """Make one of what `as_dict` gave."""
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a verb answered.

    Attributes
    ----------
    meta : dict
        JSON-able description, such as the media type and the shape.
    body : bytes or memoryview
        The payload. A memoryview lies over memory that only this reply holds, and is read-only.
    """

    meta: dict[str, Any] = field(default_factory=dict)
    body: bytes | memoryview = b""
