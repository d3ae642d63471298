"""All items of an A-ASSOCIATE-RQ, in the forms in which peers send them, right or wrong (PS3.8 9.3.2, PS3.7 D.3.3)."""

import contextlib
import struct

import pytest

from tests.support.dimse.association_items import (
    APPLICATION,
    CLASS,
    ECHO,
    IMPLICIT,
    LONG_UID,
    MAXIMUM,
    NAME,
    context,
    extended,
    identity,
    item,
    pdu,
    request,
    role,
    user,
    with_length,
)
from tests.support.dimse.peer import EXPLICIT, Ended, RawPeer, Rejected
from tests.support.server import Server

DEFAULT = item(0x10, APPLICATION)
FIND = b"1.2.840.10008.5.1.4.1.2.2.1"


def with_user(*sub_items: bytes) -> bytes:
    return request(user(MAXIMUM, CLASS, NAME, *sub_items))


#: PDUs whose first context is accepted, and serves C-ECHO.
ACCEPTED = {
    "plain": request(user()),
    "protocol version 3": request(user(), version=3),
    "protocol version FFFF": request(user(), version=0xFFFF),
    "titles padded with NUL": request(user(), called=b"NEURDICOM".ljust(16, b"\0"), calling=b"CT1".ljust(16, b"\0")),
    "titles with garbage after NUL": request(user(), called=b"NEURDICOM\0\xff\1", calling=b"CT1\0\\\x1b"),
    "titles with leading blanks": request(user(), called=b"  NEURDICOM", calling=b"  CT1"),
    "title in Latin-1": request(user(), calling=b"CT\xe9"),
    "title in UTF-8": request(user(), calling="CTé".encode()),
    "title with a backslash": request(user(), calling=b"CT\\1"),
    "title with a control character": request(user(), calling=b"\x1bCT1"),
    "reserved fields set": pdu(
        item(0x10, APPLICATION, 9),
        item(0x20, b"\1\xff\xff\xff" + item(0x30, ECHO, 7) + item(0x40, IMPLICIT, 7), 3),
        item(0x50, MAXIMUM + CLASS + NAME, 4),
        reserved=b"\xff" * 34,
    ),
    "application context padded": pdu(item(0x10, APPLICATION + b"\0"), context(), user()),
    "application context twice": pdu(DEFAULT, item(0x10, b"1.2.3"), context(), user()),
    "items in another order": pdu(user(), context(), DEFAULT),
    "id 255": pdu(DEFAULT, context(255), user()),
    "even id": pdu(DEFAULT, context(2), user()),
    "id 0": pdu(DEFAULT, context(0), user()),
    "odd and even ids": pdu(DEFAULT, context(1), context(2), user()),
    "even and odd ids": pdu(DEFAULT, context(2), context(1), user()),
    "one id twice": pdu(DEFAULT, context(1), context(1, b"1.2.840.10008.5.1.4.1.1.7"), user()),
    "300 contexts": pdu(DEFAULT, *(context(number & 255) for number in range(1, 301)), user()),
    "abstract syntax padded": pdu(DEFAULT, context(1, ECHO + b"\0"), user()),
    "abstract syntax padded twice": pdu(DEFAULT, context(1, ECHO + b"\0\0"), user()),
    "abstract syntax padded with a blank": pdu(DEFAULT, context(1, ECHO + b" "), user()),
    "abstract syntax last": pdu(DEFAULT, item(0x20, b"\1\0\0\0" + item(0x40, IMPLICIT) + item(0x30, ECHO)), user()),
    "abstract syntax twice": pdu(DEFAULT, context(1, further=item(0x30, b"1.2.3")), user()),
    **{
        f"another context with the abstract syntax {name!r}": pdu(DEFAULT, context(), context(3, name), user())
        for name in (b"hello world", b"1.2\xe9", b"", None, LONG_UID, b"1." + b"2" * 998, b"1.2\\3", b"?", b"1.2.*")
    },
    "no transfer syntax": pdu(DEFAULT, context(1, syntaxes=()), user()),
    "an empty transfer syntax": pdu(DEFAULT, context(1, syntaxes=(b"",)), user()),
    **{
        f"transfer syntax {name!r} beside a usual one": pdu(DEFAULT, context(1, syntaxes=(name, IMPLICIT)), user())
        for name in (b"", b"\xe9", LONG_UID, b"hello", b"1.2.3", IMPLICIT)
    },
    "transfer syntax padded": pdu(DEFAULT, context(1, syntaxes=(IMPLICIT + b"\0",)), user()),
    "transfer syntax padded with a blank": pdu(DEFAULT, context(1, syntaxes=(IMPLICIT + b" ",)), user()),
    "unknown items": request(item(0x99, b"abc"), item(0, b""), user()),
    "unknown item in a context": pdu(DEFAULT, context(1, further=item(0x77, b"xx")), user()),
    "unknown sub-items": with_user(item(0x5F, b"zz"), item(0, b"")),
    "a context without anything": request(item(0x20, b""), user()),
    "a context that is cut": request(item(0x20, b"\3\0\0"), user()),
    "a context without syntaxes": request(item(0x20, b"\3\0\0\0"), user()),
    "a context of an A-ASSOCIATE-AC": request(item(0x21, b"\1\0\0\0" + item(0x40, IMPLICIT)), user()),
    "no user information": request(),
    "empty user information": request(item(0x50, b"")),
    "user information twice": request(user(), user()),
    "no Maximum Length": request(user(CLASS, NAME)),
    **{
        f"Maximum Length {value.hex()!r}": request(user(item(0x51, value), CLASS, NAME))
        for value in (bytes(4), b"", b"\x40\0", b"\0\0\x40\0\0\0\0\0", b"\xff" * 4)
    },
    "Maximum Length twice": request(user(MAXIMUM, MAXIMUM, CLASS, NAME)),
    "no Implementation Class UID": request(user(MAXIMUM, NAME)),
    **{
        f"Implementation Class UID {value!r}": request(user(MAXIMUM, item(0x52, value), NAME))
        for value in (b"", LONG_UID, b"hello \xe9", b"1" * 2000)
    },
    **{
        f"Implementation Version Name {value!r}": request(user(MAXIMUM, CLASS, item(0x55, value)))
        for value in (b"", b"VERYLONGVERSIONNAME_", b"V" * 300, b"V\xe9", b"V1\0", b"V\\1", b"\x1b\n")
    },
    "sub-items twice": with_user(CLASS, NAME),
    **{
        f"asynchronous operations {value.hex()!r}": with_user(item(0x53, value))
        for value in (b"\0\5\0\5", bytes(4), b"", b"\0\1", b"\0\1" * 4)
    },
    **{
        f"role {scu} {scp} of {uid!r}": with_user(role(uid, scu, scp))
        for uid in (ECHO, b"1.2.3", b"", b"\xe9", LONG_UID, ECHO + b"\0")
        for scu, scp in ((1, 0), (0, 1), (1, 1), (0, 0), (2, 9))
    },
    **{
        f"role {value!r}": with_user(item(0x54, value))
        for value in (b"", b"\0", with_length(ECHO), with_length(ECHO) + b"\1", b"\0\xff" + ECHO + b"\1\1")
    },
    "role twice": with_user(role(ECHO, 1, 0), role(ECHO, 1, 1)),
    **{
        f"extended negotiation {information[:4]!r} of {uid!r}": with_user(extended(uid, information))
        for uid in (ECHO, FIND, b"", b"\xe9", LONG_UID)
        for information in (b"", b"\1", b"\1\1\1\1", b"\xff" * 300)
    },
    "extended negotiation of nothing": with_user(item(0x56, b"")),
    "extended negotiation that is cut": with_user(item(0x56, b"\0\xff" + ECHO)),
    "common extended negotiation": with_user(
        item(0x57, with_length(ECHO) + with_length(b"1.2") + with_length(with_length(b"1.3")))
    ),
    **{
        f"common extended negotiation {value!r}": with_user(item(0x57, value))
        for value in (b"", b"\0\xff" + ECHO, with_length(b"\xe9") + with_length(b"") + b"\0\7\0\3")
    },
    **{
        f"user identity {kind} with answer {answer}": with_user(identity(kind, answer=answer, secondary=b"pw"))
        for kind in (0, 1, 2, 3, 4, 5, 6, 255)
        for answer in (0, 1, 2)
    },
    **{
        f"user identity {value!r}": with_user(item(0x58, value))
        for value in (b"", b"\1", b"\1\0\0\x09ab", b"\1\0\0\2ab", b"\1\1\0\0\0\0")
    },
    "user identity twice": with_user(identity(1), identity(2)),
    "user identity of an A-ASSOCIATE-AC": with_user(item(0x59, b"\0\0")),
    **{f"{size} bytes after the items": request(user(), bytes(size)) for size in (1, 2, 3, 4, 12)},
    "bytes after the sub-items": request(item(0x50, MAXIMUM + CLASS + NAME + b"\0\0")),
}

