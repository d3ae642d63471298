"""The shipped settings of nginx and Caddy, in front of a server: sizes, streams, addresses, and forged headers."""

import json
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import trustme

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.checkout import CHECKOUT
from tests.support.files import dicom_file
from tests.support.processing_jobs import GUID, JobsClient, series_files, tally
from tests.support.server import Server, free_port
from tests.support.waiting import wait_for, wait_for_port

DEPLOY = CHECKOUT / "deploy"
HOST = "pacs.example.org"


@dataclass(frozen=True)
class Proxied:
    """A server behind a proxy, which ends TLS, and a client that goes to the server itself."""

    server: Server
    direct: httpx.Client
    https: int
    http: int
    trust: ssl.SSLContext

    def client(self, **options: object) -> httpx.Client:
        headers = {"Host": f"{HOST}:{self.https}", "Authorization": self.direct.headers["Authorization"]}
        return httpx.Client(base_url=f"https://localhost:{self.https}", verify=self.trust, headers=headers, timeout=30)


def nginx(folder: Path, ports: dict[str, int], keys: dict[str, Path]) -> list[str]:
    """The shipped server block, within what a distribution's nginx.conf has around it."""
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{ports['server']}"),
        ("listen 80;", f"listen 127.0.0.1:{ports['http']};"),
        ("listen 443 ssl", f"listen 127.0.0.1:{ports['https']} ssl"),
        ("/etc/ssl/neurdicom/fullchain.pem", str(keys["certificate"])),
        ("/etc/ssl/neurdicom/key.pem", str(keys["key"])),
    ):
        assert old in text, old
        text = text.replace(old, new)
    names = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"{name}_temp_path {folder}/{name};\n" for name in names)
    top = f"daemon off;\npid {folder}/nginx.pid;\nerror_log stderr;\nevents {{}}\n"
    around = f"{top}http {{\naccess_log off;\n{paths}{text}}}\n"
    (folder / "nginx.conf").write_text(around, encoding="utf-8")
    return ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, ports: dict[str, int], keys: dict[str, Path]) -> list[str]:
    """The shipped Caddyfile, with a certificate of ours in place of one that it would fetch."""
    text = (DEPLOY / "Caddyfile").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{ports['server']}")
    text = text.replace(
        f"{HOST} {{", f"https://{HOST}:{ports['https']} {{\n\ttls {keys['certificate']} {keys['key']}", 1
    )
    own = ("admin off", f"http_port {ports['http']}", f"storage file_system {folder}/storage")
    top = "{\n" + "".join(f"\t{line}\n" for line in own) + "}\n"
    (folder / "Caddyfile").write_text(top + text, encoding="utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Client]]:
    """The server, with a plugin that takes its time, and its administrator's client."""
    with Server(tmp_path_factory.mktemp("behind"), "--plugin-workers", "1", auth=True) as server:
        first = read_first_sign_in(server.data)
        assert first is not None
        asked = {"email": first.email, "password": first.password}
        token = server.client.post("/api/users/auth", json=asked).json()["token"]
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            JobsClient(client).install(tally())
            yield server, client


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def proxied(
    request: pytest.FixtureRequest, behind: tuple[Server, httpx.Client], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxied]:
    """Each proxy in turn."""
    folder = tmp_path_factory.mktemp("proxy")
    authority = trustme.CA()
    issued = authority.issue_cert(HOST, "localhost")
    keys = {"certificate": folder / "certificate.pem", "key": folder / "key.pem"}
    keys["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(keys["key"])
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    ports = {"server": int(behind[0].url.rpartition(":")[2]), "http": free_port(), "https": free_port()}
    command = request.param(folder, ports, keys)
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed (Debian: apt-get install {command[0]})")
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log, cwd=folder) as process:
        try:
            wait_for_port(ports["https"])
            yield Proxied(*behind, ports["https"], ports["http"], trust)
        finally:
            process.send_signal(signal.SIGTERM)


def test_addresses_are_those_that_clients_reach(proxied: Proxied) -> None:
    with proxied.client() as client:
        assert client.get("/api/health").json()["ready"]
        assert "max-age" in client.get("/").headers["Strict-Transport-Security"]
        forged = {"Forwarded": "host=evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "ftp"}
        body = dicom_file()
        boundary = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + body + b"\r\n--x--\r\n"
        kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
        answer = client.post("/dicom-web/studies", content=boundary, headers=kind | forged)
        assert answer.status_code == 200, answer.text
        assert f"https://{HOST}:{proxied.https}/dicom-web/studies/" in answer.text
        assert "evil" not in answer.text
    answer = httpx.get(f"http://localhost:{proxied.http}/api/docs", headers={"Host": HOST})
    assert answer.status_code == 308
    assert re.fullmatch(rf"https://{HOST}(:{proxied.https})?/api/docs", answer.headers["Location"])


def test_uploads_go_on_as_they_come(proxied: Proxied) -> None:
    """A proxy that keeps a body until it is whole would leave nothing in the server's spool."""
    spool = proxied.server.data / "blobs" / "spool"
    head = (
        f"POST /api/instances HTTP/1.1\r\nHost: {HOST}:{proxied.https}\r\nContent-Type: application/dicom\r\n"
        f"Authorization: {proxied.direct.headers['Authorization']}\r\nContent-Length: {64 << 20}\r\n\r\n"
    )
    with (
        socket.create_connection(("localhost", proxied.https)) as plain,
        proxied.trust.wrap_socket(plain, server_hostname=HOST) as connection,
    ):
        connection.sendall(head.encode() + dicom_file() + bytes(8 << 20))
        wait_for(lambda: sum(file.stat().st_size for file in spool.iterdir()) > 4 << 20)
    wait_for(lambda: not list(spool.iterdir()))


def test_events_come_as_they_happen(proxied: Proxied, tmp_path: Path) -> None:
    uid, files = series_files(4)
    JobsClient(proxied.direct).store(*files)
    with proxied.client() as client:
        asked = {"plugin": GUID, "series": [uid], "params": {"seconds": 0.5, "log": str(tmp_path / "log")}}
        job = client.post("/api/process", json=asked).json()["id"]
        came: list[float] = []
        with client.stream("GET", f"/api/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if re.match(r"event: (result|end)", line):
                    came.append(time.monotonic())
                if line == "event: end":
                    break
        assert len(came) == 5
        assert came[-1] - came[0] > 0.8, "the events came all at once"
        assert json.loads(client.get(f"/api/jobs/{job}").text)["state"] == "done"
