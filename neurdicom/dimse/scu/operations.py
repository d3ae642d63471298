"""Operations with remote nodes that the server requests of a DIMSE process: echo, find, send, retrieve."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from io import BytesIO
from typing import Any, cast

from pynetdicom.dimse_primitives import C_ECHO, C_FIND, C_GET, C_MOVE, C_STORE
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.sop_class import Verification
from pynetdicom.status import code_to_category

from neurdicom.dicom.codec.encode import with_charset
from neurdicom.dicom.query.attributes import Level
from neurdicom.dimse.identifier import (
    LEVEL_KEY,
    LEVEL_NAMES,
    PATIENT_ROOT,
    STUDY_ROOT,
    SYNTAXES,
    InformationModel,
    character_terms,
    decode_identifier,
    encode_identifier,
)
from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ipc.link import ServerOperation
from neurdicom.dimse.scu.proposals import MOST_CONTEXTS, storage_proposals
from neurdicom.dimse.scu.requestor import Requestor, as_failure
from neurdicom.dimse.scu.send import Instance, StorageSender
from neurdicom.dimse.ul.exchange import Exchange
from neurdicom.errors import NeurdicomError, PeerFailed

#: Most matches that are taken from a peer when no limit is given, and most that may still come after a C-CANCEL.
MOST_MATCHES = 10_000
_AFTER_CANCEL = 1000
_MATCHES_AT_A_TIME = 100

#: Multiple of the usual timeout for which a peer may be silent during C-MOVE, since pending responses are optional.
_PATIENCE = 20

_MESSAGE_ID = 1
_MEDIUM = 0
_FAILED_LIST = "00080058"


class ServiceClassUser:
    """The operations as SCU; each runs in a thread of its own.

    Parameters
    ----------
    requestor : Requestor
        Opens associations.
    store : callable
        Serves the C-STORE requests of the peer during a C-GET: a `Service` that takes its Message ID as `retrieval`.
    """

    def __init__(self, requestor: Requestor, store: Callable[..., None]) -> None:
        self._requestor = requestor
        self._store = store

    def echo(self, operation: ServerOperation) -> float:
        """Verify a node by C-ECHO; return the seconds that it took, association included."""
        remote = Remote.from_wire(operation.arguments["remote"])
        begun = time.monotonic()
        with as_failure(remote), self._requestor.associate(remote, [_context(Verification)]) as exchange:
            request = C_ECHO()
            request.MessageID = _MESSAGE_ID
            request.AffectedSOPClassUID = Verification
            with exchange.request(request, exchange.context(Verification).context_id) as responses:
                _, response = next(responses)
            if _category(remote, response, C_ECHO) != "Success":
                raise _failure(remote, response)
            return time.monotonic() - begun

    def find(self, operation: ServerOperation) -> None:
        """Query a node by C-FIND; emit lists of matches in the DICOM JSON model as events."""
        remote = Remote.from_wire(operation.arguments["remote"])
        most = operation.arguments["limit"] or MOST_MATCHES
        models = _models(operation)
        with (
            as_failure(remote),
            self._requestor.associate(remote, [_context(model.find) for model in models]) as exchange,
        ):
            context = _first(exchange, remote, [model.find for model in models])
            syntax = str(context.transfer_syntax[0])
            cancel = CancelForwarder(operation, exchange, context)
            matches: list[dict[str, Any]] = []
            taken = late = 0
            request = _request(C_FIND, context, operation)
            with exchange.request(request, context.context_id, meanwhile=cancel) as responses:
                for _, response in responses:
                    if _category(remote, response, C_FIND) != "Pending":
                        break
                    if taken < most:
                        taken += 1
                        matches.append(_match(remote, response, syntax))
                        if len(matches) == _MATCHES_AT_A_TIME:
                            operation.emit(matches)
                            matches = []
                        continue
                    cancel.now()
                    late += 1
                    if late > _AFTER_CANCEL:
                        exchange.assoc.abort()
                        break
            operation.emit(matches)

    def send(self, operation: ServerOperation) -> None:
        """Send instances by C-STORE on as few associations as possible; emit an event after each."""
        remote = Remote.from_wire(operation.arguments["remote"])
        instances = [cast(Instance, tuple(each)) for each in operation.arguments["instances"]]
        with (
            as_failure(remote),
            closing(StorageSender(operation.link).to_remote(self._requestor, remote, instances)) as sent,
        ):
            for each in sent:
                operation.emit(
                    {
                        "instance": each.instance,
                        "reason": each.reason,
                        "failed": each.failed,
                        "retryable": each.retryable,
                    }
                )
                if operation.cancelled.is_set():
                    return

    def get(self, operation: ServerOperation) -> None:
        """Retrieve by C-GET; instances are stored as from any other sender. Emits events as `move` does."""
        models = _models(operation)
        storage = storage_proposals(MOST_CONTEXTS - len(models))
        roles = [build_role(context.abstract_syntax, scp_role=True) for context in storage]
        self._retrieve(operation, C_GET, [model.get for model in models], storage, roles)

    def move(self, operation: ServerOperation) -> None:
        """Retrieve by C-MOVE to this server; emit an event for each response of the peer."""
        self._retrieve(operation, C_MOVE, [model.move for model in _models(operation)], [], [])

    def _retrieve(
        self,
        operation: ServerOperation,
        kind: Any,
        classes: Sequence[str],
        storage: Sequence[PresentationContext],
        roles: Sequence[Any],
    ) -> None:
        remote = Remote.from_wire(operation.arguments["remote"])
        contexts = [*map(_context, classes), *storage]
        with as_failure(remote), self._requestor.associate(remote, contexts, roles) as exchange:
            context = _first(exchange, remote, classes)
            request = _request(kind, context, operation)
            store = partial(self._store, retrieval=request.MessageID)
            exchange.assoc.find_service = lambda kind, sop_class: store if kind is C_STORE else None
            syntax = str(context.transfer_syntax[0])
            if kind is C_MOVE:
                request.MoveDestination = self._requestor.local.ae_title
            patience = _PATIENCE * self._requestor.local.timeout
            cancel = CancelForwarder(operation, exchange, context)
            with exchange.request(request, context.context_id, patience=patience, meanwhile=cancel) as messages:
                for context_id, message in messages:
                    if kind is C_GET and isinstance(message, C_STORE) and message.is_valid_request:
                        exchange.assoc.serve(context_id, message)
                    elif emit_response(operation, remote, message, kind, syntax):
                        return


class CancelForwarder:
    """Forwarder of the server's cancellation of an operation to the peer, as one C-CANCEL."""

    def __init__(self, operation: ServerOperation, exchange: Exchange, context: Any) -> None:
        self._operation = operation
        self._exchange = exchange
        self._context = context
        self._asked = False
        operation.when_cancelled(exchange.look)

    def __call__(self) -> None:
        if self._operation.cancelled.is_set():
            self.now()

    def now(self) -> None:
        """Send the C-CANCEL, whether the server cancelled the operation or not."""
        if not self._asked:
            self._asked = True
            self._exchange.cancel(_message_id(self._operation), self._context.context_id)


