"""What is asked of a plugin or a model, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurdicom.dicom.query.attributes import Level
from neurdicom.plugins.tools import ToolType
from neurdicom.workers.call import Priority
from neurdicom.workers.program import Reply

#: What an image result can be given as; `json` is what a native plugin gives beside its image.
FORMATS = ("png", "jpeg", "lum8", "f32", "f64", "npy", "json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One run of a tool over one instance or one series. All of it is JSON, so that a job can keep it.

    Attributes
    ----------
    tool_type : {"plugin", "model"}
        What runs.
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
        One of `FORMATS`; a result that is no image has its own.
    store : bool
        Keep the result as DICOM instances of the source's study.
    cache : bool
        An earlier result of the same may be given.
    priority : Priority
        Interactive runs go before those of the background.
    fairness : str
        Whose run it is: waiting runs of different keys take turns.
    digest : str or None
        The version that is to run, which somebody holds; None: the current one.
    job : str or None
        Id of the job that it is an item of: its result is durable before it counts as done, and of an image the samples
        are kept, whatever the format.
    """

    tool_type: ToolType
    tool: str
    entity: str
    level: Level = Level.INSTANCE
    frame: int | None = 1
    params: Mapping[str, Any] = field(default_factory=dict)
    format: str = "png"
    store: bool = False
    cache: bool = True
    priority: Priority = Priority.INTERACTIVE
    fairness: str = ""
    digest: str | None = None
    job: str | None = None


@dataclass(frozen=True, slots=True)
class Processed:
    """What came of a work.

    Attributes
    ----------
    reply : Reply
        The encoded result.
    result : str or None
        Id of its record, where one is kept.
    stored : tuple of str
        SOP Instance UIDs of the DICOM instances that were made of it.
    is_cached : bool
        It was computed earlier.
    etag : str or None
        A strong validator of the reply, without quotes, where a record is kept.
    is_current : bool
        What the caller has is still that; the reply is empty.
    """

    reply: Reply
    result: str | None = None
    stored: tuple[str, ...] = ()
    is_cached: bool = False
    etag: str | None = None
    is_current: bool = False