#: PDUs that are rejected, with result, source and reason.
REJECTED = {
    "protocol version 0": (request(user(), version=0), (1, 2, 2)),
    "protocol version 2": (request(user(), version=2), (1, 2, 2)),
    "calling title blank": (request(user(), calling=b""), (1, 1, 3)),
    "calling title of NUL": (request(user(), calling=bytes(16)), (1, 1, 3)),
    "called title blank": (request(user(), called=b""), (1, 1, 7)),
    "called title of NUL": (request(user(), called=bytes(16)), (1, 1, 7)),
    "no application context": (pdu(context(), user()), (1, 1, 2)),
    **{
        f"application context {name!r}": (pdu(item(0x10, name), context(), user()), (1, 1, 2))
        for name in (b"", b"1.2.3", b"1.2\xe9", LONG_UID)
    },
    "no contexts": (pdu(DEFAULT, user()), (1, 1, 1)),
    "only contexts that are none": (pdu(DEFAULT, item(0x20, b"\1"), user()), (1, 1, 1)),
    "no items": (pdu(), (1, 1, 2)),
}


def answer_to(server: Server, body: bytes) -> RawPeer:
    """Associate with the body of an A-ASSOCIATE-RQ."""
    peer = RawPeer(server.dimse_port)
    try:
        return peer.request_with(body)
    except BaseException:
        peer.socket.close()
        raise