def emit_response(operation: ServerOperation, remote: Remote, response: Any, kind: Any, syntax: str) -> bool:
    """Report a response to C-MOVE or C-GET to the server as events.

    Parameters
    ----------
    operation : ServerOperation
        The operation that emits the events.
    remote : Remote
        The peer.
    response : C_MOVE or C_GET
        The response.
    kind : type
        The class that the response must have.
    syntax : str
        Transfer Syntax UID of its identifier.

    Returns
    -------
    bool
        True for the last response.

    Raises
    ------
    PeerFailed
        The peer refuses the request as a whole, or the response is not valid.
    """
    category = _category(remote, response, kind, allowed=("Warning", "Cancel", "Failure"))
    completed = response.NumberOfCompletedSuboperations or 0
    warned = response.NumberOfWarningSuboperations or 0
    failed = response.NumberOfFailedSuboperations or 0
    if category == "Failure" and not completed + warned + failed:
        raise _failure(remote, response)
    counts = {
        "completed": completed,
        "failed": failed,
        "warned": warned,
        "instance": None,
        "reason": None,
        "answer": None,
    }
    remaining = response.NumberOfRemainingSuboperations
    total = completed + failed + warned + (remaining or 0)
    known = category != "Pending" or remaining is not None
    counts |= {"total": total if known else None, "retryable": _is_busy(response)}
    failures = _failures(response, syntax) if category in ("Warning", "Cancel", "Failure") else []
    reason = f"{remote.ae_title} failed to send it: {_words(response)}"
    for instance in failures:
        operation.emit(counts | {"instance": instance, "reason": reason})
    if not failures:
        operation.emit(counts | {"answer": reason if failed and category != "Pending" else None})
    return category != "Pending"


