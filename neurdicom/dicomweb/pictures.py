"""Parameters of rendered resources (PS3.18 8.3.5), for WADO-RS and WADO-URI."""

import re
from collections.abc import Sequence

from neurdicom.errors import Invalid
from neurdicom.http.parameters import parsed_parameter
from neurdicom.schema import Schema

LARGEST_SIZE = 16384

_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,15}(?:\.[0-9]{0,15})?|\.[0-9]{1,15})(?:[eE][+-]?[0-9]{1,2})?")
_TEXT = r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?"
#: JSON Schema of a decimal number.
NUMBER: Schema = {"type": "string", "pattern": f"^{_TEXT}$"}
FRAME: Schema = {"type": "integer", "minimum": 1, "maximum": 10**9 - 1}
SIZE: Schema = {"type": "integer", "minimum": 1, "maximum": LARGEST_SIZE}
QUALITY: Schema = {"type": "integer", "minimum": 1, "maximum": 100}

_SIZE_TEXT = r"[1-9][0-9]{0,3}"
_REGION_TEXT = f"(,({_TEXT})?(,({_TEXT})?(,([1-9][0-9]{{0,8}})?(,([1-9][0-9]{{0,8}})?)?)?)?)?"
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}

Region = tuple[float, float, float | None, float | None]


def number_of(text: str, name: str) -> float:
    """Read a decimal number. Raises `Invalid`."""
    if not _NUMBER.fullmatch(text):
        raise Invalid(f"{name} is {text[:50]!r}; a number is expected", field=name)
    return float(text)


def size_of(text: str, name: str) -> int:
    """Read a width or height of a picture in pixels. Raises `Invalid`."""
    value = number_of(text, name)
    if not 1 <= value <= LARGEST_SIZE:
        raise Invalid(f"{name} is {text[:50]!r}; 1 to {LARGEST_SIZE} pixels are expected", field=name)
    return round(value)


def window_of(text: str) -> tuple[tuple[float, float], str | None]:
    """Read a window, `center,width` or `center,width,function`. Raises `Invalid`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (2, 3):
        raise Invalid(f"window is {text[:100]!r}; center,width,function is expected", field="window")
    center, width = (number_of(part, "window") for part in parts[:2])
    function = None
    if len(parts) == 3:
        function = _FUNCTIONS.get(parts[2].lower())
        if function is None:
            possible = ", ".join(_FUNCTIONS)
            raise Invalid(f"the window's function is {parts[2][:50]!r}; one of {possible} is expected", field="window")
    if not width > 0:
        raise Invalid(f"the window's width is {parts[1]}; more than 0 is expected", field="window")
    return (center, width), function


def viewport_of(text: str) -> tuple[int, int, Region | None]:
    """Read a viewport, `vw,vh` or `vw,vh,sx,sy,sw,sh`, of which each part may be empty. Raises `Invalid`."""
    parts = [part.strip() for part in text.split(",")]
    if not 2 <= len(parts) <= 6:
        raise Invalid(f"viewport is {text[:100]!r}; vw,vh or vw,vh,sx,sy,sw,sh is expected", field="viewport")
    width, height = (size_of(part, "viewport") for part in parts[:2])
    return width, height, _region(parts[2:])


def _region(parts: Sequence[str]) -> Region | None:
    values = [number_of(part, "viewport") if part else None for part in parts]
    if all(value is None for value in values):
        return None
    left, top, width, height = [*values, None, None, None, None][:4]
    if 0 in (width, height):
        raise Invalid("the region of the viewport is empty", field="viewport")
    return left or 0.0, top or 0.0, width, height


def frame_of(text: str) -> int:
    """Read a frame number. Raises `Invalid`."""
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise Invalid(f"frameNumber is {text[:50]!r}; an integer from 1 is expected", field="frameNumber")
    return int(text)


def quality_of(text: str, name: str = "quality") -> int:
    """Read a quality. Raises `Invalid`."""
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:
        raise Invalid(f"{name} is {text[:50]!r}; an integer from 1 to 100 is expected", field=name)
    return int(text)


VIEWPORT = parsed_parameter(
    "viewport",
    "Width and height in pixels that the picture is scaled to fit into; then left, top, width and height of the region "
    "to show. A negative width or height mirrors it.",
    viewport_of,
    {"type": "string", "pattern": f"^{_SIZE_TEXT},{_SIZE_TEXT}{_REGION_TEXT}$"},
)
WINDOW = parsed_parameter(
    "window",
    "Center, width and function (`linear`, `linear-exact` or `sigmoid`) of the window.",
    window_of,
    {"type": "string", "pattern": f"^{_TEXT},[1-9][0-9]{{0,8}}(,({'|'.join(_FUNCTIONS)}))?$"},
)
QUALITY_OF_LOSSY = parsed_parameter("quality", "Quality of lossy formats, 1 to 100.", quality_of, QUALITY)
PARAMETERS = (VIEWPORT, WINDOW, QUALITY_OF_LOSSY)
