"""META.json of a package: its size limit, its JSON and its schema."""

from functools import cache
from importlib import resources
from typing import Any, cast

import orjson
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.exceptions import best_match

from neurdicom.errors import Invalid

#: Most bytes of a META.json.
MAX_META = 1024 * 1024

_LONGEST_MESSAGE = 400


@cache
def plugin_schema() -> dict[str, Any]:
    """Load the JSON Schema (draft 2020-12) of a plugin's META.json."""
    text = resources.files(__package__).joinpath("manifest.schema.json").read_bytes()
    loaded: dict[str, Any] = orjson.loads(text)
    return loaded


def parse_meta(data: bytes) -> Any:
    """Parse the bytes of a META.json. Raises `Invalid` when they are not JSON in UTF-8, or too many."""
    if len(data) > MAX_META:
        raise Invalid(f"META.json has {len(data)} bytes; at most {MAX_META} are taken", field="META.json")
    try:
        return orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"META.json is not JSON in UTF-8: {error}", field="META.json") from error


def check_meta(meta: Any, validator: Draft202012Validator) -> None:
    """Validate a META.json against its schema. Raises `Invalid`; its `field` is the dotted path of the fault."""
    error = best_match(validator.iter_errors(meta))
    if error is not None:
        raise _invalid(error)


def _invalid(error: ValidationError) -> Invalid:
    path = [str(part) for part in error.absolute_path]
    if error.validator == "required":
        required = cast("list[str]", error.validator_value)
        path.append(next(name for name in required if name not in cast("dict[str, Any]", error.instance)))
        return Invalid(f"META.json: {'.'.join(path)} is missing", field=".".join(path))
    where = ".".join(path)
    message = error.message
    if len(message) > _LONGEST_MESSAGE:
        message = f"{message[: _LONGEST_MESSAGE // 2]} ... {message[-_LONGEST_MESSAGE // 2 :]}"
    return Invalid(f"META.json: {where}: {message}" if where else f"META.json: {message}", field=where or "META.json")
