"""Requestor of associations with remote nodes (PS3.8 7.1)."""

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pynetdicom import evt
from pynetdicom.presentation import PresentationContext

from neurdicom.dimse.ipc.contract import Remote
from neurdicom.dimse.ul.association import Association
from neurdicom.dimse.ul.exchange import Disconnected, Exchange
from neurdicom.dimse.ul.local import LocalUser
from neurdicom.errors import PeerFailed

#: Result of a rejection that may pass: rejected-transient (PS3.8 9.3.4).
_TRANSIENT = 2


@dataclass(frozen=True, slots=True)
class Requestor:
    """Requestor of associations with remote nodes.

    Attributes
    ----------
    local : LocalUser
        Our side of the associations.
    tls : ssl.SSLContext
        TLS context for nodes that use TLS.
    """

    local: LocalUser
    tls: ssl.SSLContext

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
            Presentation contexts to propose.
        items : sequence
            Items of extended negotiation.

        Yields
        ------
        Exchange

        Raises
        ------
        PeerFailed
            The association was not established; the message says why.
        """
        assoc = self._request(remote, contexts, items)
        try:
            yield Exchange(assoc)
        except GeneratorExit:  # the consumer of the results stopped early
            assoc.release()
            raise
        except BaseException:
            assoc.abort()
            raise
        assoc.release()

    def _request(self, remote: Remote, contexts: Sequence[PresentationContext], items: Sequence[Any]) -> Association:
        connected = threading.Event()
        try:
            assoc = self.local.requesting(
                remote.ae_title,
                remote.host,
                remote.port,
                tls=self.tls if remote.tls else None,
                contexts=contexts,
                items=items,
            )
            assoc.bind(evt.EVT_CONN_OPEN, lambda event: connected.set())
            assoc.request()
        except OSError as error:  # its name can't be resolved
            raise PeerFailed(f"{remote} can't be reached: {error}") from error
        if assoc.is_established:
            assoc.start()
            return assoc
        assoc.kill()
        raise _refusal(assoc, remote, connected.is_set())


def _refusal(assoc: Association, remote: Remote, connected: bool) -> PeerFailed:
    """Make the error that says why there is no association."""
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
    """Raise the end of an association as `PeerFailed`."""
    try:
        yield
    except Disconnected as error:
        raise PeerFailed(f"{remote}: {error}") from error
