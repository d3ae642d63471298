"""A modality that asks for storage commitment, made of pynetdicom."""

import contextlib
import queue
import ssl
from collections.abc import Iterator, Sequence
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.events import Event
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from tests.support.dimse.remotes import add_node
from tests.support.server import Server, free_port

#: SOP class and instance of a reference.
Pair = tuple[str, str]

SECONDS = 30


class Modality:
    """Asks for storage commitment, and listens for reports on a port of its own while it is switched on.

    Parameters
    ----------
    server : Server
        Asked; knows it as a node.
    roles : bool
        Answer SCP/SCU Role Selection.
    tls : tuple of ssl.SSLContext, optional
        For asking, and for listening.

    Attributes
    ----------
    reports : queue.Queue of (int, Dataset)
        Event type and information of each report.
    status : int
        What it answers them with.
    """

    def __init__(
        self,
        server: Server,
        ae_title: str,
        *,
        roles: bool = True,
        tls: tuple[ssl.SSLContext, ssl.SSLContext] | None = None,
    ) -> None:
        self.reports: queue.Queue[tuple[int, Dataset]] = queue.Queue()
        self.status = 0x0000
        self._server = server
        self._ae = AE(ae_title)
        chosen: dict[str, Any] = {"scu_role": False, "scp_role": True} if roles else {}
        self._ae.add_supported_context(StorageCommitmentPushModel, **chosen)
        self._asking, self._listening = tls or (None, None)
        self._port = free_port()
        add_node(server, ae_title, self._port, tls=tls is not None)

    @contextlib.contextmanager
    def on(self) -> Iterator[None]:
        """Listen."""
        handlers: Any = [(evt.EVT_N_EVENT_REPORT, self._take)]
        listener = self._ae.start_server(
            ("127.0.0.1", self._port), block=False, evt_handlers=handlers, ssl_context=self._listening
        )
        assert listener is not None
        try:
            yield
        finally:
            listener.shutdown()

    def _take(self, event: Event) -> tuple[int, None]:
        self.reports.put((event.event_type or 0, event.event_information))
        return self.status, None

    def ask(
        self,
        references: Sequence[Pair] = (),
        *,
        transaction: str | None = None,
        information: Dataset | None = None,
        action: int = 1,
        instance: str = StorageCommitmentPushModelInstance,
        syntax: str | None = None,
    ) -> Dataset:
        """N-ACTION; the status."""
        self._ae.requested_contexts = []
        self._ae.add_requested_context(StorageCommitmentPushModel, syntax)
        ds = request(transaction or generate_uid(), references) if information is None else information
        tls: Any = {} if self._asking is None else {"tls_args": (self._asking, None)}
        assoc = self._ae.associate("127.0.0.1", self._server.dimse_port, ae_title="NEURDICOM", **tls)
        assert assoc.is_established
        status, _ = assoc.send_n_action(ds, action, StorageCommitmentPushModel, instance)
        assoc.release()
        return status

    def report(self) -> tuple[int, Dataset]:
        """The next report."""
        return self.reports.get(timeout=SECONDS)


def request(transaction: str, references: Sequence[Pair]) -> Dataset:
    """Action Information."""
    ds = Dataset()
    ds.TransactionUID = transaction
    ds.ReferencedSOPSequence = []
    for sop_class, instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
        ds.ReferencedSOPSequence.append(item)
    return ds


def pairs(ds: Dataset, keyword: str = "ReferencedSOPSequence") -> list[Pair]:
    """The references of a report."""
    return [(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in ds.get(keyword, [])]


def failures(ds: Dataset) -> dict[str, int]:
    """Failure Reason by instance."""
    return {item.ReferencedSOPInstanceUID: item.FailureReason for item in ds.get("FailedSOPSequence", [])}
