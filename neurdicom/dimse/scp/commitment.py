"""SCP of the Storage Commitment Push Model (PS3.4 J): the request (N-ACTION) and the report (N-EVENT-REPORT)."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import orjson
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import build_context, build_role
from pynetdicom.status import code_to_category

from neurdicom.dicom.uids import is_uid
from neurdicom.dimse.identifier import SYNTAXES, decode_identifier, encode_identifier
from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ipc.link import Link, ServerOperation
from neurdicom.dimse.scp.operation_log import LoggedExchange, write_operation
from neurdicom.dimse.scu.requestor import Requestor, as_failure
from neurdicom.dimse.statuses import (
    NORMALIZED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SUCCESS,
    NoSuchAction,
    write_error,
)
from neurdicom.errors import Invalid, Malformed, NeurdicomError, NotFound, PeerFailed

log = logging.getLogger(__name__)

SOP_CLASS = "1.2.840.10008.1.20.1"
SOP_INSTANCE = "1.2.840.10008.1.20.1.1"

#: Action Type ID of a request, and Event Type IDs of a report (PS3.4 J.3.2, J.3.3).
REQUEST = 1
COMPLETE, FAILURES_EXIST = 1, 2

_TRANSACTION, _REFERENCES, _FAILED = "00081195", "00081199", "00081198"
_CLASS, _INSTANCE, _REASON, _RETRIEVE_AE = "00081150", "00081155", "00081197", "00080054"
_MESSAGE_ID = 1


def serve_commitment(exchange: LoggedExchange, request: N_ACTION, context: Any, link: Link) -> None:
    """Answer an N-ACTION request; with success once it is in the catalog, as a job that reports later.

    Parameters
    ----------
    exchange : LoggedExchange
        The association.
    request : N_ACTION
        The request.
    context : PresentationContext
        Its presentation context.
    link : Link
        The connection to the server.

    Raises
    ------
    Disconnected
        The requestor ended the association.
    """
    response: Any = N_ACTION()
    response.MessageIDBeingRespondedTo = request.MessageID
    response.AffectedSOPClassUID = SOP_CLASS
    response.AffectedSOPInstanceUID = request.RequestedSOPInstanceUID
    response.ActionTypeID = request.ActionTypeID
    response.Status = SUCCESS
    try:
        _check(request)
        data = request.ActionInformation.getvalue() if request.ActionInformation else b""
        dataset = _decoded(data, str(context.transfer_syntax[0]))
        transaction, references = _transaction(dataset), _references(dataset)
        exchange.details["count"] = len(references)
        link.call("commit", "\n".join(references).encode("ascii"), calling=exchange.assoc.peer, transaction=transaction)
    except NeurdicomError as error:
        log.warning("a request for storage commitment from %s is refused: %s", exchange.assoc.peer, error)
        write_error(response, error, NORMALIZED)
    exchange.respond(response, context.context_id)


def _check(request: N_ACTION) -> None:
    if request.RequestedSOPInstanceUID != SOP_INSTANCE:
        raise NotFound(f"Requested SOP Instance UID is not {SOP_INSTANCE}")
    if request.ActionTypeID != REQUEST:
        raise NoSuchAction(f"Action Type ID is {request.ActionTypeID}; {REQUEST} is expected")


def _decoded(data: bytes, syntax: str) -> dict[str, Any]:
    try:
        return decode_identifier(data, syntax)
    except NeurdicomError as error:
        raise Malformed(f"the action information can't be read: {error}") from error


def _transaction(dataset: Mapping[str, Any]) -> str:
    return _uid(dataset, _TRANSACTION, "Transaction UID")


def _references(dataset: Mapping[str, Any]) -> list[str]:
    """Write SOP class and instance of each reference as a line of text, each once."""
    element = dataset.get(_REFERENCES, {})
    items = element.get("Value")
    if element.get("vr") != "SQ" or not items:
        raise Invalid("Referenced SOP Sequence is missing or empty")
    found = (
        f"{_uid(item, _CLASS, 'Referenced SOP Class UID')} {_uid(item, _INSTANCE, 'Referenced SOP Instance UID')}"
        for item in items
    )
    return list(dict.fromkeys(found))


def _uid(dataset: Mapping[str, Any], tag: str, name: str) -> str:
    values: list[Any] = dataset.get(tag, {}).get("Value") or []
    if len(values) != 1 or not isinstance(values[0], str) or not is_uid(values[0]):
        raise Invalid(f"{name} is missing or not a UID")
    return values[0]


def report(requestor: Requestor, operation: ServerOperation) -> None:
    """Report to a node on its request, on a new association in which we are the SCP (PS3.4 J.3.3).

    The body of the operation is a JSON array of two: the references that are stored, and those that are not.

    Raises `PeerFailed`.
    """
    remote = Remote.from_wire(operation.arguments["remote"])
    held, refused = orjson.loads(operation.body)
    begun = time.monotonic()
    role = build_role(SOP_CLASS, scp_role=True)
    with (
        as_failure(remote),
        requestor.associate(remote, [build_context(SOP_CLASS, list(SYNTAXES))], [role]) as exchange,
    ):
        # Whatever roles it answers with: some nodes do not support role selection, and take reports all the same.
        context = exchange.assoc.accepted_contexts[0]
        dataset = _information(operation.arguments["transaction"], requestor.local.ae_title, held, refused)
        event: Any = N_EVENT_REPORT()
        event.MessageID = _MESSAGE_ID
        event.AffectedSOPClassUID, event.AffectedSOPInstanceUID = SOP_CLASS, SOP_INSTANCE
        event.EventTypeID = FAILURES_EXIST if refused else COMPLETE
        event.EventInformation = BytesIO(encode_identifier(dataset, str(context.transfer_syntax[0])))
        with exchange.request(event, context.context_id) as responses:
            _, response = next(responses)
        status = f"{response.Status:04X}" if getattr(response, "Status", None) is not None else "none"
        counts = {"count": len(held), "failed": len(refused)}
        write_operation(exchange.assoc, "N-EVENT-REPORT", status, begun, **counts)
        if not isinstance(response, N_EVENT_REPORT) or not response.is_valid_response:
            raise PeerFailed(f"{remote} answered with something else than was asked for", retryable=False)
        if code_to_category(response.Status) not in ("Success", "Warning"):
            passes = response.Status in (PROCESSING_FAILURE, RESOURCE_LIMITATION)
            raise PeerFailed(f"{remote} answers {response.Status:04X} to the report", retryable=passes)


def _information(
    transaction: str, ae_title: str, held: Iterable[Sequence[Any]], refused: Iterable[Sequence[Any]]
) -> dict[str, Any]:
    """Event Information (PS3.4 table J.3-2)."""
    dataset: dict[str, Any] = {
        _RETRIEVE_AE: {"vr": "AE", "Value": [ae_title]},
        _TRANSACTION: {"vr": "UI", "Value": [transaction]},
    }
    failed = [
        _item(sop_class, instance) | {_REASON: {"vr": "US", "Value": [reason]}}
        for sop_class, instance, reason in refused
    ]
    kept = [_item(sop_class, instance) for sop_class, instance in held]
    if failed:
        dataset[_FAILED] = {"vr": "SQ", "Value": failed}
    if kept:
        dataset[_REFERENCES] = {"vr": "SQ", "Value": kept}
    return dataset


def _item(sop_class: str, instance: str) -> dict[str, Any]:
    return {_CLASS: {"vr": "UI", "Value": [sop_class]}, _INSTANCE: {"vr": "UI", "Value": [instance]}}
