"""Bodies of requests, parsed: JSON that is declared, and forms."""

import gc
from typing import Any

import orjson
from tornado.httputil import HTTPHeaders, HTTPInputError, parse_body_arguments

from neurdicom.errors import Invalid, Malformed
from neurdicom.schema import Checked, Declaration

#: Number of bytes from which on a body is parsed and checked in a thread, since that would delay the event loop.
LARGE_BODY = 1024


def read_json(body: bytes | bytearray, declared: Declaration) -> Checked:
    """Parse a body as the JSON object that is declared. Raises `Malformed` or `Invalid`."""
    try:
        value = _parsed(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise Invalid(f"the body is a JSON {type(value).__name__}; an object is expected")
    return declared.check(value)


def read_form(body: bytes | bytearray, headers: HTTPHeaders) -> dict[str, list[str]]:
    """Parse the fields of a form body, urlencoded or multipart, without files, by the header of its request.

    Raises `Malformed` where it can't be parsed, or is not UTF-8.
    """
    content_type = headers.get("Content-Type", "")
    arguments: dict[str, list[bytes]] = {}
    try:
        parse_body_arguments(content_type, bytes(body), arguments, {}, headers)
        if not content_type.lower().startswith("multipart/"):  # Tornado reads these names as Latin-1
            arguments = {name.encode("latin-1").decode(): values for name, values in arguments.items()}
        return {name: [value.decode() for value in values] for name, values in arguments.items()}
    except (HTTPInputError, UnicodeDecodeError, ValueError) as error:
        raise Malformed(f"the form can't be parsed: {error}") from error


def _parsed(body: bytes | bytearray) -> Any:
    """Parse JSON, without collecting garbage meanwhile: of many small lists that takes ten times as long."""
    if len(body) <= LARGE_BODY or not gc.isenabled():
        return orjson.loads(body)
    gc.disable()
    try:
        return orjson.loads(body)
    finally:
        gc.enable()
