"""Nodes whose A-ASSOCIATE-AC and responses are odd, when this server is the SCU (PS3.8 9.3.3, PS3.7 9)."""

import struct
from collections.abc import Iterator

import pytest

from tests.support.dimse.acceptor import RawAcceptor, acceptor_node
from tests.support.dimse.association_items import (
    APPLICATION,
    CLASS,
    ECHO,
    IMPLICIT,
    LONG_UID,
    MAXIMUM,
    NAME,
    extended,
    item,
    pdu,
    result,
    role,
    user,
)
from tests.support.dimse.peer import EXPLICIT, VERIFICATION, command_set
from tests.support.dimse.remotes import STUDY_FIND, series, upload
from tests.support.server import Server
from tests.support.waiting import wait_for

DEFAULT = item(0x10, APPLICATION)
OK = result(1, 0, IMPLICIT)
PATIENT = "ODD-7001"


def answer(*sub_items: bytes) -> bytes:
    """An A-ASSOCIATE-AC that accepts the first context."""
    return pdu(DEFAULT, OK, user(*sub_items))


#: Bodies of A-ASSOCIATE-AC PDUs with which C-ECHO goes on.
ACCEPTED = {
    "plain": answer(),
    "no Maximum Length": answer(CLASS, NAME),
    "an empty Maximum Length": answer(item(0x51, b""), CLASS, NAME),
    "Maximum Length 0": answer(item(0x51, bytes(4)), CLASS, NAME),
    "no user information": pdu(DEFAULT, OK),
    "empty user information": pdu(DEFAULT, OK, item(0x50, b"")),
    "no application context": pdu(OK, user()),
    "another application context": pdu(item(0x10, b"\xe9"), OK, user()),
    "titles that are none": pdu(DEFAULT, OK, user(), called=bytes(16), calling=b"\xff" * 16),
    "blank titles": pdu(DEFAULT, OK, user(), called=b"", calling=b""),
    "protocol version 0": pdu(DEFAULT, OK, user(), version=0),
    "reserved fields set": pdu(DEFAULT, OK, user(), reserved=b"\xff" * 34),
    "Implementation Version Name of 20": answer(MAXIMUM, CLASS, item(0x55, b"VERYLONGVERSIONNAME_")),
    "Implementation Version Name in Latin-1": answer(MAXIMUM, CLASS, item(0x55, b"V\xe9\0")),
    "Implementation Class UID of 70": answer(MAXIMUM, item(0x52, LONG_UID), NAME),
    "unknown items": pdu(DEFAULT, item(0x77, b"abc"), OK, user(MAXIMUM, CLASS, NAME, item(0x5F, b"x"))),
    "results of other contexts": pdu(DEFAULT, OK, result(9, 0, IMPLICIT), result(2, 0, IMPLICIT), result(0), user()),
    "results twice": pdu(DEFAULT, OK, result(1, 3), user()),
    "a proposed context": pdu(DEFAULT, OK, item(0x20, b"\1\0\0\0" + item(0x30, ECHO)), user()),
    "transfer syntax padded": pdu(DEFAULT, result(1, 0, IMPLICIT + b"\0"), user()),
    "asynchronous operations of two bytes": answer(MAXIMUM, CLASS, item(0x53, b"\0\1")),
    "roles that nobody proposed": answer(MAXIMUM, CLASS, role(ECHO, 0, 0), role(b"\xe9", 9, 9), item(0x54, b"")),
    "extended negotiation that is cut": answer(MAXIMUM, CLASS, extended(ECHO, b""), item(0x56, b"\0\xff")),
    "user identity": answer(MAXIMUM, CLASS, item(0x59, b""), item(0x59, b"\0\x09"), item(0x58, b"\1")),
    "bytes after the items": pdu(DEFAULT, OK, user(), bytes(3)),
}

