"""JSON of a call's parameters, encoded in pieces where they are large, so that other threads run between these."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson

#: Characters of a text, or items of a list, from which on a parameter is large: the event loop would wait for it.
_LARGE: Final = 10_000


def is_large(params: Mapping[str, Any]) -> bool:
    """Tell whether encoding some parameters takes so long that a thread does it."""
    return len(params) > _LARGE or any(
        isinstance(value, str | list) and len(value) > _LARGE for value in params.values()
    )


def without_large(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with null in place of large ones."""
    return {name: None if is_large({name: value}) else value for name, value in params.items()}


def json_pieces(params: Mapping[str, Any], dumps: Callable[[Any], bytes]) -> Iterator[bytes]:
    """Yield the JSON of parameters, of long lists `_LARGE` items at a time.

    Parameters
    ----------
    params : Mapping[str, Any]
        Parameters by name.
    dumps : callable
        Encodes a value, without spaces between the items of a list.
    """
    before = b"{"
    for name, value in params.items():
        yield before + dumps(name) + b":"
        if isinstance(value, list) and len(value) > _LARGE:
            for start in range(0, len(value), _LARGE):
                yield (b"," if start else b"[") + dumps(value[start : start + _LARGE])[1:-1]
            yield b"]"
        else:
            yield dumps(value)
        before = b","
    yield b"}" if params else b"{}"


def encoded(params: Mapping[str, Any]) -> orjson.Fragment:
    """Encode parameters as a part of a message. Raises `orjson.JSONEncodeError` for what JSON can't carry."""
    return orjson.Fragment(b"".join(json_pieces(params, _dumps)))


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
