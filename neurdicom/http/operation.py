"""Operations: the one source for dispatch, access and the OpenAPI description of each HTTP method of a route."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from neurdicom.http.codings import GZIP
from neurdicom.http.parameters import AnyParameter
from neurdicom.schema import Declaration, Schema
from neurdicom.security.access import Access

Method = TypeVar("Method", bound=Callable[..., Awaitable[None]])

#: HTTP methods that a handler may have; HEAD goes with GET.
METHODS = ("get", "post", "put", "delete", "options")

#: Largest number of bytes of a body in memory; a handler of larger bodies streams them in its own
#: `data_received`.
MAX_BODY = 16 * 1024 * 1024
#: Largest number of bytes of a body that is checked against a schema, which limits the time that this takes.
MAX_JSON = 1024 * 1024

JSON = "application/json"

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
BINARY: Schema = {"type": "string", "format": "binary"}
#: A file that is uploaded.
FILE: Schema = {**BINARY, "minLength": 1}


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
    query : tuple of Parameter or ParameterGroup
        Its query parameters; any other one is refused, unless `open_query` is set.
    open_query : bool
        Whether the handler checks the names of query parameters itself (filters, a plugin's parameters).
    path : Mapping[str, Schema]
        Schemas of placeholders in the path that are no ids; others are text.
    json : Declaration or None
        Declaration of the body as JSON; `ApiHandler.json_body` returns only what meets it.
    body : Mapping[str, Schema]
        Media type to schema of other forms of the body.
    answers : Mapping[int, str | Mapping]
        Status to a description, or to an OpenAPI response object. Problem details are added automatically.
    """

    summary: str
    tag: str
    access: Access = Access.USER
    description: str = ""
    query: tuple[AnyParameter, ...] = ()
    open_query: bool = False
    path: Mapping[str, Schema] = field(default_factory=dict)
    json: Declaration | None = None
    body: Mapping[str, Schema] = field(default_factory=dict)
    answers: Mapping[int, str | Mapping[str, Any]] = field(default_factory=lambda: {200: "Done."})
    query_names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        if JSON in self.body:
            raise ValueError(f"{self.summary}: JSON is declared as `json`, so that it is checked")
        object.__setattr__(self, "query_names", frozenset(name for parameter in self.query for name in parameter.names))

    @property
    def content(self) -> Mapping[str, Schema]:
        """Media type to schema of all forms of the body; empty means no body."""
        return dict(self.body) if self.json is None else {JSON: self.json.schema, **self.body}

    @property
    def codings(self) -> frozenset[str]:
        """Content codings of bodies that are decoded: gzip of files, which are streamed."""
        return frozenset({GZIP}) if FILE in self.body.values() else frozenset()

    @property
    def max_body(self) -> int:
        """Largest number of bytes of the body, unless it is streamed."""
        return MAX_JSON if self.json is not None and not self.body else MAX_BODY


def operation(
    summary: str,
    *,
    tag: str,
    access: Access = Access.USER,
    description: str = "",
    query: Sequence[AnyParameter] = (),
    open_query: bool = False,
    path: Mapping[str, Schema] | None = None,
    json: Declaration | None = None,
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
    path : Mapping[str, Schema], optional
        Schemas of placeholders in the path that are no ids.
    json : Declaration, optional
        Declaration of the body as JSON.
    body : Mapping[str, Schema], optional
        Media type to schema of the request's body.
    answers : Mapping[int, str or Mapping], optional
        Status to a description, or to an OpenAPI response object.
    """
    described = Operation(
        summary=summary,
        tag=tag,
        access=access,
        description=description,
        query=tuple(query),
        open_query=open_query,
        path=path or {},
        json=json,
        body=body or {},
        answers=answers or {200: "Done."},
    )

    def describe(method: Method) -> Method:
        method.operation = described  # type: ignore[attr-defined]
        return method

    return describe
