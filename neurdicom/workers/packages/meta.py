"""META.json of a package: its size limit, its JSON and its schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import orjson

from neurdicom.errors import Invalid
from neurdicom.schema.problems import invalid_of
from neurdicom.schema.validator import first_error

#: Most bytes of a META.json.
MAX_META = 1024 * 1024

#: Fields in which an author asks for more or less than the server gives.
LIMITS = ("timeout", "memory")


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
        meta = orjson.loads(data.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise Invalid(f"META.json is not JSON in UTF-8: {error}", field="META.json") from error
    try:
        orjson.dumps([meta])  # as lists of packages have it
    except orjson.JSONEncodeError as error:
        raise Invalid("META.json nests more than 250 objects or lists in each other", field="META.json") from error
    return meta


def check_meta(meta: Any, validator: Any) -> None:
    """Validate a META.json against its schema. Raises `Invalid`; its `field` is the dotted path of the fault."""
    error = first_error(validator, meta)
    if error is not None:
        wrong = invalid_of(error, places=True)
        raise Invalid(f"META.json: {wrong}", field=wrong.field or "META.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageMeta:
    """The fields of META.json that plugins and models share.

    Attributes
    ----------
    guid : str
        The package's id in the API.
    name, author, version, info, help : str
        As given; empty if absent.
    timeout, memory : float or None
        Seconds and MiB that the author asks for.
    meta : Mapping[str, Any]
        The whole file, fields unknown to us included.
    """

    guid: str
    name: str
    author: str
    version: str = ""
    info: str = ""
    help: str = ""
    timeout: float | None = None
    memory: float | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_api(self) -> dict[str, Any]:
        """Return META.json as the API does, with default values filled in."""
        return {**self.meta, **{name: getattr(self, name) for name in ("name", "version", "author", "info", "help")}}

    def to_document(self) -> str:
        """Return META.json as text."""
        return orjson.dumps(self.meta).decode()


def package_fields(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Read the fields of `PackageMeta`, all but `guid`, of a META.json that meets its schema."""
    texts = {name: meta.get(name) or "" for name in ("name", "author", "info", "help")}
    version = meta.get("version")
    return {
        **texts,
        "version": "" if version is None else str(version),
        **{name: meta.get(name) for name in LIMITS},
        "meta": meta,
    }
