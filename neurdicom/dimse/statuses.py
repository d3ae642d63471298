"""The table from our errors to DIMSE statuses (PS3.7 C, PS3.4 B.2.3)."""

from collections.abc import Mapping
from typing import Any

from pydicom.datadict import tag_for_keyword

from neurdicom.dicom.query.attributes import BY_FIELD
from neurdicom.errors import (
    Conflict,
    Damaged,
    Forbidden,
    Invalid,
    Malformed,
    NeurdicomError,
    NotAvailable,
    NotDicom,
    NotFound,
    PeerFailed,
    TooLarge,
    Unavailable,
)

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115
SOP_CLASS_NOT_SUPPORTED = 0x0122
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_ACTION = 0x0123
NOT_AUTHORIZED = 0x0124
UNRECOGNIZED_OPERATION = 0x0211
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

# Of C-FIND, C-MOVE and C-GET (PS3.4 C.4).
PENDING = 0xFF00
PENDING_UNSUPPORTED = 0xFF01
CANCEL = 0xFE00
UNABLE_TO_PROCESS = 0xC000
NO_COUNT = 0xA701
NO_SUBOPERATIONS = 0xA702
UNKNOWN_DESTINATION = 0xA801
SUBOPERATIONS_WARNING = 0xB000

#: Most characters of an Error Comment (0000,0902), VR LO.
LONGEST_COMMENT = 64


class DoesNotMatch(Invalid):
    """A dataset does not match its request: another SOP class or instance."""


class UnknownDestination(NeurdicomError):
    """The destination of a C-MOVE is not a known node."""


class NoSuchAction(Invalid):
    """The SOP class does not have the requested action."""


#: Class of error to status; an error of another class has the status of its nearest base class.
TABLE: dict[type[NeurdicomError], int] = {
    NeurdicomError: PROCESSING_FAILURE,
    Unavailable: OUT_OF_RESOURCES,
    TooLarge: OUT_OF_RESOURCES,
    PeerFailed: OUT_OF_RESOURCES,
    DoesNotMatch: DOES_NOT_MATCH,
    Invalid: DOES_NOT_MATCH,
    Conflict: DOES_NOT_MATCH,
    Malformed: CANNOT_UNDERSTAND,
    NotDicom: CANNOT_UNDERSTAND,
    NotAvailable: CANNOT_UNDERSTAND,
    NotFound: PROCESSING_FAILURE,
    Damaged: PROCESSING_FAILURE,
    Forbidden: NOT_AUTHORIZED,
}

#: The same for C-FIND, whose other failures are all "Unable to process" (PS3.4 C.4.1.1.4).
FIND = {kind: UNABLE_TO_PROCESS if status == PROCESSING_FAILURE else status for kind, status in TABLE.items()}

#: The same for C-MOVE and C-GET (PS3.4 C.4.2.1.5, C.4.3.1.4).
RETRIEVE = FIND | {UnknownDestination: UNKNOWN_DESTINATION, TooLarge: NO_COUNT}

#: The same for operations on normalized instances (DIMSE-N), which have only the general codes.
NORMALIZED: dict[type[NeurdicomError], int] = {
    NeurdicomError: PROCESSING_FAILURE,
    Unavailable: RESOURCE_LIMITATION,
    Conflict: RESOURCE_LIMITATION,
    Invalid: INVALID_ARGUMENT,
    Malformed: INVALID_ARGUMENT,
    NoSuchAction: NO_SUCH_ACTION,
    NotFound: NO_SUCH_INSTANCE,
    Forbidden: NOT_AUTHORIZED,
}


def code_of(error: NeurdicomError, table: Mapping[type[NeurdicomError], int] = TABLE) -> int:
    """Look up the status code of an error."""
    return next(table[kind] for kind in type(error).__mro__ if kind in table)


def write_error(response: Any, error: NeurdicomError, table: Mapping[type[NeurdicomError], int] = TABLE) -> None:
    """Write an error into a response: Status, Error Comment and, where an element is wrong, Offending Element.

    Parameters
    ----------
    response : DIMSE primitive
        The response; changed in place.
    error : NeurdicomError
        The error.
    table : Mapping
        Class of error to status: `TABLE` or `NORMALIZED`.
    """
    response.Status = code_of(error, table)
    response.ErrorComment = comment(str(error))
    keyword = BY_FIELD[error.field].keyword if error.field in BY_FIELD else error.field
    tag = tag_for_keyword(keyword) if keyword else None
    if tag is not None and response.Status in (DOES_NOT_MATCH, CANNOT_UNDERSTAND):
        response.OffendingElement = [tag]


def comment(text: str) -> str:
    """Convert a text to an Error Comment: at most 64 ASCII characters, without control characters or backslashes."""
    plain = "".join(c if c.isprintable() and c != "\\" else " " for c in text.encode("ascii", "replace").decode())
    return plain if len(plain) <= LONGEST_COMMENT else plain[: LONGEST_COMMENT - 3] + "..."