@pytest.mark.parametrize("case", ACCEPTED)
def test_it_is_accepted(dimse: Server, case: str) -> None:
    with answer_to(dimse, ACCEPTED[case]) as peer:
        number = next(iter(peer.accepted))
        assert peer.echo(number) == 0
        peer.release()


@pytest.mark.parametrize("case", REJECTED)
def test_it_is_rejected_with_the_reason(dimse: Server, case: str) -> None:
    body, reason = REJECTED[case]
    with pytest.raises(Rejected) as refusal:
        answer_to(dimse, body)
    assert refusal.value.args == reason


@pytest.mark.parametrize(
    "body", [request(user())[:60], request(user(), b"\x99\0\0\x20x"), b""], ids=["cut", "beyond", ""]
)
def test_what_does_not_fit_is_aborted(dimse: Server, body: bytes) -> None:
    with pytest.raises(Ended):
        answer_to(dimse, body)


def test_each_context_gets_its_result(dimse: Server) -> None:
    proposed = pdu(
        DEFAULT,
        context(1),
        context(4, EXPLICIT.encode()),
        context(6, syntaxes=(b"1.2.3",)),
        context(7, syntaxes=(LONG_UID,)),
        context(8, syntaxes=(EXPLICIT.encode(), IMPLICIT)),
        user(),
    )
    with answer_to(dimse, proposed) as peer:
        assert peer.results == {1: 0, 4: 3, 6: 4, 7: 4, 8: 0}
        assert peer.accepted == {1: IMPLICIT.decode(), 8: EXPLICIT}
        assert peer.echo(8) == peer.echo(1) == 0


def test_the_titles_come_back_as_they_were_sent(dimse: Server) -> None:
    titles = b"NEURDICOM".ljust(16, b"\0") + b"  CT\xe9".ljust(16)
    with RawPeer(dimse.dimse_port) as peer:
        peer.send_pdu(0x01, request(user(), called=titles[:16], calling=titles[16:]))
        kind, body = peer.receive_pdu()
    assert (kind, body[4:36]) == (0x02, titles)


def test_nothing_of_it_is_an_internal_error(dimse: Server) -> None:
    """All cases again, as fast as they go, and no traceback in the log."""
    for body in [*ACCEPTED.values(), *(body for body, _ in REJECTED.values())]:
        with RawPeer(dimse.dimse_port) as peer, contextlib.suppress(Rejected, Ended):
            peer.request_with(body)
    assert "Traceback" not in dimse.log and "internal error" not in dimse.log


def test_a_small_maximum_is_heeded(dimse: Server) -> None:
    """Fragment what is sent to a peer that names no maximum as to one of 16 KiB; and refuse what no message fits."""
    with pytest.raises(Rejected):
        answer_to(dimse, request(user(item(0x51, struct.pack(">I", 10)))))
