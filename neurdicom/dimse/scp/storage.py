"""SCP of C-STORE (PS3.4 B): an instance is parsed and flushed to the disk here, and stored by the server."""

import logging
from typing import Any

from pynetdicom.dimse_primitives import C_STORE

from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.scp.operation_log import StoreCounts
from neurdicom.dimse.statuses import SUCCESS, DoesNotMatch, write_error
from neurdicom.dimse.ul.association import Association, respond_to
from neurdicom.dimse.ul.incoming import Incoming
from neurdicom.dimse.ul.messages import incoming_of
from neurdicom.errors import INTERNAL_ERROR, Malformed, NeurdicomError, disk_failure

log = logging.getLogger(__name__)


class StorageProvider:
    """SCP of storage, on associations in either direction.

    Parameters
    ----------
    link : Link
        The connection to the server.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    def serve(
        self,
        assoc: Association,
        request: C_STORE,
        context: Any,
        *,
        retrieval: int | None = None,
        counts: StoreCounts | None = None,
    ) -> None:
        """Store the instance of a C-STORE request; the peer gets its status once it is durable and can be found.

        Parameters
        ----------
        assoc : Association
            The association.
        request : C_STORE
            The request.
        context : PresentationContext
            Its presentation context.
        retrieval : int, optional
            Message ID of the C-GET request of ours that it is a sub-operation of.
        counts : StoreCounts, optional
            Those of the association.
        """
        response, incoming = respond_to(request, SUCCESS), incoming_of(request)
        counts = counts or StoreCounts()
        counts.refused += 1
        try:
            if incoming is None:
                raise Malformed("the request has no dataset")
            counts.bytes += self._store(incoming, request, assoc, retrieval)
            counts.stored += 1
            counts.refused -= 1
        except NeurdicomError as error:
            log.info("instance %s from %s is refused: %s", request.AffectedSOPInstanceUID, assoc.peer, error)
            self._link.tell("refused")
            write_error(response, error)
        except Exception:
            log.exception("instance %s from %s is refused: internal error", request.AffectedSOPInstanceUID, assoc.peer)
            self._link.tell("refused")
            write_error(response, NeurdicomError(INTERNAL_ERROR))
        finally:
            if incoming is not None:
                incoming.close()
        if assoc.is_established:
            assoc.dimse.send_msg(response, context.context_id)

    def _store(self, incoming: Incoming, request: C_STORE, assoc: Association, retrieval: int | None) -> int:
        """Store an instance, and return the size of its file."""
        spool = incoming.complete()
        try:
            header = read_header(spool.descriptor, spool.head, spool.size)
            _check(header, request)
            spool.sync()
        except OSError as error:
            raise disk_failure(error, "the server can't keep the instance") from error
        self._link.call(
            "store",
            header.json,
            name=spool.path.name,
            size=spool.size,
            sha256=spool.sha256,
            attributes=header.attributes,
            layout=header.layout.to_document(),
            source=assoc.peer,
            retrieval=retrieval,
            originator=(request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID),
            calling=assoc.requestor.ae_title,
        )
        size = spool.size
        spool.committed(spool.path)
        return size


def _check(header: Header, request: C_STORE) -> None:
    """Check that the dataset is of the SOP class and instance that the request names. Raises `DoesNotMatch`."""
    for field, asked in (
        ("sop_instance_uid", request.AffectedSOPInstanceUID),
        ("sop_class_uid", request.AffectedSOPClassUID),
    ):
        found = header.attributes[field]
        if found != asked:
            raise DoesNotMatch(f"{field} is {found}; the request says {asked}", field=field)