def _failures(response: Any, syntax: str) -> list[str]:
    data = response.Identifier.getvalue() if response.Identifier else b""
    try:
        values = decode_identifier(data, syntax).get(_FAILED_LIST, {}).get("Value") or ()
    except NeurdicomError:  # the counts are reported all the same
        return []
    return [str(value) for value in values if value]


def _models(operation: ServerOperation) -> tuple[InformationModel, ...]:
    """List the information models that may be used, the preferred one first."""
    patient = Level(operation.arguments["level"]) is Level.PATIENT
    return (PATIENT_ROOT,) if patient else (STUDY_ROOT, PATIENT_ROOT)


def _context(sop_class: str) -> PresentationContext:
    return build_context(sop_class, list(SYNTAXES))


def _first(exchange: Exchange, remote: Remote, classes: Sequence[str]) -> Any:
    """Find the context of the first SOP class that the peer accepts. Raises `PeerFailed`."""
    for sop_class in classes:
        context = exchange.context(sop_class)
        if context is not None:
            return context
    raise PeerFailed(f"{remote} does not offer this service", retryable=False)


def _request(kind: Any, context: Any, operation: ServerOperation) -> Any:
    """Make a C-FIND, C-MOVE or C-GET request with its identifier."""
    level, keys = Level(operation.arguments["level"]), operation.arguments["keys"]
    dataset = {**keys, LEVEL_KEY: {"vr": "CS", "Value": [LEVEL_NAMES[level]]}}
    identifier = encode_identifier(with_charset(dataset, character_terms(keys)), str(context.transfer_syntax[0]))
    request = kind()
    request.MessageID, request.Priority = _message_id(operation), _MEDIUM
    request.AffectedSOPClassUID = context.abstract_syntax
    request.Identifier = BytesIO(identifier)
    return request


def _message_id(operation: ServerOperation) -> int:
    """Return the Message ID of an operation: of a retrieval, the one that the server knows it by."""
    return int(operation.arguments.get("message_id", _MESSAGE_ID))


def _match(remote: Remote, response: Any, syntax: str) -> dict[str, Any]:
    try:
        return decode_identifier(response.Identifier.getvalue() if response.Identifier else b"", syntax)
    except NeurdicomError as error:
        raise PeerFailed(f"{remote} sent a match that can't be read: {error}", retryable=False) from error


def _category(remote: Remote, response: Any, kind: Any, allowed: tuple[str, ...] = ("Cancel", "Warning")) -> str:
    """Look up the category of a response's status. Raises `PeerFailed` for other messages, and for failures."""
    if not isinstance(response, kind) or not response.is_valid_response:
        raise PeerFailed(f"{remote} answered with something else than was asked for", retryable=False)
    category = str(code_to_category(response.Status))
    if category not in ("Success", "Pending", *allowed):
        raise _failure(remote, response)
    return category


def _failure(remote: Remote, response: Any) -> PeerFailed:
    return PeerFailed(f"{remote} answers {_words(response)}", retryable=_is_busy(response))


def _is_busy(response: Any) -> bool:
    """Tell whether the status is "Out of Resources" (A7xx), which may pass."""
    return int(response.Status) >> 8 == 0xA7


def _words(response: Any) -> str:
    comment = getattr(response, "ErrorComment", None)
    return f"{response.Status:04X}" + (f" ({comment})" if comment else "")
