"""Query parameters, each declared once: the declaration describes it in OpenAPI, and parses and checks its text."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from neurdicom.errors import Invalid
from neurdicom.schema import Schema
from neurdicom.schema.texts import NOT_BLANK

Value = TypeVar("Value")
Default = TypeVar("Default")
ValueOut = TypeVar("ValueOut", covariant=True)
DefaultOut = TypeVar("DefaultOut", covariant=True)

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
#: Larger than any archive, and within the range of every catalog's integers.
MAX_OFFSET = 2**31 - 1

#: `isdigit` and `int` would also accept other scripts' digits; the bound keeps `int` fast.
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)

#: `float` would also accept underscores, NaN and infinity.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)

#: Most characters of a wrong value that an error shows.
_SHOWN = 80


class QuerySource(Protocol):
    """Request that has a query."""

    def query(self, name: str) -> str | None:
        """Return a query parameter that is given at most once, None when absent. Raises `Invalid` when given twice."""


@dataclass(frozen=True, slots=True)
class Parameter(Generic[ValueOut, DefaultOut]):
    """Query parameter of an operation.

    Attributes
    ----------
    name : str
        Name in the query.
    description : str
        Text of the OpenAPI description.
    default
        Value where the request has none.
    schema : Schema
        JSON Schema of the texts that `parse` accepts.
    parse : callable
        Parses the text. Raises `Invalid`.
    required : bool
        Whether it must be given.
    """

    name: str
    description: str
    default: DefaultOut
    schema: Schema
    parse: Callable[[str], ValueOut]
    required: bool = False

    def of(self, request: QuerySource) -> ValueOut | DefaultOut:
        """Read the parameter's value from a request. Raises `Invalid`."""
        text = request.query(self.name)
        return self.default if text is None else self.parse(text)

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the query."""
        return (self.name,)

    def to_openapi(self) -> dict[str, Any]:
        """Describe the parameter as an OpenAPI parameter object."""
        return {
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": self.required,
            "schema": self.schema,
        }


class ParameterGroup(Generic[Value]):
    """Query parameters that are given together or not at all.

    Parameters
    ----------
    name : str
        Of the group, for the description: OpenAPI has it as an object whose members are the parameters.
    description : str
    members : Sequence of Parameter
    """

    required = False

    def __init__(self, name: str, description: str, members: Sequence[Parameter[Value, None]]) -> None:
        self.name = name
        self.description = description
        self.members = tuple(members)
        self.names = tuple(each.name for each in members)
        self.schema: Schema = {
            "type": "object",
            "required": list(self.names),
            "additionalProperties": False,
            "properties": {each.name: {**each.schema, "description": each.description} for each in members},
        }

    def of(self, request: QuerySource) -> tuple[Value, ...] | None:
        """Read the parameters' values from a request, None when it has none of them. Raises `Invalid`."""
        given = {each.name: value for each in self.members if (value := each.of(request)) is not None}
        missing = [name for name in self.names if name not in given]
        if missing and given:
            raise Invalid(f"{missing[0]} is missing; {' and '.join(self.names)} go together", field=missing[0])
        return tuple(given.values()) or None

    def to_openapi(self) -> dict[str, Any]:
        """Describe the parameters as an OpenAPI parameter object."""
        return {
            "name": self.name,
            "in": "query",
            "description": self.description,
            "required": False,
            "style": "form",
            "explode": True,
            "schema": self.schema,
        }


#: Declaration of a query argument, or of several that belong together.
AnyParameter = Parameter[Any, Any] | ParameterGroup[Any]


def text_parameter(
    name: str,
    description: str,
    default: Default,
    *,
    schema: Schema | None = None,
    required: bool = False,
    longest: int | None = None,
) -> Parameter[str, Default]:
    """Declare a text parameter.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    default
        Value where the request has none.
    schema : Schema, optional
        JSON Schema; its conditions are checked by the code that reads the value.
    required : bool
        Whether it must be given.
    longest : int, optional
        Most characters.
    """

    def parse(text: str) -> str:
        if longest is not None and len(text) > longest:
            raise Invalid(f"{name} has {len(text)} characters; expected: at most {longest}", field=name)
        return text

    bound = {} if longest is None else {"maxLength": longest}
    return Parameter(name, description, default, {**(schema or {"type": "string"}), **bound}, parse, required)


def parsed_parameter(
    name: str, description: str, parse: Callable[[str], Value], schema: Schema
) -> Parameter[Value, None]:
    """Declare a parameter with a grammar of its own.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    parse : callable
        Parses the text. Raises `Invalid`.
    schema : Schema
        JSON Schema of the texts that `parse` accepts.
    """
    return Parameter(name, description, None, schema, parse)


