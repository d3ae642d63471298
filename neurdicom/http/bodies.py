"""JSON bodies, each declared once: the schema describes it in OpenAPI, and checks what arrives."""

from collections.abc import Mapping
from typing import Any, Protocol, cast

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from neurdicom.errors import Invalid
from neurdicom.http.parameters import Schema

_LONGEST_MESSAGE = 400


class JsonSource(Protocol):
    """A request with a JSON object as its body."""

    def json_body(self) -> dict[str, Any]:
        """Read the body as a JSON object. Raises `Malformed` or `Invalid`."""


class JsonBody:
    """A JSON object of a schema.

    Parameters
    ----------
    schema : Schema
        JSON Schema, draft 2020-12, of an object.
    """

    def __init__(self, schema: Schema) -> None:
        self._validator = Draft202012Validator(dict(schema))
        self.content: Mapping[str, Schema] = {"application/json": schema}

    def of(self, request: JsonSource) -> dict[str, Any]:
        """Read the body of a request. Raises `Malformed`, or `Invalid` that names the field."""
        body = request.json_body()
        error = best_match(self._validator.iter_errors(body))
        if error is not None:
            raise _invalid(error)
        return body


def _invalid(error: ValidationError) -> Invalid:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        given = cast(dict[str, Any], error.instance)
        path.append(next(name for name in cast(list[str], error.validator_value) if name not in given))
        return Invalid(f"{'.'.join(path)} is missing", field=".".join(path))
    if error.validator == "additionalProperties":
        known = cast(dict[str, Any], cast(dict[str, Any], error.schema)["properties"])
        unknown = next(name for name in cast(dict[str, Any], error.instance) if name not in known)[:64]
        return Invalid(f"unknown field {unknown!r}; known are {', '.join(known)}", field=".".join([*path, unknown]))
    where = ".".join(path)
    if error.validator == "type":  # without the value, which may be a secret
        return Invalid(f"{where} is no {error.validator_value}", field=where or None)
    return Invalid(f"{where}: {error.message[:_LONGEST_MESSAGE]}" if where else error.message, field=where or None)
