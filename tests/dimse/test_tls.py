"""TLS on the DIMSE port, with DCMTK and with sockets."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from tests.support.dimse.instances import instance, stored
from tests.support.dimse.modality import Modality, pairs
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, Ended, RawPeer
from tests.support.dimse.remotes import Destination, add_node
from tests.support.files import dicom_file
from tests.support.server import Server


@dataclass(frozen=True)
class KeyFiles:
    """Files of a CA and of two that it signed, and of one that another signed."""

    ca: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]
    stranger: tuple[Path, Path]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    folder = tmp_path_factory.mktemp("keys")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")

    def issue(by: trustme.CA, name: str) -> tuple[Path, Path]:
        issued = by.issue_cert("127.0.0.1")
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key

    return KeyFiles(folder / "ca.pem", issue(ca, "server"), issue(ca, "client"), issue(other, "stranger"))


@pytest.fixture(scope="module")
def secure(keys: KeyFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants certificates of its CA."""
    certificate, key = keys.server
    options = ["--dimse-accept", "any", "--dimse-timeout", "2"]
    options += [
        "--dimse-tls-certificate",
        str(certificate),
        "--dimse-tls-key",
        str(key),
        "--dimse-tls-ca",
        str(keys.ca),
    ]
    with Server.with_dimse(tmp_path_factory.mktemp("secure"), *options) as running:
        yield running


def secured(server: Server, keys: KeyFiles, pair: tuple[Path, Path] | None) -> RawPeer:
    """A peer that speaks TLS with a certificate, or without."""
    context = ssl.create_default_context(cafile=str(keys.ca))
    if pair is not None:
        context.load_cert_chain(*pair)
    peer = RawPeer(server.dimse_port)
    try:
        peer.socket = context.wrap_socket(peer.socket, server_hostname="127.0.0.1")
    except OSError:
        peer.socket.close()
        raise
    return peer


def test_storescu_with_a_certificate(
    secure: Server, keys: KeyFiles, tool: Callable[[str], str], tmp_path: Path
) -> None:
    file = tmp_path / "one.dcm"
    file.write_bytes(dicom_file(1, study=500))
    certificate, key = keys.client
    command = [tool("storescu"), "+tls", str(key), str(certificate), "+cf", str(keys.ca)]
    command += ["127.0.0.1", str(secure.dimse_port), str(file)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert stored(secure, "1.2.826.0.1.3680043.10.1595.9.500.1.1")


def test_large_instances_in_small_records(secure: Server, keys: KeyFiles) -> None:
    one = instance(1, study=501, NumberOfFrames=125_000, PixelData=bytes(2_000_000))
    with secured(secure, keys, keys.client).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
        for size in (1000, 262_144):
            peer.maximum = size
            assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0
        peer.release()
    content = stored(secure, one.uid)
    assert content is not None and content.endswith(one.dataset)


@pytest.mark.parametrize("who", ["nobody", "stranger"])
def test_a_certificate_of_the_ca_is_needed(secure: Server, keys: KeyFiles, who: str) -> None:
    with pytest.raises((OSError, Ended)), secured(secure, keys, keys.stranger if who == "stranger" else None) as peer:
        peer.associate((SECONDARY_CAPTURE, [EXPLICIT]))


def test_plain_peers_and_stalled_handshakes_are_let_go(secure: Server, keys: KeyFiles) -> None:
    with socket.create_connection(("127.0.0.1", secure.dimse_port), 10) as stalled:
        with RawPeer(secure.dimse_port) as plain:
            plain.send_pdu(0x01, bytes(100))
            plain.wait_for_end()
        with secured(secure, keys, keys.client).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
            peer.release()
        while stalled.recv(100):
            pass


def test_a_handshake_in_drops_is_let_go(secure: Server) -> None:
    with RawPeer(secure.dimse_port) as peer:
        peer.socket.sendall(bytes.fromhex("1603010200010001fc0303"))
        peer.socket.settimeout(0.3)
        with pytest.raises(ConnectionError):
            for _ in range(100):
                peer.socket.sendall(b"\0")
                try:
                    if not peer.socket.recv(100):
                        raise ConnectionError
                except TimeoutError:
                    continue


def test_files_that_are_no_keys_stop_the_start(tmp_path: Path, keys: KeyFiles) -> None:
    certificate, _ = keys.server
    _, key = keys.client
    command = [sys.executable, "-m", "neurdicom", "serve", "--data", str(tmp_path / "data"), "--port", "0"]
    command += ["--dimse-port", "1", "--dimse-tls-certificate", str(certificate), "--dimse-tls-key", str(key)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "dimse_tls_certificate" in done.stderr


def test_as_scu(secure: Server) -> None:
    """A node that is marked so is talked to over TLS; one that is not, or does not, is told of."""
    name = add_node(secure, "NEURDICOM", secure.dimse_port, tls=True)
    answer = secure.client.post(f"/api/dicom_nodes/{name}/echo")
    assert answer.status_code == 200, answer.text
    name = add_node(secure, "NEURDICOM", secure.dimse_port, tls=False)
    assert secure.client.post(f"/api/dicom_nodes/{name}/echo").status_code == 502
    with Destination() as plain:
        name = add_node(secure, "PLAIN", plain.port, tls=True)
        answer = secure.client.post(f"/api/dicom_nodes/{name}/echo")
        assert answer.status_code == 502
        assert "TLS" in answer.json()["detail"]


def test_storage_commitment(secure: Server, keys: KeyFiles) -> None:
    """The report goes to a modality that listens with TLS."""
    one = instance(1, study=502)
    with secured(secure, keys, keys.client).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
        assert peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0
        peer.release()
    asking = ssl.create_default_context(cafile=str(keys.ca))
    asking.check_hostname = False
    listening = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(keys.ca))
    for context in (asking, listening):
        context.load_cert_chain(*keys.client)
    listening.verify_mode = ssl.CERT_REQUIRED
    modality = Modality(secure, "COMMIT-TLS", tls=(asking, listening))
    with modality.on():
        assert modality.ask([(one.sop_class, one.uid)]).Status == 0x0000
        event, ds = modality.report()
        assert event == 1 and pairs(ds) == [(one.sop_class, one.uid)]
