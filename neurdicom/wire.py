"""The form of messages between our processes: a JSON control part and a body of raw bytes, after their lengths.

Both lengths are little-endian: 4 bytes for the control part, 8 for the body. Nothing is ever unpickled.
"""

import struct
from collections.abc import Mapping
from typing import Any, Final

import orjson

HEAD: Final = struct.Struct("<IQ")


def dumps(control: Mapping[str, Any]) -> bytes:
    """Encode a control part as JSON; numpy scalars and arrays are converted."""
    return orjson.dumps(control, option=orjson.OPT_SERIALIZE_NUMPY)


def pack(control: Mapping[str, Any], body: bytes | memoryview = b"") -> bytes:
    """Encode a message."""
    text = dumps(control)
    return b"".join((HEAD.pack(len(text), len(body)), text, body))


def unpack(data: bytes | memoryview, start: int = 0) -> tuple[dict[str, Any], int, int]:
    """Decode a message among other bytes, none of which is believed.

    Parameters
    ----------
    data : bytes-like
        The bytes.
    start : int
        Offset of the message.

    Returns
    -------
    control : dict
    body, end : int
        Offsets of the body and of what follows it.

    Raises
    ------
    ValueError
        There is no whole message, or its control part is no JSON object.
    """
    text = start + HEAD.size
    if text > len(data):
        raise ValueError(f"a message at {start} of {len(data)} bytes is cut off in its head")
    length, size = HEAD.unpack_from(data, start)
    body = text + length
    if body + size > len(data):
        raise ValueError(f"a message of {length} and {size} bytes at {start} of {len(data)} bytes is cut off")
    control = orjson.loads(data[text:body])
    if not isinstance(control, dict):
        raise ValueError(f"the control part of a message is {type(control).__name__}; an object is expected")  # noqa: TRY004 (as of what is no JSON)
    return control, body, body + size
