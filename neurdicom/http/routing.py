"""Routes and what is said of them: the one source for dispatch, access and the OpenAPI description."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from tornado.routing import URLSpec

from neurdicom.security.access import Access

if TYPE_CHECKING:
    from neurdicom.http.base import ApiHandler, Services

Schema = Mapping[str, Any]
Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

#: HTTP methods that a handler may have; HEAD goes with GET.
METHODS = ("get", "post", "put", "delete", "options")

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
BINARY: Schema = {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A query parameter of an operation; `schema` is JSON Schema."""

    name: str
    description: str
    schema: Schema = field(default_factory=lambda: STRING)
    required: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """What one HTTP method of one route does, and who may call it.

    Attributes
    ----------
    query : tuple of Parameter
        The query parameters that it takes; any other one is refused, unless `open_query` is set.
    open_query : bool
        The handler checks the names of query parameters itself (filters, a plugin's parameters).
    body : Mapping[str, Schema]
        Media type to schema of the request's body; empty means no body.
    answers : Mapping[int, str | Mapping]
        Status to a description, or to an OpenAPI response object. Problem details are added by themselves.
    """

    summary: str
    tag: str
    access: Access = Access.USER
    description: str = ""
    query: tuple[Parameter, ...] = ()
    open_query: bool = False
    body: Mapping[str, Schema] = field(default_factory=dict)
    answers: Mapping[int, str | Mapping[str, Any]] = field(default_factory=lambda: {200: "Done."})


def operation(
    summary: str,
    *,
    tag: str,
    access: Access = Access.USER,
    description: str = "",
    query: tuple[Parameter, ...] | list[Parameter] = (),
    open_query: bool = False,
    body: Mapping[str, Schema] | None = None,
    answers: Mapping[int, str | Mapping[str, Any]] | None = None,
) -> Callable[[Method], Method]:
    """Describe an HTTP method of a handler; see `Operation`."""
    described = Operation(
        summary, tag, access, description, tuple(query), open_query, body or {}, answers or {200: "Done."}
    )

    def describe(method: Method) -> Method:
        method.operation = described  # type: ignore[attr-defined]
        return method

    return describe


@dataclass(frozen=True, slots=True)
class Route:
    """A path template such as `/api/studies/{id}`, and the handler that answers there.

    With `deep` the last placeholder takes the rest of the path, slashes included.
    """

    path: str
    handler: "type[ApiHandler]"
    deep: bool = False

    def as_url_spec(self, services: "Services") -> URLSpec:
        """Tornado's form of the route; each `{name}` becomes a positional argument."""
        pattern = "".join(
            "([^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", self.path)
        )
        if self.deep:
            pattern = pattern.removesuffix("([^/]+)") + "(.+)"
        return URLSpec(pattern + "/?", self.handler, {"services": services})

    @property
    def names(self) -> list[str]:
        """The placeholders."""
        return re.findall(r"\{(\w+)\}", self.path)

    def operations(self) -> dict[str, Operation]:
        """HTTP method in lower case to its operation, in the order of RFC 9110."""
        found = {method: getattr(getattr(self.handler, method), "operation", None) for method in METHODS}
        return {method: described for method, described in found.items() if described}
