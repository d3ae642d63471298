"""What a processing job is asked for, as the job keeps it and as the API shows it."""

from collections.abc import Mapping
from typing import Any

from neurdicom.archive.selection import Selection
from neurdicom.errors import Invalid
from neurdicom.plugins.tools import Tool, ToolType
from neurdicom.processing.work import FORMATS, Work

#: Types of tools, by what a request calls them.
TOOLS: tuple[ToolType, ...] = ("plugin", "model")

_OPTIONS: Mapping[str, Any] = {"format": "png", "store": False, "cache": True, "frame": None}


def as_request(work: Work, selection: Selection, tool: Tool, *, rule: str | None = None) -> dict[str, Any]:
    """Write down which version of which tool is to run how on what, and the id of the rule that asks for it."""
    return {
        work.tool_type: work.tool,
        "version": tool.version,
        "digest": tool.digest,
        "params": dict(work.params),
        **{name: getattr(work, name) for name in _OPTIONS},
        **selection.as_dict(),
        **({} if rule is None else {"rule": rule}),
    }


def from_request(request: Mapping[str, Any]) -> tuple[Work, Selection]:
    """Read what `as_request` wrote."""
    tool_type: ToolType = "plugin" if "plugin" in request else "model"
    options = {name: request[name] for name in _OPTIONS}
    work = Work(
        tool_type=tool_type,
        tool=request[tool_type],
        entity="",
        params=request["params"],
        digest=request["digest"],
        **options,
    )
    return work, Selection.from_dict(request)


def tool_of(given: Mapping[str, Any]) -> tuple[ToolType, str]:
    """The plugin or the model that a client's request names. Raises `Invalid`."""
    named = [tool for tool in TOOLS if given.get(tool) is not None]
    if len(named) != 1:
        found = "none" if not named else "both"
        raise Invalid(f"plugin or model is expected, the id of what is to run; {found} is given", field="plugin")
    (tool,) = named
    if not isinstance(given[tool], str):
        raise Invalid(f"{tool} is {str(given[tool])[:80]!r}; an id is expected", field=tool)
    return tool, given[tool]


def options_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """How a client wants it: `format`, `store`, `cache`, `frame`. Raises `Invalid`."""
    options = {name: given.get(name, default) for name, default in _OPTIONS.items()}
    formats = (*FORMATS, "dicom")
    if options["format"] not in formats:
        raise Invalid(f"format is {str(options['format'])[:80]!r}; {', '.join(formats)} are possible", field="format")
    for name in ("store", "cache"):
        if type(options[name]) is not bool:
            raise Invalid(f"{name} is {str(options[name])[:80]!r}; true or false is expected", field=name)
    frame = options["frame"]
    if frame == "all":
        options["frame"] = None
    elif frame is not None and (type(frame) is not int or not 1 <= frame < 2**31):
        raise Invalid(f"frame is {str(frame)[:80]!r}; a number from 1, or all, is expected", field="frame")
    return options