def described_parameter(name: str, description: str, schema: Schema = NOT_BLANK) -> Parameter[str, None]:
    """Declare a parameter that is read together with others: a filter, or an attribute of a query.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    schema : Schema
        JSON Schema, for the description only.
    """
    return text_parameter(name, description, None, schema=schema)


def integer_parameter(name: str, description: str, default: Default, *, low: int, high: int) -> Parameter[int, Default]:
    """Declare an integer parameter.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    default
        Value where the request has none.
    low, high : int
        Bounds, both included.
    """

    def parse(text: str) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise Invalid(f"{name} is {text[:_SHOWN]!r}; an integer from {low} to {high} is expected", field=name)
        return int(text)

    schema: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    return Parameter(name, description, default, _with_default(schema, default), parse)


def number_parameter(name: str, description: str, *, above: float | None = None) -> Parameter[float, None]:
    """Declare a decimal number.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    above : float, optional
        Exclusive lower bound.
    """
    expected = "a finite number" if above is None else f"a finite number above {above:g}"

    def parse(text: str) -> float:
        number = float(text) if _NUMBER.fullmatch(text) else math.nan
        if not math.isfinite(number) or (above is not None and number <= above):
            raise Invalid(f"{name} is {text[:_SHOWN]!r}; {expected} is expected", field=name)
        return number

    schema = {"type": "number"} if above is None else {"type": "number", "exclusiveMinimum": above}
    return Parameter(name, description, None, schema, parse)


def flag_parameter(name: str, description: str) -> Parameter[bool, bool]:
    """Declare a truth value, false by default."""

    def parse(text: str) -> bool:
        if text not in ("true", "false"):
            raise Invalid(f"{name} is {text[:_SHOWN]!r}; true or false is expected", field=name)
        return text == "true"

    return Parameter(name, description, False, {"type": "boolean", "default": False}, parse)


def choice_parameter(name: str, description: str, choices: Sequence[str], default: Default) -> Parameter[str, Default]:
    """Declare a parameter with a choice of words; empty text stands for the default, where there is one.

    Parameters
    ----------
    name, description : str
        Name in the query, and text of the OpenAPI description.
    choices : sequence of str
        The words.
    default
        Value where the request has none.
    """

    def parse(text: str) -> str:
        if text not in choices and (text or default is None):
            raise Invalid(f"{name} is {text[:_SHOWN]!r}; {' or '.join(choices)} is expected", field=name)
        return text or str(default)

    schema: dict[str, Any] = {"type": "string", "enum": [*choices, *([] if default is None else [""])]}
    return Parameter(name, description, default, _with_default(schema, default), parse)


def sort_parameter(fields: Sequence[str]) -> Parameter[tuple[tuple[str, bool], ...], tuple[()]]:
    """Declare a sort order such as `-study_date,patient_name`: each field, and whether it descends."""

    def parse(text: str) -> tuple[tuple[str, bool], ...]:
        order: dict[str, bool] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            field = part.removeprefix("-")
            if field not in fields:
                known = ", ".join(fields)
                raise Invalid(f"can't sort by {field[:_SHOWN]!r}; this list can be sorted by {known}", field="sort")
            if field in order:
                raise Invalid(f"{field!r} occurs twice in the sort order", field="sort")
            order[field] = part.startswith("-")
        return tuple(order.items())

    one = f" *(-?({'|'.join(map(re.escape, fields))}) *)?"
    twice = r"(.*,)? *-?(\w+) *(,.*)?, *-?\2 *(,.*)?$"
    schema = {"type": "string", "pattern": f"^(?!{twice}){one}(,{one})*$"}
    description = "Fields to sort by, separated by commas; `-` before a field sorts in descending order."
    return Parameter("sort", description, (), schema, parse)


class Paging:
    """Parameters `limit` and `offset` of a list.

    Parameters
    ----------
    many : str
        Plural of the listed things, for the description.
    """

    def __init__(self, many: str) -> None:
        self._limit = integer_parameter("limit", f"Most {many} to return.", DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
        self._offset = integer_parameter("offset", f"Number of {many} to skip.", 0, low=0, high=MAX_OFFSET)
        self.parameters = (self._limit, self._offset)

    def of(self, request: QuerySource) -> tuple[int, int]:
        """Read limit and offset. Raises `Invalid`."""
        return self._limit.of(request), self._offset.of(request)


def _with_default(schema: dict[str, Any], default: object) -> Schema:
    return schema if default is None else {**schema, "default": default}
