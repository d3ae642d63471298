"""The shipped settings of nginx and Caddy, at the root and below a path: sizes, streams, URLs, and forged headers."""

import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
import trustme
from playwright.sync_api import BrowserContext, expect, sync_playwright

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.checkout import CHECKOUT
from tests.support.files import ROOT, dicom_file
from tests.support.ohif import FOLDER, Ohif
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
    prefix: str

    @property
    def url(self) -> str:
        """Where clients reach it."""
        return f"https://{HOST}:{self.https}{self.prefix}"

    def client(self, **options: object) -> httpx.Client:
        headers = {"Host": f"{HOST}:{self.https}", "Authorization": self.direct.headers["Authorization"]}
        base = f"https://localhost:{self.https}{self.prefix}"
        return httpx.Client(base_url=base, verify=self.trust, headers=headers, timeout=30)

    def follow(self, client: httpx.Client, url: str) -> httpx.Response:
        """GET a URL as an answer has it; its host's name is this machine's here."""
        assert url.startswith(f"{self.url}/"), url
        return client.get(url.replace(f"//{HOST}:", "//localhost:"))


def nginx(sample: str, folder: Path, ports: dict[str, int], keys: dict[str, Path]) -> list[str]:
    """The shipped server block, within what a distribution's nginx.conf has around it."""
    text = (DEPLOY / sample).read_text(encoding="utf-8")
    text = text.replace("listen 80;", f"listen 127.0.0.1:{ports['http']};")
    for old, new in (
        ("127.0.0.1:8080", f"127.0.0.1:{ports['server']}"),
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


def caddy(sample: str, folder: Path, ports: dict[str, int], keys: dict[str, Path]) -> list[str]:
    """The shipped Caddyfile, with a certificate of ours in place of one that it would fetch."""
    text = (DEPLOY / sample).read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8080", f"127.0.0.1:{ports['server']}")
    text = text.replace(
        f"{HOST} {{", f"https://{HOST}:{ports['https']} {{\n\ttls {keys['certificate']} {keys['key']}", 1
    )
    own = ("admin off", f"http_port {ports['http']}", f"storage file_system {folder}/storage")
    top = "{\n" + "".join(f"\t{line}\n" for line in own) + "}\n"
    (folder / "Caddyfile").write_text(top + text, encoding="utf-8")
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


@contextmanager
def behind(data: Path, *options: str) -> Iterator[tuple[Server, httpx.Client]]:
    """Run a server with a plugin that takes its time, and make its administrator's client."""
    with Server(data, "--plugin-workers", "1", *options, auth=True) as server:
        first = read_first_sign_in(server.data)
        assert first is not None
        credential = {"email": first.email, "password": first.password}
        token = server.client.post("/api/users/auth", json=credential).json()["token"]
        with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
            JobsClient(client).install(tally())
            yield server, client


@dataclass(frozen=True)
class ProxySample:
    """A shipped file: the function that makes a command of it, its name, and the path at which it serves."""

    command: Callable[[str, Path, dict[str, int], dict[str, Path]], list[str]]
    name: str
    prefix: str = ""
    is_set: bool = False


SAMPLES = {
    "nginx": ProxySample(nginx, "nginx.conf"),
    "caddy": ProxySample(caddy, "Caddyfile"),
    "nginx, path": ProxySample(nginx, "nginx-prefix.conf", "/pacs", is_set=True),
    "caddy, path": ProxySample(caddy, "Caddyfile-prefix", "/pacs"),
}


@pytest.fixture(scope="module", params=SAMPLES.values(), ids=[*SAMPLES])
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Each proxy in turn, with a server of its own."""
    sample: ProxySample = request.param
    folder = tmp_path_factory.mktemp("proxy")
    authority = trustme.CA()
    issued = authority.issue_cert(HOST, "localhost")
    keys = {"certificate": folder / "certificate.pem", "key": folder / "key.pem"}
    keys["certificate"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(keys["key"])
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    ports = {"http": free_port(), "https": free_port()}
    options = ["--public-url", f"https://{HOST}:{ports['https']}{sample.prefix}"] if sample.is_set else []
    with behind(tmp_path_factory.mktemp("behind"), "--cors-origins", "*", *options) as (server, direct):
        ports["server"] = int(server.url.rpartition(":")[2])
        command = sample.command(sample.name, folder, ports, keys)
        if shutil.which(command[0]) is None:
            pytest.skip(f"{command[0]} is not installed (Debian: apt-get install {command[0]})")
        log = (folder / "log").open("wb")
        with log, subprocess.Popen(command, stderr=log, stdout=log, cwd=folder) as process:
            try:
                wait_for_port(ports["https"])
                yield Proxied(server, direct, ports["https"], ports["http"], trust, sample.prefix)
            finally:
                process.send_signal(signal.SIGTERM)


FORGED = {
    "Forwarded": "for=198.51.100.9;host=evil.example",
    "X-Forwarded-For": "198.51.100.9",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "ftp",
    "X-Forwarded-Port": "6666",
    "X-Forwarded-Prefix": "/evil",
}


def stow(client: httpx.Client, *files: bytes, **headers: str) -> httpx.Response:
    """Store files by STOW-RS."""
    body = b"".join(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files) + b"--x--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    answer = client.post("/dicom-web/studies", content=body, headers=kind | headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_addresses_are_those_that_clients_reach(proxied: Proxied) -> None:
    with proxied.client() as client:
        assert client.get("/api/health").json()["ready"]
        for headers in ({}, FORGED):
            stored = stow(client, dicom_file(), **headers)
            assert "evil" not in stored.text and ":6666" not in stored.text
            (item,) = stored.json()["00081199"]["Value"]
            study = proxied.follow(client, stored.json()["00081190"]["Value"][0] + "/metadata")
            instance = proxied.follow(client, item["00081190"]["Value"][0] + "/metadata")
            assert study.json() == instance.json()
            pixels = proxied.follow(client, instance.json()[0]["7FE00010"]["BulkDataURI"])
            assert bytes(range(16)) in pixels.content
        (found,) = client.get("/dicom-web/studies").json()
        assert proxied.follow(client, found["00081190"]["Value"][0] + "/series").status_code == 200
        client.get("/api/health", headers=FORGED)
    wait_for(lambda: "GET /api/health" in proxied.server.log)
    assert "198.51.100.9" not in proxied.server.log


def test_plain_http_and_the_bare_path_lead_on(proxied: Proxied) -> None:
    if not proxied.prefix:
        answer = httpx.get(f"http://localhost:{proxied.http}/api/docs", headers={"Host": HOST})
        assert answer.status_code == 308
        assert re.fullmatch(rf"https://{HOST}(:{proxied.https})?/api/docs", answer.headers["Location"])
        with proxied.client() as client:
            assert "max-age" in client.get("/").headers["Strict-Transport-Security"]
        return
    with proxied.client() as client:
        answer = client.get(f"https://localhost:{proxied.https}{proxied.prefix}")
        assert (answer.status_code, urljoin(proxied.url, answer.headers["Location"])) == (308, f"{proxied.url}/")
        assert "ready" not in client.get(f"https://localhost:{proxied.https}/api/health").text


def test_references_lead_back(proxied: Proxied) -> None:
    with proxied.client() as client:
        stow(client, *(dicom_file(number, study=5) for number in range(1, 4)))
        patients = []
        for study, patient in ((6, "Left"), (7, "Right")):
            stow(client, dicom_file(study=study, patient=patient))
            (found,) = client.get("/api/patients", params={"patient_id": patient}).json()
            patients.append(found["id"])
        seen, url = [], f"{proxied.url}/api/instances?study={ROOT}.5&limit=1"
        while url:
            page = proxied.follow(client, url)
            seen += [each["id"] for each in page.json()]
            url = urljoin(url, page.links["next"]["url"]) if "next" in page.links else ""
        assert len({*seen}) == len(seen) == 3
        job = client.post("/api/storage/verify")
        assert proxied.follow(client, urljoin(proxied.url, job.headers["Location"])).json()["id"] == job.json()["id"]
        client.post(f"/api/patients/{patients[0]}/merge", json={"into": patients[1]}).raise_for_status()
        moved = client.get(f"/api/patients/{patients[0]}")
        assert moved.status_code == 308
        there = proxied.follow(client, urljoin(proxied.url, moved.headers["Location"]))
        assert there.json()["id"] == patients[1]
        server = client.get("/api/openapi.json").json()["servers"][0]["url"]
        assert urljoin(f"{proxied.url}/api/openapi.json", server).rstrip("/") == proxied.url


def test_the_page_is_used_in_a_browser(proxied: Proxied) -> None:
    first = read_first_sign_in(proxied.server.data)
    assert first is not None
    with browser(proxied) as context:
        page = context.new_page()
        page.goto(f"{proxied.url}/")
        page.get_by_role("link", name="The REST API").click()
        page.get_by_label("E-mail").fill(first.email)
        page.get_by_label("Password").fill(first.password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("#who")).to_have_text(first.email)
        expect(page.get_by_text("/api/studies", exact=True).first).to_be_visible()
        (cookie,) = context.cookies()
        assert (cookie["path"], cookie["secure"], cookie["domain"]) == (proxied.prefix or "/", True, HOST)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Password")).to_be_visible()
        assert context.cookies() == []


@contextmanager
def browser(proxied: Proxied, **options: Any) -> Iterator[BrowserContext]:
    """Run a browser, for which the host's name is this machine."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH (Debian: apt-get install chromium)")
    arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {HOST} 127.0.0.1"]
    arguments += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield chromium.new_context(ignore_https_errors=True, **options)
        chromium.close()


def test_uploads_go_on_as_they_come(proxied: Proxied) -> None:
    """A proxy that keeps a body until it is whole would leave nothing in the server's spool."""
    spool = proxied.server.data / "blobs" / "spool"
    head = (
        f"POST {proxied.prefix}/api/instances HTTP/1.1\r\nHost: {HOST}:{proxied.https}\r\n"
        f"Authorization: {proxied.direct.headers['Authorization']}\r\n"
        f"Content-Type: application/dicom\r\nContent-Length: {64 << 20}\r\n\r\n"
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
        request = {"plugin": GUID, "series": [uid], "params": {"seconds": 1.0, "log": str(tmp_path / "log")}}
        job = client.post("/api/process", json=request).json()["id"]
        came: list[float] = []
        with client.stream("GET", f"/api/jobs/{job}/events") as stream:
            for line in stream.iter_lines():
                if re.match(r"event: (result|end)", line):
                    came.append(time.monotonic())
                if line == "event: end":
                    break
        assert len(came) == 5
        assert came[-1] - came[0] > 0.8, "the events came all at once"
        over = client.get(f"/api/jobs/{job}").json()
        assert over["state"] == "done"
        items = proxied.follow(client, urljoin(proxied.url, over["results"]["url"])).json()
        for item in items:
            assert proxied.follow(client, urljoin(proxied.url, item["url"])).json()["id"] == item["result"]


@pytest.mark.parametrize(
    "proxied", [each for each in SAMPLES.values() if each.prefix], ids=lambda sample: sample.name, indirect=True
)
def test_ohif_shows_what_is_below_a_path(proxied: Proxied) -> None:
    """The viewer lists a study and asks for its pixels at the URLs that it is given."""
    if not FOLDER.is_dir():
        pytest.skip("the OHIF viewer is not here; `make ohif` fetches it")
    pixels = bytes(range(256)) * 16
    image: dict[str, Any] = {
        "Rows": 64,
        "Columns": 64,
        "PixelData": pixels,
        "StudyDescription": "Behind a proxy",
        "Modality": "CT",
    }
    with proxied.client() as client:
        stow(client, dicom_file(study=9, patient="OHIF", StudyDate="20240102", **image))
    authorization = {"Authorization": proxied.direct.headers["Authorization"]}
    with Ohif() as ohif, browser(proxied, extra_http_headers=authorization) as context:
        ohif.show(proxied.url)
        page = context.new_page()
        page.set_default_timeout(60_000)
        answers: dict[str, int] = {}
        page.on("response", lambda answer: answers.__setitem__(answer.url, answer.status))
        page.goto(f"{ohif.url}/")
        expect(page.get_by_role("row").filter(has_text="Behind a proxy")).to_be_visible(timeout=60_000)
        page.goto(f"{ohif.url}/viewer?StudyInstanceUIDs={ROOT}.9")
        page.get_by_text("Skip all").click()
        expect(page.locator("canvas.cornerstone-canvas").first).to_be_visible(timeout=60_000)
        wait_for(lambda: page.wait_for_timeout(100) or [url for url in answers if "/frames/" in url])
    own = {url: status for url, status in answers.items() if HOST in url}
    assert {url for url in own if not url.startswith(f"{proxied.url}/dicom-web")} == set()
    assert {url for url, status in own.items() if status >= 400} == set()
