"""SCP of C-MOVE and C-GET (PS3.4 C.4.2, C.4.3)."""

import sys
from collections.abc import Generator, Iterator
from contextlib import closing
from io import BytesIO
from typing import Any, cast

from pynetdicom.dimse_primitives import C_GET, C_MOVE

from neurdicom.dicom.identity import uid_of
from neurdicom.dicom.query.attributes import Level
from neurdicom.dimse.identifier import (
    LEVEL_NAMES,
    decode_identifier,
    encode_identifier,
    given_keys,
    level_of,
    model_of,
    unique_keys,
    values_of,
)
from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scp.find import fill_error
from neurdicom.dimse.scp.operation_log import LoggedExchange
from neurdicom.dimse.scu.requestor import Requestor
from neurdicom.dimse.scu.send import Instance, StorageSender, SubOperation, SubOperationCounts
from neurdicom.dimse.statuses import (
    CANCEL,
    NO_SUBOPERATIONS,
    PENDING,
    RETRIEVE,
    SUBOPERATIONS_WARNING,
    SUCCESS,
    UNABLE_TO_PROCESS,
    UnknownDestination,
)
from neurdicom.dimse.statuses import comment as as_comment
from neurdicom.dimse.ul.exchange import Originator
from neurdicom.errors import NeurdicomError, PeerFailed, TooLarge

#: Most sub-operations that a response can count (PS3.7 9.1.3).
MOST_INSTANCES = 0xFFFF

_FAILED_LIST = "00080058"


class RetrieveOperation:
    """The operation of one C-MOVE or C-GET request.

    Parameters
    ----------
    exchange : LoggedExchange
        The association of the request.
    request : C_MOVE or C_GET
        The request.
    context : PresentationContext
        Its presentation context.
    link : Link
        The connection to the server.
    requestor : Requestor
        Opens associations with destinations.
    relational : bool
        True to serve retrievals that are not hierarchical, too.
    """

    def __init__(
        self,
        exchange: LoggedExchange,
        request: C_MOVE | C_GET,
        context: Any,
        link: Link,
        requestor: Requestor,
        *,
        relational: bool,
    ) -> None:
        self._exchange = exchange
        self._request = request
        self._context = context
        self._syntax = str(context.transfer_syntax[0])
        self._link = link
        self._requestor = requestor
        self._relational = relational

    def serve(self) -> None:
        """Send the requested instances, with a response after each.

        Raises
        ------
        Disconnected
            The requestor ended the association.
        """
        instances: list[Instance] = []
        try:
            remote = self._destination()
            instances = self._select()
            counts = SubOperationCounts(len(instances))
            with closing(self._send(remote, instances)) as sent:
                self._follow(sent, counts)
        except PeerFailed as error:
            self._fail_all(error, instances)
        except NeurdicomError as error:
            self._fail(error)

    def _destination(self) -> Remote | None:
        """Look up the node that a C-MOVE names; None for a C-GET."""
        if isinstance(self._request, C_GET):
            return None
        ae_title = str(self._request.MoveDestination or "").strip()
        self._exchange.details["destination"] = ae_title
        node = self._link.call("find_node", ae_title=ae_title) if ae_title else None
        if node is None:
            raise UnknownDestination(f"Move Destination {ae_title} is not a known node")
        return Remote.from_wire(node)

    def _select(self) -> list[Instance]:
        data = self._request.Identifier
        dataset = decode_identifier(data.getvalue() if data else b"", self._syntax)
        model = model_of(str(self._request.AffectedSOPClassUID))
        relational = self._relational
        keys = given_keys(dataset, model) if relational else unique_keys(dataset, model, level_of(dataset, model))
        self._exchange.level = LEVEL_NAMES[list(keys)[-1]]
        asked = {level.value: values for level, values in keys.items()}
        patients = [] if Level.PATIENT in model.levels else values_of(dataset, Level.PATIENT)
        instances: list[Instance] = []
        after = None
        while len(instances) <= MOST_INSTANCES:
            page = self._link.call("select", keys=asked, patients=patients, after=after)
            instances += [(instance, sys.intern(kind), sys.intern(syntax)) for instance, kind, syntax in page["items"]]
            after = page["last"]
            if after is None:
                return instances
        raise TooLarge(f"more than {MOST_INSTANCES} instances match, the most of a request")

    def _send(self, remote: Remote | None, instances: list[Instance]) -> Generator[SubOperation, None, None]:
        if remote is None:
            return StorageSender(self._link).on(self._exchange, instances)
        originator = Originator(self._exchange.assoc.requestor.ae_title, cast(int, self._request.MessageID))
        return StorageSender(self._link, originator).to_remote(self._requestor, remote, instances)

    def _follow(self, sent: Iterator[SubOperation], counts: SubOperationCounts) -> None:
        message_id = cast(int, self._request.MessageID)
        comment, details = "", self._exchange.details
        details["bytes"] = 0
        while counts.remaining:
            if self._exchange.is_cancelled(message_id):
                self._respond(CANCEL, counts, failures=True)
                return
            each = next(sent)
            counts.add(each)
            details["bytes"] += each.size
            comment = comment or each.reason or ""
            if counts.remaining:
                self._respond(PENDING, counts)
        if not counts.failed and not counts.warning:
            self._respond(SUCCESS, counts)
        elif counts.completed or counts.warning:
            self._respond(SUBOPERATIONS_WARNING, counts, failures=True, comment=comment)
        else:
            self._respond(NO_SUBOPERATIONS, counts, failures=True, comment=comment)

    def _fail_all(self, error: PeerFailed, instances: list[Instance]) -> None:
        """Send the response for the case that no sub-operation could be started."""
        counts = SubOperationCounts(0, failed=len(instances), failures=[uid_of(each[0]) for each in instances])
        self._respond(NO_SUBOPERATIONS, counts, failures=True, comment=str(error))

    def _fail(self, error: NeurdicomError) -> None:
        response = self._response(UNABLE_TO_PROCESS, "")
        fill_error(response, error, RETRIEVE)
        self._exchange.respond(response, self._context.context_id)

    def _respond(self, status: int, counts: SubOperationCounts, *, failures: bool = False, comment: str = "") -> None:
        response = self._response(status, comment)
        if status in (PENDING, CANCEL):
            response.NumberOfRemainingSuboperations = counts.remaining
        response.NumberOfCompletedSuboperations = counts.completed
        response.NumberOfFailedSuboperations = counts.failed
        response.NumberOfWarningSuboperations = counts.warning
        if failures and counts.failures:
            # Instances of one UID in several places are counted each, and listed once.
            failed = {_FAILED_LIST: {"vr": "UI", "Value": [*dict.fromkeys(counts.failures)]}}
            response.Identifier = BytesIO(encode_identifier(failed, self._syntax))
        self._exchange.respond(response, self._context.context_id)

    def _response(self, status: int, comment: str) -> Any:
        response: Any = type(self._request)()
        response.MessageIDBeingRespondedTo = self._request.MessageID
        response.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        response.Status = status
        if comment:
            response.ErrorComment = as_comment(comment)
        return response
