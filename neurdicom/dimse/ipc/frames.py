"""Messages between the server and a DIMSE process, in the form of `wire`.

Both sides call verbs of the other. The control part is one of

    {"ask": number, "verb": name, "arguments": {...}}     a call; number 0 expects no answer
    {"answer": number, "result": ...}
    {"answer": number, "error": {"code", "message", "field", "retryable"}}
    {"event": number, "data": ...}                        before the answer, to the server only
    {"cancel": number}                                    from the server only
"""

from typing import Any, Final

from neurdicom import errors, wire
from neurdicom.errors import NeurdicomError, PeerFailed, TooManyAttempts

#: Most bytes of either part; the header of an instance is the longest that is sent.
LONGEST: Final = 256 << 20


def _by_code(base: type[NeurdicomError]) -> dict[str, type[NeurdicomError]]:
    found = {base.code: base}
    for kind in base.__subclasses__():
        if kind is not TooManyAttempts:
            found = _by_code(kind) | found
    return found


_ERRORS: Final = _by_code(NeurdicomError)


def unpack_head(head: bytes) -> tuple[int, int]:
    """Decode the lengths of the parts that follow. Raises `errors.Malformed` if one is above `LONGEST`."""
    control, body = wire.HEAD.unpack(head)
    if control > LONGEST or body > LONGEST:
        raise errors.Malformed(
            f"a message between the server and a DIMSE process has parts of {control} and {body} bytes; "
            f"at most {LONGEST} each are expected"
        )
    return control, body


def error_to_wire(error: NeurdicomError) -> dict[str, Any]:
    """Convert one of our errors to its wire form."""
    retryable = getattr(error, "retryable", None)
    return {"code": error.code, "message": str(error), "field": error.field, "retryable": retryable}


def error_from_wire(json: dict[str, Any]) -> NeurdicomError:
    """Make the error, of the same class, from its wire form."""
    kind = _ERRORS.get(json["code"], NeurdicomError)
    if issubclass(kind, PeerFailed):
        return kind(json["message"], retryable=bool(json["retryable"]))
    return kind(json["message"], field=json["field"])
