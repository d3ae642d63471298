"""neurdicom/dimse/ul/README.md names what is overridden and used of pynetdicom, and that is there and behaves."""

import ast
import inspect
import re
import socket
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pynetdicom
import pytest
from pynetdicom import _config, association, dimse, dimse_messages, dimse_primitives, dul, timer, transport
from pynetdicom.ae import ApplicationEntity
from pynetdicom.pdu import A_RELEASE_RP, P_DATA_TF
from pynetdicom.pdu_primitives import A_RELEASE, P_DATA
from pynetdicom.presentation import build_context
from pynetdicom.transport import AddressInformation, AssociationSocket

from tests.support.checkout import CHECKOUT

DIMSE = CHECKOUT / "neurdicom" / "dimse"
UL = DIMSE / "ul"
VERIFICATION = "1.2.840.10008.1.1"

#: Classes that ours are subclasses of, by the names of ours.
BASES: dict[str, type] = {
    "StatefulAssociation": association.Association,
    "Association": association.Association,
    "UpperLayer": dul.DULServiceProvider,
    "Messages": dimse.DIMSEServiceProvider,
    "Transport": transport.AssociationSocket,
    "Deadline": timer.Timer,
}
#: What the README says names are of.
OWNERS: dict[str, Any] = {
    "Association": association.Association,
    "DULServiceProvider": dul.DULServiceProvider,
    "DIMSEServiceProvider": dimse.DIMSEServiceProvider,
    "DIMSEMessage": dimse_messages.DIMSEMessage,
    "DIMSEPrimitive": dimse_primitives.DIMSEPrimitive,
    "AssociationSocket": transport.AssociationSocket,
    "Timer": timer.Timer,
    "pynetdicom": pynetdicom,
}


def rows() -> list[tuple[str, str, str]]:
    """Name, owner and how of each name in the README's table."""
    found = re.findall(r"^\| (`.+?`) \| `(\w+)` \| (.+?) \|", (UL / "README.md").read_text(encoding="utf-8"), re.M)
    return [(name, owner, how) for names, owner, how in found for name in re.findall(r"`(\w+)`", names)]


@pytest.fixture
def assoc() -> Iterator[Any]:
    """An association of pynetdicom that has no connection."""
    yield association.Association(ApplicationEntity(), "acceptor")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def classes_of(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ClassDef)]


def own_names(tree: ast.AST) -> set[str]:
    """Names that a class or module defines, or assigns to `self`."""
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            names.add(node.attr)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def names_of(owner: type) -> set[str]:
    """Names of a class of pynetdicom: those of its body, and what its methods assign to `self`."""
    return own_names(ast.parse(inspect.getsource(owner)))


def used_in_ul() -> set[str]:
    """Names of pynetdicom that the code of ul overrides, or uses though they are private."""
    used = set()
    for path in UL.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pynetdicom"):
                used |= {
                    name
                    for name in (*(node.module or "").split("."), *(a.name for a in node.names))
                    if is_private(name)
                }
            elif isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) != "self":
                used.add(node.attr)
        for each in classes_of(path):
            theirs = names_of(BASES[each.name]) if each.name in BASES else set()
            defined = {node.name for node in each.body if isinstance(node, ast.FunctionDef)}
            mentioned = {node.attr for node in ast.walk(each) if isinstance(node, ast.Attribute)}
            used |= {name for name in defined & theirs if not name.startswith("__")}
            used |= {name for name in mentioned & theirs if is_private(name)}
    return used


def test_the_readme_and_the_code_agree() -> None:
    assert {name for name, _, _ in rows()} == used_in_ul()


def test_every_class_of_ours_with_a_base_there_is_known_here() -> None:
    bases = re.compile("Association|DULServiceProvider|DIMSEServiceProvider|AssociationSocket|Timer")
    found = {
        each.name
        for path in UL.glob("*.py")
        for each in classes_of(path)
        if any(bases.search(ast.unparse(base)) for base in each.bases)
    }
    assert found == set(BASES)


@pytest.mark.parametrize(("name", "owner"), [(name, owner) for name, owner, _ in rows()])
def test_the_name_is_there(name: str, owner: str) -> None:
    there = OWNERS[owner]
    assert hasattr(there, name) or name in names_of(there)


@pytest.mark.parametrize("path", sorted(DIMSE.rglob("*.py")), ids=lambda path: str(path.relative_to(DIMSE)))
def test_only_ul_uses_private_names(path: Path) -> None:
    if path.parent == UL:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and is_private(node.attr)
        and ast.unparse(node.value) not in ("self", "cls", "os")
    ]
    used += [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and any(is_private(name) for name in (*(node.module or "").split("."), *(a.name for a in node.names)))
        and "pynetdicom" in (node.module or "")
    ]
    assert used == []


