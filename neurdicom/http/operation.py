"""Operations: the one source for dispatch, access and the OpenAPI description of each HTTP method of a route."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from neurdicom.http.parameters import Parameter, Schema
from neurdicom.security.access import Access

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

#: HTTP methods that a handler may have; HEAD goes with GET.
METHODS = ("get", "post", "put", "delete", "options")

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
BINARY: Schema = {"type": "string", "format": "binary"}


@dataclass(frozen=True, slots=True)
class Operation:
    """HTTP method of a route, with its access and description.

    Attributes
    ----------
    summary, description : str
        Texts of the OpenAPI description.
    tag : str
        Group in the OpenAPI description.
    access : Access
        Access that the caller needs.
    query : tuple of Parameter
        Its query parameters; any other one is refused, unless `open_query` is set.
    open_query : bool
        Whether the handler checks the names of query parameters itself (filters, a plugin's parameters).
    body : Mapping[str, Schema]
        Media type to schema of the request's body; empty means no body.
    answers : Mapping[int, str | Mapping]
        Status to a description, or to an OpenAPI response object. Problem details are added automatically.
    """

    summary: str
    tag: str
    access: Access = Access.USER
    description: str = ""
    query: tuple[Parameter[Any, Any], ...] = ()
    open_query: bool = False
    body: Mapping[str, Schema] = field(default_factory=dict)
    answers: Mapping[int, str | Mapping[str, Any]] = field(default_factory=lambda: {200: "Done."})
    query_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "query_names", frozenset(parameter.name for parameter in self.query))


def operation(
    summary: str,
    *,
    tag: str,
    access: Access = Access.USER,
    description: str = "",
    query: tuple[Parameter[Any, Any], ...] | list[Parameter[Any, Any]] = (),
    open_query: bool = False,
    body: Mapping[str, Schema] | None = None,
    answers: Mapping[int, str | Mapping[str, Any]] | None = None,
) -> Callable[[Method], Method]:
    """Declare an HTTP method of a handler as an operation.

    Parameters
    ----------
    summary : str
        One line of the OpenAPI description.
    tag : str
        Group in the OpenAPI description.
    access : Access
        Access that the caller needs.
    description : str
        Text of the OpenAPI description, in CommonMark.
    query : sequence of Parameter
        Its query parameters.
    open_query : bool
        Whether the handler checks the names of query parameters itself.
    body : Mapping[str, Schema], optional
        Media type to schema of the request's body.
    answers : Mapping[int, str or Mapping], optional
        Status to a description, or to an OpenAPI response object.
    """
    described = Operation(
        summary, tag, access, description, tuple(query), open_query, body or {}, answers or {200: "Done."}
    )

    def describe(method: Method) -> Method:
        method.operation = described  # type: ignore[attr-defined]
        return method

    return describe
