"""C-STORE as SCP (PS3.4 B): what has arrived is parsed and made durable here, and entered by the server."""

import logging
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.events import Event

from neurdicom.dicom.header import Header
from neurdicom.dicom.part10 import read_header
from neurdicom.dimse.ipc.link import Link
from neurdicom.dimse.statuses import SUCCESS, DoesNotMatch, status_of
from neurdicom.dimse.ul.incoming import Incoming
from neurdicom.errors import Malformed, NeurdicomError, Unavailable

log = logging.getLogger(__name__)


def on_store(event: Event, link: Link) -> int | Dataset:
    """Store the instance of a C-STORE request; its status goes back to the peer once it is durable and found."""
    request = event.request
    incoming = request._dataset_file
    try:
        if not isinstance(incoming, Incoming):
            raise Malformed("the request has no dataset")
        _store(incoming, request, link, event.assoc.peer)
    except NeurdicomError as error:
        log.info("%s of %s is not stored: %s", request.AffectedSOPInstanceUID, event.assoc.peer, error)
        link.tell("refused")
        return status_of(error)
    except Exception as error:
        log.exception("%s of %s is not stored", request.AffectedSOPInstanceUID, event.assoc.peer)
        link.tell("refused")
        return status_of(NeurdicomError(f"internal error: {type(error).__name__}"))
    finally:
        if isinstance(incoming, Incoming):
            incoming.close()
    return SUCCESS


def _store(incoming: Incoming, request: Any, link: Link, peer: str) -> None:
    spool = incoming.complete()
    try:
        header = read_header(spool.descriptor, spool.head, spool.size)
        _check(header, request)
        spool.sync()
    except OSError as error:
        raise Unavailable(f"the server can't keep the instance: {error.strerror}") from error
    link.call(
        "store",
        header.json,
        name=spool.path.name,
        size=spool.size,
        sha256=spool.sha256,
        attributes=header.attributes,
        layout=header.layout.as_dict(),
        source=peer,
    )
    spool.committed(spool.path)


def _check(header: Header, request: Any) -> None:
    """Raise `DoesNotMatch` when the dataset is of another SOP class or instance than the request names."""
    for field, asked in (
        ("sop_instance_uid", request.AffectedSOPInstanceUID),
        ("sop_class_uid", request.AffectedSOPClassUID),
    ):
        found = header.attributes[field]
        if found != asked:
            raise DoesNotMatch(f"{field} is {found}; the request says {asked}", field=field)
