"""Pages of other origins: what the setting allows, and nothing more."""

import contextlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import sync_playwright

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.files import dicom_file
from tests.support.server import Server

VIEWER = "https://viewer.example"
PREFLIGHT = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization, range"}


@contextlib.contextmanager
def signed_in(folder: Path, *options: str) -> Iterator[tuple[Server, httpx.Client]]:
    """A server that asks for credentials, and a client that has one."""
    with Server(folder, *options, auth=True) as server:
        first = read_first_sign_in(server.data)
        assert first is not None
        answer = server.client.post("/api/users/auth", json={"email": first.email, "password": first.password})
        server.client.cookies.clear()
        headers = {"Authorization": f"Bearer {answer.json()['token']}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            yield server, client


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, httpx.Client]]:
    """A server that lists an origin, and a client that is signed in."""
    with signed_in(tmp_path_factory.mktemp("cors"), "--cors-origins", f"{VIEWER}, http://other.example") as running:
        yield running


def allowed(answer: httpx.Response) -> str | None:
    return answer.headers.get("Access-Control-Allow-Origin")


@pytest.mark.parametrize("path", ["/dicom-web/studies/1.2.3/metadata", "/api/studies", "/wado", "/api/health"])
def test_a_preflight_needs_no_credential(listed: tuple[Server, httpx.Client], path: str) -> None:
    answer = listed[0].client.options(path, headers={"Origin": VIEWER, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    assert allowed(answer) == VIEWER
    assert "GET" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, range"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_answers_and_errors_can_be_read_by_listed_origins(listed: tuple[Server, httpx.Client]) -> None:
    server, client = listed
    requests = [(client, "/api/studies", 200), (client, "/dicom-web/studies/1.2.3", 404), (server.client, "/wado", 401)]
    for sender, path, status in requests:
        answer = sender.get(path, headers={"Origin": VIEWER})
        assert (answer.status_code, allowed(answer)) == (status, VIEWER)
        assert {"ETag", "Content-Range", "X-Total-Count"} <= {
            each.strip() for each in answer.headers["Access-Control-Expose-Headers"].split(",")
        }
        for other in ("https://evil.example", f"{VIEWER}.evil.example", "null"):
            refused = sender.get(path, headers={"Origin": other})
            assert (refused.status_code, allowed(refused)) == (status, None)
            assert "Origin" in refused.headers["Vary"]
    refused = server.client.options("/api/studies", headers={"Origin": "https://evil.example", **PREFLIGHT})
    assert (refused.status_code, allowed(refused)) == (405, None)


def test_a_listed_origin_may_store_with_a_token(listed: tuple[Server, httpx.Client]) -> None:
    server, client = listed
    headers = {"Origin": VIEWER, "Sec-Fetch-Site": "cross-site", "Content-Type": "application/dicom"}
    assert client.post("/api/instances", content=dicom_file(), headers=headers).status_code == 201
    assert server.client.post("/api/instances", content=dicom_file(), headers=headers).status_code == 401
    token = client.headers["Authorization"].split()[1]
    headers["Cookie"] = f"neurdicom_session={token}"
    assert server.client.post("/api/instances", content=dicom_file(), headers=headers).status_code == 403


def test_nothing_is_said_without_the_setting(server: Server) -> None:
    for method in ("GET", "OPTIONS"):
        answer = server.client.request(method, "/api/studies", headers={"Origin": VIEWER, **PREFLIGHT})
        assert answer.status_code == (200 if method == "GET" else 405)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_all_origins_read_but_only_listed_ones_write_without_a_token(tmp_path: Path) -> None:
    headers = {"Origin": VIEWER, "Content-Type": "application/dicom"}
    with Server(tmp_path / "all", "--cors-origins", "*") as server:
        assert allowed(server.client.get("/api/studies", headers=headers)) == "*"
        assert server.client.post("/api/instances", content=dicom_file(), headers=headers).status_code == 403
    with Server(tmp_path / "one", "--cors-origins", VIEWER) as server:
        assert server.client.post("/api/instances", content=dicom_file(), headers=headers).status_code == 201


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>viewer</title>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def page_server() -> Iterator[str]:
    """Another origin with a page; gives it."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{pages.server_port}"
        finally:
            pages.shutdown()
            thread.join()


SCRIPT = """async ([base, token, path]) => {
    const headers = {Authorization: `Bearer ${token}`, Range: 'bytes=128-131', Accept: 'application/dicom'};
    try {
        const answer = await fetch(base + path, {headers});
        return [answer.status, answer.headers.get('Content-Range'), await answer.text()];
    } catch (error) {
        return [0, null, String(error)];
    }
}"""


def test_a_real_browser(tmp_path: Path) -> None:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not on the PATH (Debian: apt-get install chromium)")
    with page_server() as viewer, page_server() as stranger, signed_in(tmp_path, "--cors-origins", viewer) as running:
        server, client = running
        stored = client.post("/api/instances", content=dicom_file(), headers={"Content-Type": "application/dicom"})
        (found,) = stored.json()["results"]
        path = f"/dicom-web/studies/{found['study']}/series/{found['series']}/instances/{found['id']}"
        token = client.headers["Authorization"].split()[1]
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            results = []
            for origin in (viewer, stranger):
                page = browser.new_page()
                page.goto(origin)
                results.append(page.evaluate(SCRIPT, [server.url, token, path]))
            browser.close()
    size = len(dicom_file())
    assert results[0] == [206, f"bytes 128-131/{size}", "DICM"]
    assert results[1][0] == 0
