"""An accepted association: its states, and that it waits for events, neither late nor in small steps."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pynetdicom import evt
from pynetdicom.dimse_primitives import C_ECHO
from pynetdicom.presentation import PresentationContext, build_context

from neurdicom.dimse.statuses import SUCCESS
from neurdicom.dimse.ul.association import Association, Service, respond_to
from neurdicom.dimse.ul.local import LocalUser
from neurdicom.dimse.ul.states import AssociationState
from tests.support.dimse.peer import EXPLICIT, VERIFICATION, Ended, RawPeer

State = AssociationState
CONTEXT = (VERIFICATION, [EXPLICIT])

#: Seconds within which what has happened is noticed; the timeouts of the tests' associations are far longer.
SOON = 5.0
TIMEOUT = 60.0


class AcceptorThread:
    """An acceptor of one association in a thread, and the association's outcome."""

    def __init__(self, port: int, timeout: float, spool: Path) -> None:
        self.port = port
        self.releases = 0
        self.is_served = threading.Event()  # until then a request is served
        self.is_served.set()
        self.assoc: Any = None
        self._local = LocalUser("NEURDICOM", timeout, spool)

    def run(self, listening: socket.socket) -> None:
        sock, remote = listening.accept()
        with sock:
            self.assoc = self._local.accepting(
                sock,
                local=sock.getsockname(),
                remote=remote,
                find_service=self._find_service,
                on_release=self._note_release,
            )
            self.assoc.bind(evt.EVT_REQUESTED, self._on_requested)
            self.assoc.run()
            self.assoc.kill()

    def _find_service(self, kind: type, sop_class: str) -> Service | None:
        return self._echo if kind is C_ECHO else None

    def _echo(self, assoc: Association, request: Any, context: PresentationContext) -> None:
        assert assoc.state is State.SERVING
        assert self.is_served.wait(SOON)
        assoc.dimse.send_msg(respond_to(request, SUCCESS), context.context_id)

    def _note_release(self) -> None:
        assert self.assoc.state is State.RELEASING
        self.releases += 1

    def _on_requested(self, event: evt.Event) -> None:
        assert self.assoc.state is State.ASSOCIATING
        event.assoc.acceptor.supported_contexts = [build_context(VERIFICATION, [EXPLICIT])]


Accept = Callable[..., Any]


@pytest.fixture
def accept(tmp_path: Path) -> Accept:
    """Accept one connection; at the end of the block the association has to be over, soon."""

    @contextmanager
    def accepting(timeout: float = TIMEOUT) -> Iterator[AcceptorThread]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            acceptor = AcceptorThread(listening.getsockname()[1], timeout, tmp_path)
            thread = threading.Thread(target=acceptor.run, args=[listening])
            thread.start()
            yield acceptor
            thread.join(SOON)
            assert not thread.is_alive(), f"not over, and {acceptor.assoc.state}"

    return accepting


def send_event_report(peer: RawPeer) -> None:
    peer.send_command(
        1,
        AffectedSOPClassUID=VERIFICATION,
        AffectedSOPInstanceUID="1.2.3",
        CommandField=0x0100,
        MessageID=1,
        EventTypeID=1,
    )


def test_it_serves_and_is_released(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        assert peer.echo() == 0
        peer.release()
    assert acceptor.assoc.state is State.RELEASED
    assert acceptor.releases == 1


def test_a_lost_connection_is_noticed(accept: Accept) -> None:
    with accept() as acceptor:
        RawPeer(acceptor.port).associate(CONTEXT).socket.close()
    assert acceptor.assoc.state is State.ABORTED
    assert acceptor.releases == 0


def test_an_abort_of_the_peer_is_noticed(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        peer.send_pdu(0x07, bytes(4))
    assert acceptor.assoc.state is State.ABORTED


def test_an_abort_from_another_thread_ends_it(accept: Accept) -> None:
    """The thread that serves is woken when the upper layer ends, though nothing else tells it."""
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        send_event_report(peer)
        with pytest.raises(Ended):
            peer.receive()
    assert acceptor.assoc.state is State.ABORTED


def test_it_closes_from_another_thread(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        acceptor.assoc.close()
        peer.wait_for_end()
    assert acceptor.assoc.state is State.ABORTED


def test_a_silent_peer_is_let_go_in_time(accept: Accept) -> None:
    with accept(timeout=0.5) as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        began = time.monotonic()
        peer.wait_for_end()
        assert 0.3 < time.monotonic() - began < SOON
    assert acceptor.assoc.state is State.ABORTED


def test_a_peer_that_asks_for_nothing_is_let_go(accept: Accept) -> None:
    with accept(timeout=0.5) as acceptor, RawPeer(acceptor.port) as peer:
        peer.wait_for_end()
    assert acceptor.assoc.state is State.ABORTED


def test_draining_ends_what_is_quiet(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        acceptor.assoc.drain(0.2)
        peer.wait_for_end()
    assert acceptor.assoc.state is State.ABORTED


def test_draining_waits_for_what_is_served_and_what_arrives(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        acceptor.is_served.clear()
        peer.send_command(1, AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1)
        acceptor.assoc.drain(0.2)
        time.sleep(0.5)
        assert acceptor.assoc.state is State.SERVING
        acceptor.is_served.set()
        assert peer.receive().Status == 0
        peer.send_pdu(0x04, b"\0\0\0\4\1\1\0\0")  # the beginning of a command set
        time.sleep(0.5)
        assert acceptor.assoc.state is State.ESTABLISHED
        peer.send_pdu(0x07, bytes(4))
    assert acceptor.assoc.state is State.ABORTED


def test_nothing_wakes_up_while_nothing_happens(accept: Accept) -> None:
    with accept() as acceptor, RawPeer(acceptor.port).associate(CONTEXT) as peer:
        assert peer.echo() == 0
        time.sleep(0.2)
        before = switches()
        time.sleep(1.0)
        assert switches() - before < 10, "threads run though nothing happens"
        peer.release()


def switches() -> int:
    """Count how often the other threads of this process have begun to wait."""
    total = 0
    own = threading.get_native_id()
    for task in Path("/proc/self/task").iterdir():
        if int(task.name) != own:
            lines = (task / "status").read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))
    return total
