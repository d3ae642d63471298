"""Parameters of a plugin: their declaration in META.json, and the conversion of given values.

Pure functions of their arguments. A value is text (a query argument or a form field, where one name may occur several
times) or comes typed (a member of a JSON body, a default in META.json).
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from neurdicom.errors import Invalid, Malformed, shown

Scalar = str | int | float | bool
ParamValue = Scalar | list[Scalar] | None

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_TRUTH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_INT64 = 1 << 63


class ParamType(StrEnum):
    """Type of a parameter's value."""

    TEXT = "text"
    INT = "int"
    DOUBLE = "double"
    BOOL = "bool"


_NOUN = {
    ParamType.TEXT: "text",
    ParamType.INT: "an integer",
    ParamType.DOUBLE: "a number",
    ParamType.BOOL: "true or false",
}
_NOUNS = {
    ParamType.TEXT: "texts",
    ParamType.INT: "integers",
    ParamType.DOUBLE: "numbers",
    ParamType.BOOL: "truth values",
}


@dataclass(frozen=True, slots=True)
class Param:
    """Parameter of a plugin.

    Attributes
    ----------
    name : str
        Name in requests and in the plugin's arguments.
    type : ParamType
        Type of the value, or of each value of a list.
    is_array : bool
        Whether the value is a list.
    is_null : bool
        Whether an explicit null is allowed.
    required : bool
        Whether it must be given.
    has_default : bool
        Whether `default` applies; otherwise a parameter that is not given is not passed to the plugin.
    default : ParamValue
        Passed to the plugin when the parameter is not given.
    values : tuple of Scalar or None
        Allowed values; None: any.
    low, high : float or None
        Bounds, both included.
    described : Mapping[str, Any]
        The description in META.json, unknown fields included.
    """

    name: str
    type: ParamType
    is_array: bool = False
    is_null: bool = False
    required: bool = True
    has_default: bool = False
    default: ParamValue = None
    values: tuple[Scalar, ...] | None = None
    low: float | None = None
    high: float | None = None
    described: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_meta(cls, name: str, described: Mapping[str, Any]) -> "Param":
        """Read one member of META.json's `params`, which meets the schema.

        Raises
        ------
        Invalid
            A default or an allowed value does not fit the parameter itself, or the range is empty.
        """
        kind = ParamType("double" if described["type"] == "float" else described["type"])
        numeric = kind in (ParamType.INT, ParamType.DOUBLE)
        low, high = _bounds(name, described.get("range")) if numeric else (None, None)
        has_default = described.get("default") is not None
        is_null = bool(described.get("isnull"))
        bare = cls(name, kind, is_array=bool(described.get("isarray")), is_null=is_null)
        values = described.get("values")
        allowed = None if not values else tuple(bare._scalar(value, f"params.{name}.values") for value in values)
        param = cls(
            name,
            kind,
            is_array=bare.is_array,
            is_null=is_null,
            required=not (is_null or has_default or described.get("is_required") is False),
            has_default=has_default,
            values=allowed,
            low=low,
            high=high,
            described=dict(described),
        )
        if not has_default:
            return param
        default = param.from_json(described["default"], f"params.{name}.default")
        return cls(**{each: getattr(param, each) for each in cls.__slots__} | {"default": default})

    def takes(self) -> str:
        """Describe the allowed values in words."""
        text = f"a list of {_NOUNS[self.type]}" if self.is_array else _NOUN[self.type]
        if self.low is not None and self.high is not None:
            text += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            text += f" of at least {self.low:g}"
        elif self.high is not None:
            text += f" of at most {self.high:g}"
        if self.values is not None:
            text += f", one of {', '.join(map(shown, self.values[:20]))}{', ...' if len(self.values) > 20 else ''}"
        return text + (", or null" if self.is_null else "")

    def to_api(self) -> dict[str, Any]:
        """Return the description as META.json has it, with defaults filled in."""
        spelt = {
            "type": self.type.value,
            "isarray": self.is_array,
            "isnull": self.is_null,
            "is_required": self.required,
        }
        return {**self.described, **spelt}

    def from_texts(self, texts: Sequence[str]) -> ParamValue:
        """Convert a query argument or form field, given once or several times.

        A list is repeated (`v=1&v=2`), separated by commas (`v=1,2`), or JSON (`v=[1,2]`).

        Raises
        ------
        Invalid
            The text is not an allowed value; `field` is the parameter's name.
        """
        if self.is_array:
            return self._checked_list(self._split(texts), self.name)
        if len(texts) > 1:
            raise self._wrong(f"given {len(texts)} times", self.name, "one value")
        if not texts[0].strip() and self.type is not ParamType.TEXT and self.is_null:
            return None
        return self._scalar(texts[0], self.name)

    def from_json(self, value: Any, where: str | None = None) -> ParamValue:
        """Convert a typed value. Raises `Invalid`; `field` is `where`, or else the parameter's name."""
        where = where or self.name
        if value is None:
            if self.is_null:
                return None
            raise self._wrong("null", where)
        if not self.is_array:
            return self._scalar(value, where)
        if isinstance(value, str):
            return self._checked_list(self._split([value]), where)
        return self._checked_list(value if isinstance(value, list) else [value], where)

    def _split(self, texts: Sequence[str]) -> list[Any]:
        if len(texts) == 1:
            text = texts[0].strip()
            if not text:
                return []
            if text.startswith("["):
                try:
                    parsed = orjson.loads(text)
                except orjson.JSONDecodeError as error:
                    raise self._wrong(shown(text), self.name) from error
                return list(parsed)
        elif self.type is ParamType.TEXT:
            return list(texts)
        return [part.strip() for text in texts for part in text.split(",")]

    def _checked_list(self, items: Sequence[Any], where: str) -> list[Scalar]:
        return [self._scalar(item, where) for item in items]

    def _scalar(self, value: Any, where: str) -> Scalar:
        converted = _CONVERTERS[self.type](value)
        if converted is None:
            raise self._wrong(shown(value), where)
        if self.values is not None and converted not in self.values:
            raise self._wrong(shown(value), where)
        if self.type in (ParamType.INT, ParamType.DOUBLE):
            assert not isinstance(converted, str)
            if (self.low is not None and converted < self.low) or (self.high is not None and converted > self.high):
                raise self._wrong(shown(value), where)
        return converted

    def _wrong(self, found: str, where: str, takes: str | None = None) -> Invalid:
        return Invalid(f"parameter {where!r} is {found}; it takes {takes or self.takes()}", field=where)