def test_a_thread_of_its_own_serves_an_established_association(assoc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()
    monkeypatch.setattr(type(assoc), "_run_reactor", lambda self: called.set())
    requestor = association.Association(ApplicationEntity(), "requestor")
    requestor._started_dul, requestor.is_established = True, True
    requestor.run()
    assert called.is_set()


def test_abort_and_negotiation_go_by_one_name(assoc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[bool] = []
    monkeypatch.setattr(type(assoc), "_abort_blocking", lambda self, block=True: blocks.append(block))
    assoc.abort(block=False)
    assoc.acse._check_sop_class_extended()
    assoc.abort()
    assert blocks == [False, True]


def test_an_event_report_is_served_by_name(assoc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    served = threading.Event()
    monkeypatch.setattr(type(assoc), "_serve_request", lambda self, msg, context_id: served.set())
    request = dimse_primitives.N_EVENT_REPORT()
    request.MessageID, request.EventTypeID = 1, 1
    request.AffectedSOPClassUID = request.AffectedSOPInstanceUID = VERIFICATION
    message = dimse_messages.N_EVENT_REPORT_RQ()
    message.primitive_to_message(request)
    for pdata in message.encode_msg(1, 16384):
        assoc.dimse.receive_primitive(as_received(pdata))
    assert served.wait(5)


def as_received(pdata: P_DATA) -> P_DATA:
    """Decode a primitive from the bytes of its PDU."""
    pdu = P_DATA_TF()
    pdu.decode(P_DATA_TF(pdata).encode())
    primitive = pdu.to_primitive()
    assert isinstance(primitive, P_DATA)
    return primitive


def test_a_request_waits_for_the_upper_layer(assoc: Any) -> None:
    assert isinstance(assoc._dul_ready, threading.Event)
    assert "_dul_ready.wait()" in inspect.getsource(association.Association.request)


def test_accepted_contexts_by_id(assoc: Any) -> None:
    context = build_context(VERIFICATION)
    context.context_id = 3
    assoc._accepted_cx[3] = context
    assert assoc.accepted_contexts == [context]


def test_flags_that_end_the_threads(assoc: Any) -> None:
    assert assoc._kill is False and assoc.dul._kill_thread is False
    assoc.dul.kill_dul()
    assert assoc.dul._kill_thread is True
    assoc.kill()
    assert assoc._kill is True


def test_the_idle_timer_has_the_network_timeout(assoc: Any) -> None:
    assoc.network_timeout = 7
    assert assoc.dul._idle_timer.timeout == 7
    assoc.acse_timeout = 8
    assert assoc.dul.artim_timer.timeout == 8


def test_a_primitive_becomes_an_event(assoc: Any) -> None:
    assert assoc.dul._process_recv_primitive() is False
    assoc.dul.to_provider_queue.put(A_RELEASE())
    assert assoc.dul._process_recv_primitive() is True
    assert assoc.dul.event_queue.get_nowait() == "Evt11"


def test_a_pdu_is_decoded_and_taken_from_the_queue(assoc: Any) -> None:
    pdu, event = assoc.dul._decode_pdu(bytearray(A_RELEASE_RP().encode()))
    assert isinstance(pdu, A_RELEASE_RP) and event == "Evt13"
    assoc.dul._recv_pdu.put(pdu)
    assoc.dul.state_machine.current_state = "Sta13"
    assoc.dul.state_machine.do_action("Evt13")
    assert assoc.dul._recv_pdu.empty()


def test_what_is_ready_is_read_by_name(assoc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Event()
    monkeypatch.setattr(type(assoc.dul), "_read_pdu_data", lambda self: read.set())
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assoc.set_socket(AssociationSocket(assoc, client_socket=ours))
        assert assoc.dul._is_transport_event() is False
        theirs.sendall(b"\7")
        assert assoc.dul._is_transport_event() is True
    assert read.is_set()


def test_a_socket_is_not_connected_at_first(assoc: Any) -> None:
    there = AssociationSocket(assoc, address=AddressInformation("127.0.0.1", 0))
    assert there._is_connected is False
    there.socket.close()


class Sink(BytesIO):
    """Takes a dataset in the place of pynetdicom's temporary file."""

    file = property(lambda self: self)


def test_a_dataset_goes_to_the_file_that_is_set(assoc: Any) -> None:
    request = dimse_primitives.C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID = request.AffectedSOPInstanceUID = VERIFICATION
    request.DataSet = BytesIO(b"12345678")
    sent = dimse_messages.C_STORE_RQ()
    sent.primitive_to_message(request)
    command, dataset = (as_received(pdata) for pdata in sent.encode_msg(1, 16384))
    message = dimse_messages.DIMSEMessage()
    assert message.decode_msg(command, assoc) is False
    assert isinstance(message, dimse_messages.C_STORE_RQ), "it becomes of its class after the command set"
    assert message._data_set_file is None and message._data_set_path is None
    message._data_set_file, message._data_set_path = Sink(), Path("dataset")
    assert message.decode_msg(dataset, assoc) is True
    primitive = message.message_to_primitive()
    assert primitive._dataset_file is message._data_set_file
    assert primitive._dataset_file.getvalue() == b"12345678"


def test_the_settings_of_logging() -> None:
    assert _config.LOG_HANDLER_LEVEL in ("standard", "none")
    assert {type(_config.LOG_REQUEST_IDENTIFIERS), type(_config.LOG_RESPONSE_IDENTIFIERS)} == {bool}
