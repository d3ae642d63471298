"""Associations with remote nodes that we ask for (PS3.8 7.1)."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pynetdicom import evt
from pynetdicom._globals import MODE_REQUESTOR
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation

from neurdicom.dicom.codec.file_meta import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from neurdicom.dimse.ipc.contract import ProcessSettings, Remote
from neurdicom.dimse.ul.association import Association
from neurdicom.dimse.ul.exchange import Disconnected, Exchange
from neurdicom.dimse.ul.tls import requestor_context
from neurdicom.dimse.ul.upper_layer import MAXIMUM_PDU, Transport
from neurdicom.errors import PeerFailed

#: Rejections that pass: result transient (PS3.8 9.3.4).
_TRANSIENT = 2


@dataclass(frozen=True, slots=True)
class Requestor:
    """Asks remote nodes for associations.

    Attributes
    ----------
    ae_title : str
        Our own.
    timeout : float
        Seconds that a peer may be silent.
    tls : ssl.SSLContext
        For nodes that are talked to over TLS.
    spool : Path
        Where instances go that arrive by C-GET.
    largest : int
        Most bytes that such an instance may have; 0 for no limit.
    """

    ae_title: str
    timeout: float
    tls: ssl.SSLContext
    spool: Path
    largest: int = 0

    @classmethod
    def of(cls, settings: ProcessSettings) -> Self:
        """Build from the settings of the process."""
        return cls(
            ae_title=settings.ae_title,
            timeout=settings.timeout,
            tls=requestor_context(settings.certificate, settings.key, settings.ca),
            spool=Path(settings.spool),
            largest=settings.largest,
        )

    @contextmanager
    def associate(
        self, remote: Remote, contexts: Sequence[PresentationContext], items: Sequence[Any] = ()
    ) -> Iterator[Exchange]:
        """Open an association, and release it at the end, or abort it after an error.

        Parameters
        ----------
        remote : Remote
            The node.
        contexts : sequence of PresentationContext
            What to propose.
        items : sequence
            Items of extended negotiation.

        Raises
        ------
        PeerFailed
            There is no association; the message says why.
        """
        assoc = self._request(remote, contexts, items)
        try:
            yield Exchange(assoc)
        except GeneratorExit:  # whoever is sent to has had enough
            _release(assoc)
            raise
        except BaseException:
            if assoc.is_established:
                assoc.abort()
            raise
        _release(assoc)

    def _request(self, remote: Remote, contexts: Sequence[PresentationContext], items: Sequence[Any]) -> Association:
        connected = threading.Event()
        try:
            assoc = self._association(remote, contexts, items)
            assoc.bind(evt.EVT_CONN_OPEN, lambda event: connected.set())
            assoc.request()
        except OSError as error:  # its name can't be resolved
            raise PeerFailed(f"{remote} can't be reached: {error}") from error
        if assoc.is_established:
            assoc.start()
            return assoc
        assoc.kill()
        raise _refusal(assoc, remote, connected.is_set())

    def _association(
        self, remote: Remote, contexts: Sequence[PresentationContext], items: Sequence[Any]
    ) -> Association:
        ae = ApplicationEntity(self.ae_title)
        ae.acse_timeout = ae.dimse_timeout = ae.connection_timeout = self.timeout
        # An association is idle while others work, such as what decodes pixels; its messages have a time limit.
        ae.network_timeout = None
        assoc = Association(ae, MODE_REQUESTOR, spool=self.spool, largest=self.largest)
        there = AddressInformation.from_addr_port(remote.host, remote.port)
        here = AddressInformation("::" if ":" in there.address else "", 0)
        transport = Transport(assoc, self.timeout, address=here)
        transport.tls_args = (self.tls, remote.host) if remote.tls else None
        assoc.set_socket(transport)
        assoc.acceptor.ae_title, assoc.acceptor.address_info = remote.ae_title, there
        assoc.requestor.ae_title, assoc.requestor.address_info = self.ae_title, here
        assoc.requestor.maximum_length = MAXIMUM_PDU
        assoc.requestor.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        assoc.requestor.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        for item in items:
            assoc.requestor.add_negotiation_item(item)
        for number, context in enumerate(contexts):
            context.context_id = 2 * number + 1
        assoc.requestor.requested_contexts = list(contexts)
        return assoc


def _release(assoc: Association) -> None:
    if assoc.is_established and not assoc.acse.is_aborted():
        assoc.release()


def _refusal(assoc: Association, remote: Remote, connected: bool) -> PeerFailed:
    """Why there is no association."""
    answer = assoc.acceptor.primitive
    if assoc.is_rejected:
        reason = f"{answer.reason_str} ({answer.source_str}, {answer.result_str})" if answer else "no reason given"
        return PeerFailed(
            f"{remote} rejected the association: {reason}",
            retryable=answer is not None and answer.result == _TRANSIENT,
        )
    if not connected:
        how = ", or does not speak TLS as we do" if remote.tls else ""
        return PeerFailed(f"{remote} can't be reached: it does not answer, or refuses the connection{how}")
    if answer is not None and not assoc.accepted_contexts:
        return PeerFailed(f"{remote} accepts none of the presentation contexts", retryable=False)
    return PeerFailed(f"{remote} ended the connection instead of accepting the association")


@contextmanager
def as_failure(remote: Remote) -> Iterator[None]:
    """Turn the end of an association into `PeerFailed`."""
    try:
        yield
    except Disconnected as error:
        raise PeerFailed(f"{remote}: {error}") from error
