"""SCP of C-FIND (PS3.4 C.4.1), which sends matches as they are found, with one page of them in memory."""

import re
from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

from pynetdicom.dimse_primitives import C_FIND

from neurdicom.dicom.codec.dictionary import keyword
from neurdicom.dicom.codec.encode import with_charset
from neurdicom.dicom.codec.value_readers import STREAMS
from neurdicom.dicom.query.attributes import Level
from neurdicom.dicom.query.matching import vr_of
from neurdicom.dimse.identifier import (
    LEVEL_KEY,
    LEVEL_NAMES,
    MODELS,
    character_terms,
    check_hierarchy,
    decode_identifier,
    encode_identifier,
    keys_of,
    level_of,
    model_of,
)
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scp.operation_log import LoggedExchange
from neurdicom.dimse.statuses import CANCEL, FIND, PENDING, PENDING_UNSUPPORTED, SUCCESS, write_error
from neurdicom.dimse.statuses import comment as as_comment
from neurdicom.dimse.ul.exchange import Exchange
from neurdicom.errors import NeurdicomError

#: Matches requested from the server at a time.
PAGE = 100

_RETRIEVE_AE, _AVAILABILITY = "00080054", "00080056"
#: Bytes of SOP Class Extended Negotiation (PS3.4 C.5.1.1) from the second on: combined date-time, fuzzy names.
_COMBINED, _FUZZY = 1, 2


def negotiated(requested: Mapping[str, bytes], *, relational: bool) -> dict[str, bytes]:
    """Answer SOP Class Extended Negotiation: relational operations, date-time pairs and fuzzy names if requested."""
    answers = {}
    for model in MODELS:
        asked = requested.get(model.find)
        if asked is not None:
            known = [int(relational and asked[:1] == b"\1"), *(int(byte == 1) for byte in asked[1:3])]
            answers[model.find] = bytes((*known, *bytes(len(asked[3:]))))
        for sop_class in (model.move, model.get):
            if sop_class in requested:
                flag = requested[sop_class][:1]
                answers[sop_class] = bytes((int(relational and flag == b"\1"), *bytes(len(requested[sop_class][1:]))))
    return answers


def serve_find(
    exchange: LoggedExchange, request: C_FIND, context: Any, link: Link, ae_title: str, *, relational: bool
) -> None:
    """Answer a C-FIND request.

    Parameters
    ----------
    exchange : LoggedExchange
        The association.
    request : C_FIND
        The request.
    context : PresentationContext
        Its presentation context.
    link : Link
        The connection to the server.
    ae_title : str
        Our AE title, the Retrieve AE Title of the matches.
    relational : bool
        True to answer queries that are not hierarchical, too.

    Raises
    ------
    Disconnected
        The requestor ended the association.
    """
    respond = _Responder(exchange, request, context.context_id)
    syntax = str(context.transfer_syntax[0])
    try:
        dataset = decode_identifier(request.Identifier.getvalue() if request.Identifier else b"", syntax)
        model = model_of(str(request.AffectedSOPClassUID))
        level = level_of(dataset, model)
        exchange.level = LEVEL_NAMES[level]
        if not relational:
            check_hierarchy(dataset, model, level)
        flags = exchange.assoc.acceptor.sop_class_extended.get(model.find, b"")
        options = {
            "combined_datetime": flags[_COMBINED : _COMBINED + 1] == b"\1",
            "fuzzy": flags[_FUZZY : _FUZZY + 1] == b"\1",
        }
        terms = character_terms(dataset)
        keys = keys_of(dataset, model, level)
        empty = {tag: {"vr": vr_of(tag, key)} for tag, key in keys.items() if vr_of(tag, key) not in STREAMS}
        remark = ""
        for page in _pages(link, level, keys, options):
            remark = _comment_on(page["remarks"])
            for match in page["items"]:
                if exchange.is_cancelled(request.MessageID):
                    respond(CANCEL)
                    return
                answer = with_charset(empty | match | _constant_elements(level, ae_title), terms)
                status = PENDING_UNSUPPORTED if remark else PENDING
                respond(status, encode_identifier(answer, syntax), comment=remark)
        respond(SUCCESS, comment=remark)
    except NeurdicomError as error:
        respond.failed(error)


def _constant_elements(level: Level, ae_title: str) -> dict[str, Any]:
    """Make the attributes that every match has beside the keys (PS3.4 C.4.1.1.3.2)."""
    return {
        LEVEL_KEY: {"vr": "CS", "Value": [LEVEL_NAMES[level]]},
        _RETRIEVE_AE: {"vr": "AE", "Value": [ae_title]},
        _AVAILABILITY: {"vr": "CS", "Value": ["ONLINE"]},
    }


def _comment_on(remarks: Mapping[str, str]) -> str:
    """Write the Error Comment on keys that are not supported or mean nothing."""
    return as_comment("; ".join(f"{keyword(tag)} {remark}" for tag, remark in remarks.items()))


def _pages(
    link: Link, level: Level, keys: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[Mapping[str, Any]]:
    """Yield the matches page by page."""
    after = None
    while True:
        page = link.call("find", level=level.value, keys=keys, limit=PAGE, after=after, **options)
        yield page
        after = page["last"]
        if not page["more"]:
            return


class _Responder:
    """Sender of the responses to one request."""

    def __init__(self, exchange: Exchange, request: C_FIND, context_id: int) -> None:
        self._exchange = exchange
        self._request = request
        self._context_id = context_id

    def __call__(self, status: int, identifier: bytes | None = None, *, comment: str = "") -> None:
        response = self._response(status)
        if comment:
            response.ErrorComment = comment
        if identifier is not None:
            response.Identifier = BytesIO(identifier)
        self._exchange.respond(response, self._context_id)

    def failed(self, error: NeurdicomError) -> None:
        """Send the response of a failed query."""
        response = self._response(0)
        fill_error(response, error)
        self._exchange.respond(response, self._context_id)

    def _response(self, status: int) -> Any:
        response: Any = C_FIND()
        response.MessageIDBeingRespondedTo = self._request.MessageID
        response.AffectedSOPClassUID = self._request.AffectedSOPClassUID
        response.Status = status
        return response


def fill_error(response: Any, error: NeurdicomError, table: Mapping[type[NeurdicomError], int] = FIND) -> None:
    """Write an error into a response to C-FIND, C-MOVE or C-GET.

    Parameters
    ----------
    response : DIMSE primitive
        The response; changed in place.
    error : NeurdicomError
        The error.
    table : Mapping
        Class of error to status: `statuses.FIND` or `statuses.RETRIEVE`.
    """
    write_error(response, error, table)
    if response.OffendingElement is None and error.field and re.fullmatch("[0-9A-F]{8}", error.field):
        response.OffendingElement = [int(error.field, 16)]
