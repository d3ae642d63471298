"""One line in the log for each operation that a peer requests, and one for the C-STORE requests of an association.

A line has the peer's AE title and address, what was done at which level, how much it was, and the outcome as the status
of the last response; never keys of queries, which hold patients' names.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from neurdicom.dimse.statuses import PENDING, PENDING_UNSUPPORTED
from neurdicom.dimse.ul.association import Association
from neurdicom.dimse.ul.exchange import Exchange

log = logging.getLogger(__name__)


class LoggedExchange(Exchange):
    """Exchange that remembers what the log says of the operation that it serves.

    Attributes
    ----------
    level : str
        Query/Retrieve Level of the request; empty where it has none.
    details : dict
        Further fields of the line.
    """

    def __init__(self, assoc: Association) -> None:
        super().__init__(assoc)
        self.level = ""
        self.details: dict[str, Any] = {}
        self.matches = 0
        self.last: Any = None

    def respond(self, primitive: Any, context_id: int) -> None:
        """Send a response, and remember it. Raises `Disconnected`."""
        super().respond(primitive, context_id)
        self.matches += primitive.Status in (PENDING, PENDING_UNSUPPORTED)
        self.last = primitive


@contextmanager
def logged(assoc: Association, request: Any) -> Iterator[LoggedExchange]:
    """Serve a request within the context, and log the operation at its end.

    Parameters
    ----------
    assoc : Association
        The association.
    request : DIMSE primitive
        The request.

    Yields
    ------
    LoggedExchange
        To be used for the responses.
    """
    exchange = LoggedExchange(assoc)
    begun = time.monotonic()
    try:
        yield exchange
    finally:
        kind, last = type(request).__name__.replace("_", "-"), exchange.last
        fields: dict[str, Any] = {**exchange.details}
        if kind == "C-FIND":
            fields["count"] = exchange.matches
        elif kind in ("C-MOVE", "C-GET") and last is not None:
            fields |= {
                "count": (last.NumberOfCompletedSuboperations or 0) + (last.NumberOfWarningSuboperations or 0),
                "failed": last.NumberOfFailedSuboperations or 0,
            }
        if comment := getattr(last, "ErrorComment", None):
            fields["comment"] = str(comment)
        status = "none" if last is None else f"{last.Status:04X}"
        write_operation(assoc, f"{kind} {exchange.level}".strip(), status, begun, **fields)


def write_operation(assoc: Association, operation: str, status: str, begun: float, **fields: Any) -> None:
    """Write the line of an operation.

    Parameters
    ----------
    assoc : Association
        The association.
    operation : str
        Its name, and level where there is one.
    status : str
        Status of the last response in hexadecimal; `none` where there was none, since the peer went away.
    begun : float
        When it began, by the monotonic clock.
    **fields
        Further fields.
    """
    if not log.isEnabledFor(logging.INFO):
        return
    duration = round((time.monotonic() - begun) * 1000, 1)
    peer = assoc.requestor if assoc.is_acceptor else assoc.acceptor
    where = {"ae": assoc.peer, "address": peer.address}
    log.info("%s", operation, extra={**where, "status": status, "ms": duration, **fields})


@dataclass(slots=True)
class StoreCounts:
    """C-STORE requests of one association.

    Attributes
    ----------
    stored, refused : int
        Instances that were stored, duplicates included, and refused.
    bytes : int
        Bytes of those that were stored.
    is_released : bool
        Whether the association ended by a release.
    begun : float
        When the association began, by the monotonic clock.
    """

    stored: int = 0
    refused: int = 0
    bytes: int = 0
    is_released: bool = False
    begun: float = field(default_factory=time.monotonic)

    def write(self, assoc: Association) -> None:
        """Write the line, once the association has ended; none if nothing was sent on it."""
        if not self.stored + self.refused:
            return
        end = "released" if self.is_released else "aborted"
        counts = {"count": self.stored, "refused": self.refused, "bytes": self.bytes, "association": end}
        status = "0000" if not self.refused else "failures"
        write_operation(assoc, "C-STORE", status, self.begun, **counts)