#: Bodies with which there is no context to go on with.
REFUSED = {
    "no contexts": pdu(DEFAULT, user()),
    "context refused": pdu(DEFAULT, result(1, 3, IMPLICIT), user()),
    "context refused without a syntax": pdu(DEFAULT, result(1, 3), user()),
    "an unknown result": pdu(DEFAULT, result(1, 77, b"\xe9"), user()),
    "accepted without a syntax": pdu(DEFAULT, result(1), user()),
    "accepted with an empty syntax": pdu(DEFAULT, result(1, 0, b""), user()),
    "accepted with a syntax of 70": pdu(DEFAULT, result(1, 0, LONG_UID), user()),
}

#: Answers of other types, and that no association comes of them.
OTHER = {
    "rejection with unknown fields": (0x03, b"\0\x09\x09\x09"),
    "rejection that is cut": (0x03, b"\0\1"),
    "rejection without a reason": (0x03, b"\0\2\3\0"),
    "abort with an unknown source": (0x07, b"\0\0\1\x63"),
    "abort that is cut": (0x07, b""),
    "cut": (0x02, answer()[:60]),
    "an item beyond": (0x02, answer() + b"\x99\0\0\x20x"),
    "an unknown PDU": (0x99, bytes(4)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one image."""
    with Server.with_dimse(tmp_path_factory.mktemp("odd"), "--dimse-timeout", "5") as running:
        upload(running, *series(1, study=7001, PatientID=PATIENT))
        yield running
        assert "Traceback" not in running.log and "internal error" not in running.log


def echo_back(acceptor: RawAcceptor) -> None:
    context = acceptor.receive_command()
    elements = {"CommandField": 0x8030, "MessageIDBeingRespondedTo": 1, "Status": 0}
    acceptor.answer(context, AffectedSOPClassUID=VERIFICATION, **elements)
    acceptor.release()


def hang_up(acceptor: RawAcceptor) -> None:
    pass


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_association_is_used(server: Server, case: str) -> None:
    with acceptor_node(server, "ODD", ACCEPTED[case], echo_back) as name:
        answered = server.client.post(f"/api/dicom_nodes/{name}/echo")
    assert (answered.status_code, answered.json().get("ok")) == (200, True), answered.text


@pytest.mark.parametrize("case", REFUSED)
def test_an_association_without_contexts_is_none(server: Server, case: str) -> None:
    with acceptor_node(server, "ODD", REFUSED[case], hang_up) as name:
        answered = server.client.post(f"/api/dicom_nodes/{name}/echo")
    assert answered.status_code == 502 and "accepts none of the presentation contexts" in answered.text


@pytest.mark.parametrize("case", OTHER)
def test_another_answer_is_a_failure_of_the_node(server: Server, case: str) -> None:
    kind, body = OTHER[case]
    with acceptor_node(server, "ODD", body, hang_up, kind) as name:
        answered = server.client.post(f"/api/dicom_nodes/{name}/echo")
    assert answered.status_code == 502, answered.text


#: Command sets of responses to C-ECHO, and whether they are a success.
ECHO_RESPONSES = {
    "plain": (command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0), True),
    "without a group length": (command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)[12:], True),
    "with a wrong group length": (
        struct.pack("<HHII", 0, 0, 4, 9999)
        + command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)[12:],
        True,
    ),
    "with a SOP class of 70 characters": (
        struct.pack("<HHI", 0, 2, len(LONG_UID))
        + LONG_UID
        + command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)[12:],
        True,
    ),
    "with a Message ID of its own": (
        command_set(CommandField=0x8030, MessageID=5, MessageIDBeingRespondedTo=1, Status=0),
        True,
    ),
    "with a comment in Latin-1": (
        command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)
        + struct.pack("<HHI", 0, 0x0902, 100)
        + b"\xe9\\" * 50,
        True,
    ),
    "with elements of other groups": (
        command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)
        + struct.pack("<HHI", 9, 0x0010, 4)
        + b"ACME"
        + struct.pack("<HHI", 0, 0x5180, 2)
        + b"\1\1",
        True,
    ),
    "with a status of four bytes": (
        command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1) + struct.pack("<HHII", 0, 0x0900, 4, 0),
        True,
    ),
    "without a status": (command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1), False),
    "with an empty status": (
        command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1) + struct.pack("<HHI", 0, 0x0900, 0),
        False,
    ),
    "without a Message ID Being Responded To": (command_set(CommandField=0x8030, Status=0), False),
    "of another command": (command_set(CommandField=0x8020, MessageIDBeingRespondedTo=1, Status=0), False),
    "of an unknown command": (command_set(CommandField=0x8777, MessageIDBeingRespondedTo=1, Status=0), False),
    "that is cut": (command_set(CommandField=0x8030, MessageIDBeingRespondedTo=1, Status=0)[:-1], False),
    "that is empty": (b"", False),
}


@pytest.mark.parametrize("case", ECHO_RESPONSES)
def test_a_response_is_read_or_a_failure_of_the_node(server: Server, case: str) -> None:
    data, is_success = ECHO_RESPONSES[case]

    def respond(acceptor: RawAcceptor) -> None:
        acceptor.send_values(acceptor.receive_command(), data, command=True)
        acceptor.release()

    with acceptor_node(server, "ODD", answer(), respond) as name:
        answered = server.client.post(f"/api/dicom_nodes/{name}/echo")
    assert answered.status_code == (200 if is_success else 502), answered.text


def test_a_match_without_an_identifier_is_no_fault_of_ours(server: Server) -> None:
    def respond(acceptor: RawAcceptor) -> None:
        context = acceptor.receive_command()
        elements = {"CommandField": 0x8020, "AffectedSOPClassUID": STUDY_FIND, "MessageIDBeingRespondedTo": 1}
        acceptor.answer(context, Status=0xFF00, **elements)  # pending, and no match
        acceptor.answer(context, Status=0xFF00, CommandDataSetType=0, **elements)
        study = struct.pack("<HHI", 0x20, 0x0D, 72) + LONG_UID + b"\0\0"
        acceptor.send_values(context, study, command=False)
        acceptor.answer(context, Status=0, Priority=77, MoveDestination="X", **elements)
        acceptor.release()

    with acceptor_node(server, "ODD", answer(), respond) as name:
        body = {"level": "STUDY", "query": {"StudyInstanceUID": ""}}
        found = server.client.post(f"/api/dicom_nodes/{name}/find", json=body)
    assert found.status_code == 200, found.text
    assert LONG_UID.decode() in found.text


#: What follows Command Field, Message ID and the status of success in a response to C-STORE.
STORE_RESPONSES = {
    "nothing": b"",
    "a SOP instance of 70 characters": struct.pack("<HHI", 0, 0x1000, 70) + LONG_UID,
    "a SOP class in Latin-1": struct.pack("<HHI", 0, 2, 2) + b"\xe9\0",
    "an Offending Element of three bytes": struct.pack("<HHI", 0, 0x0901, 3) + b"abc",
    "a priority": struct.pack("<HHI", 0, 0x0700, 2) + b"\x63\0",
    "elements of another group": struct.pack("<HHI", 9, 0x10, 4) + b"ACME",
}


@pytest.mark.parametrize("case", STORE_RESPONSES)
def test_a_response_to_a_store_is_read(server: Server, case: str) -> None:
    def respond(acceptor: RawAcceptor) -> None:
        context = acceptor.receive_command()
        data = command_set(CommandField=0x8001, MessageIDBeingRespondedTo=1, Status=0) + STORE_RESPONSES[case]
        acceptor.send_values(context, data, command=True)
        acceptor.release()

    accept = pdu(DEFAULT, result(1, 0, EXPLICIT.encode()), user())
    with acceptor_node(server, "ODD", accept, respond) as name:
        [study] = server.client.get("/api/studies", params={"patient_id": PATIENT}).json()
        begun = server.client.post(f"/api/dicom_nodes/{name}/send", json={"studies": [study["id"]]}).json()
        job = wait_for(
            lambda: server.client.get(f"/api/jobs/{begun['id']}").json(),
            "the job's end",
            holds=lambda job: job["ended"],
        )
    assert (job["done"], job["failed"]) == (1, 0), job