def convert_arguments(
    params: Mapping[str, Param], texts: Mapping[str, Sequence[str]], values: Mapping[str, Any]
) -> dict[str, ParamValue]:
    """Convert and check the arguments given for a plugin's parameters.

    Parameters
    ----------
    params : Mapping[str, Param]
        The plugin's parameters, by name.
    texts : Mapping[str, Sequence[str]]
        Values from query arguments and form fields.
    values : Mapping[str, Any]
        Values from a JSON body.

    Returns
    -------
    dict
        Arguments for the plugin: the given ones, and the defaults of the others.

    Raises
    ------
    Invalid
        A parameter is unknown, missing or wrong; `field` names it.
    """
    for name in (*texts, *values):
        if name not in params:
            known = ", ".join(f"{each.name} ({each.takes()})" for each in params.values())
            raise Invalid(f"unknown parameter {name!r}; the plugin takes {known or 'none'}", field=name)
    twice = texts.keys() & values.keys()
    if twice:
        name = min(twice)
        raise Invalid(f"parameter {name!r} is given both in the JSON body and in the query; give it once", field=name)
    arguments: dict[str, ParamValue] = {}
    for name, param in params.items():
        if name in values:
            arguments[name] = param.from_json(values[name])
        elif name in texts:
            arguments[name] = param.from_texts(texts[name])
        elif param.has_default:
            arguments[name] = list(param.default) if isinstance(param.default, list) else param.default
        elif param.required:
            raise Invalid(f"parameter {name!r} is missing; it takes {param.takes()}", field=name)
    return arguments


def decode_arguments(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    """Decode a query or a urlencoded form, whose names were read as Latin-1 and whose values are raw bytes.

    Raises
    ------
    Malformed
        A name or a value is not UTF-8.
    """
    try:
        return {
            name.encode("latin-1").decode(): [value.decode() for value in values] for name, values in arguments.items()
        }
    except UnicodeError as error:
        raise Malformed(f"a parameter is not UTF-8: {error}") from error


def _bounds(name: str, described: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    low, high = described or (None, None)
    if low is not None and high is not None and low > high:
        where = f"params.{name}.range"
        raise Invalid(f"{where} is [{low:g}, {high:g}]; the minimum has to come first", field=where)
    return low, high


def _to_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _to_int(value: Any) -> int | None:
    if isinstance(value, str):
        value = int(value) if _INTEGER.fullmatch(value := value.strip()) else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON does not distinguish 3.0 from 3, and JavaScript writes either
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT64 <= value < _INT64 else None


def _to_double(value: Any) -> float | None:
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value := value.strip()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _to_bool(value: Any) -> bool | None:
    if isinstance(value, str):
        return _TRUTH.get(value.strip().lower())
    return bool(value) if value in (True, False) else None


_CONVERTERS: Mapping[ParamType, Callable[[Any], Scalar | None]] = {
    ParamType.TEXT: _to_text,
    ParamType.INT: _to_int,
    ParamType.DOUBLE: _to_double,
    ParamType.BOOL: _to_bool,
}
