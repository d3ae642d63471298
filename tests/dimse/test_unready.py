"""Associations while the server migrates its catalog: rejected as transient, by any peer's means."""

import asyncio
import shutil
import socket
import subprocess

import pytest
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import Verification

from neurdicom.dimse.unready import AssociationRejecter
from neurdicom.errors import Unavailable


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def associate(port: int) -> tuple[bool, int, int, int]:
    entity = ApplicationEntity("PEER")
    entity.add_requested_context(Verification)
    association = entity.associate("127.0.0.1", port)
    rejected = association.is_rejected
    answer = association.acceptor.primitive
    entity.shutdown()
    assert answer is not None
    return rejected, answer.result, answer.result_source, answer.diagnostic


def test_an_association_is_rejected_as_transient() -> None:
    async def scenario() -> tuple[bool, int, int, int]:
        port = free_port()
        async with AssociationRejecter("127.0.0.1", port):
            return await asyncio.to_thread(associate, port)

    # PS3.8 9.3.4: rejected-transient, presentation-related service provider, temporary-congestion
    assert asyncio.run(scenario()) == (True, 2, 3, 1)


@pytest.mark.skipif(shutil.which("echoscu") is None, reason="echoscu (dcmtk) is not installed")
def test_dcmtk_says_that_it_is_transient() -> None:
    async def scenario() -> str:
        port = free_port()
        async with AssociationRejecter("127.0.0.1", port):
            done = await asyncio.to_thread(
                subprocess.run, ["echoscu", "-v", "127.0.0.1", str(port)], capture_output=True, text=True, timeout=30
            )
        return str(done.stdout + done.stderr)

    assert "Rejected Transient" in asyncio.run(scenario())


def test_peers_that_send_nothing_or_nonsense_hold_nothing() -> None:
    async def scenario() -> None:
        port = free_port()
        async with AssociationRejecter("127.0.0.1", port):
            silent = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            silent[1].close()

    asyncio.run(scenario())


def test_a_port_that_is_taken_is_told() -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(Unavailable, match=f"port {port}"):
                async with AssociationRejecter("127.0.0.1", port):
                    raise AssertionError("it listens on a port that is taken")

    asyncio.run(scenario())
