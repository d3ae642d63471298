"""URLs in answers, paths, cookies and the log of a server behind proxies."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urljoin
from xml.etree import ElementTree as ET

import httpx
import pytest

from neurdicom.config import Settings
from neurdicom.errors import Invalid
from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.api import upload
from tests.support.files import dicom_file
from tests.support.server import Server
from tests.support.waiting import wait_for

PUBLIC = "https://pacs.example.org:8443/pacs"
FORWARDED = {
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "pacs.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Port": "8443",
    "X-Forwarded-Prefix": "/pacs",
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as it starts by itself: it believes what comes from this machine."""
    with Server(tmp_path_factory.mktemp("local")) as running:
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that believes no peer of these tests."""
    with Server(tmp_path_factory.mktemp("strict"), "--trusted-proxies", "192.0.2.0/24,2001:db8::1") as running:
        yield running


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server below a prefix, that asks for credentials."""
    with Server(tmp_path_factory.mktemp("public"), "--public-url", PUBLIC + "/", auth=True) as running:
        first = read_first_sign_in(running.data)
        assert first is not None
        answer = running.client.post("/api/users/auth", json={"email": first.email, "password": first.password})
        running.client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        running.client.cookies.clear()
        yield running


def store(client: httpx.Client, headers: dict[str, str]) -> tuple[str, str, list[str]]:
    """Store an instance by STOW-RS, and answer its id, its path, and all URLs that DICOMweb gives for it."""
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + dicom_file() + b"\r\n--x--\r\n"
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=x'}
    stored = client.post("/dicom-web/studies", content=body, headers={**headers, **kind})
    assert stored.status_code == 200, stored.text
    found = re.findall(r'"((?:http|/)[^"]*)"', stored.text)
    path = max((each.partition("/dicom-web")[2] for each in found), key=len)
    study = path.split("/")[2]
    listed = client.get("/dicom-web/instances", params={"StudyInstanceUID": study}, headers=headers).json()
    urls = [*found, *(each["00081190"]["Value"][0] for each in listed)]
    metadata = client.get(f"/dicom-web{path}/metadata", headers=headers).json()
    urls.append(metadata[0]["7FE00010"]["BulkDataURI"])
    return path.rpartition("/")[2], f"/dicom-web{path}", urls


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"Forwarded": 'for=192.0.2.1;host="pacs.example.org:8443";proto=https'}, "https://pacs.example.org:8443"),
        (FORWARDED, PUBLIC),
        ({"Host": "localhost"}, "http://localhost"),
        ({"Host": "127.0.0.1:9"}, "http://127.0.0.1:9"),
    ],
)
def test_every_url_is_the_clients(local: Server, headers: dict[str, str], base: str) -> None:
    _, _, urls = store(local.client, headers)
    assert len(urls) == 4
    assert {url.partition("/dicom-web")[0] for url in urls} == {base}


def test_an_untrusted_peer_is_not_believed(strict: Server) -> None:
    _, _, urls = store(strict.client, FORWARDED)
    assert {url.partition("/dicom-web")[0] for url in urls} == {strict.url}
    page = strict.client.get("/", headers=FORWARDED)
    assert 'href="api/docs"' in page.text
    strict.client.get("/api/health", headers={**FORWARDED, "X-Request-ID": "untrusted"})
    wait_for(lambda: "[untrusted]" in strict.log)
    line = next(line for line in strict.log.splitlines() if "[untrusted]" in line)
    assert "address=127.0.0.1" in line


def test_the_setting_wins(public: Server) -> None:
    for headers in ({}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Prefix": "/evil"}):
        _, _, urls = store(public.client, headers)
        assert {url.partition("/dicom-web")[0] for url in urls} == {PUBLIC}


@pytest.mark.parametrize("below", ["", "/pacs"], ids=["stripped", "not stripped"])
def test_a_prefix_is_taken_away_by_the_proxy_or_here(public: Server, below: str) -> None:
    instance, path, _ = store(public.client, {})
    assert public.client.get(below + path).status_code == 200
    assert public.client.get(f"{below}/api/instances/{instance}").json()["id"] == instance
    page = public.client.get(below + "/")
    assert re.findall(r'href="(/[^"]*)"', page.text) == [
        f"/pacs/{each}" for each in ("api/docs", "api/openapi.json", "dicom-web", "api/health")
    ]
    assert public.client.get(f"{below}/nothing").status_code == 404
    assert public.client.get(f"/other{path}").status_code == 404


def test_descriptions_name_the_server(public: Server, local: Server) -> None:
    for path in ("/api/openapi.json", "/dicom-web?accept=application/json"):
        assert public.client.get(path).json()["servers"] == [{"url": PUBLIC}]
        assert local.client.get(path).json()["servers"] == [{"url": "/"}]
        assert local.client.get(path, headers=FORWARDED).json()["servers"] == [{"url": "/pacs"}]
    resources = ET.fromstring(public.client.get("/dicom-web").text)[0]
    assert resources.get("base") == PUBLIC + "/"


@pytest.mark.parametrize("kind", ["setting", "headers"])
def test_references_in_headers_lead_back(local: Server, public: Server, kind: str) -> None:
    client, headers = (public.client, {}) if kind == "setting" else (local.client, FORWARDED)
    first, second = (upload(client, dicom_file(number, study=7, PatientID="Link")) for number in (1, 2))
    page = client.get(f"/api/instances?study={first['study']}&limit=1", headers=headers)
    following = urljoin(f"{PUBLIC}/api/instances", page.links["next"]["url"])
    assert following.startswith(f"{PUBLIC}/api/instances?") and "offset=1" in following
    assert page.links["next"]["url"].startswith("/pacs/api/"), "a relative reference"
    rest = client.get(following.removeprefix(PUBLIC), headers=headers).json()
    assert {page.json()[0]["id"], rest[0]["id"]} == {first["id"], second["id"]}
    job = client.post("/api/storage/verify", headers=headers)
    assert job.headers["Location"] == f"/pacs/api/jobs/{job.json()['id']}"
    node = {"protocol": "DIMSE", "ae_title": "A", "host": "localhost", "port": 104, "name": "behind"}
    made = client.post("/api/dicom_nodes", json=node, headers=headers)
    assert made.headers["Location"] == "/pacs/api/dicom_nodes/behind"
    client.delete("/api/dicom_nodes/behind").raise_for_status()


def test_a_redirection_stays_below_the_prefix(public: Server) -> None:
    left, right = (
        upload(public.client, dicom_file(study=study, patient=each)) for study, each in ((8, "Left"), (9, "Right"))
    )
    patients = [public.client.get(f"/api/instances/{each['id']}").json()["patient"] for each in (left, right)]
    merged = public.client.post(f"/api/patients/{patients[0]}/merge", json={"into": patients[1]})
    assert merged.status_code == 200, merged.text
    for path in ("/api/patients", "/pacs/api/patients", "//api//patients/"):
        answer = public.client.get(f"{public.url}{path}/{patients[0]}/studies?limit=5")
        assert answer.status_code == 308
        assert answer.headers["Location"] == f"/pacs/api/patients/{patients[1]}/studies?limit=5"


def test_the_cookie_is_for_the_prefix_and_for_tls(public: Server) -> None:
    first = read_first_sign_in(public.data)
    assert first is not None
    asked = {"email": first.email, "password": first.password}
    with httpx.Client(base_url=public.url) as client:
        answer = client.post("/api/users/auth", json=asked, headers={"Origin": "https://pacs.example.org:8443"})
        assert answer.status_code == 200, answer.text
        fields = {each.strip().lower() for each in answer.headers["Set-Cookie"].split(";")[1:]}
        assert {"path=/pacs", "secure", "httponly", "samesite=strict"} <= fields
        token = {"Authorization": f"Bearer {answer.json()['token']}"}
        out = client.post("/api/users/logout", headers=token)
        assert "path=/pacs" in out.headers["Set-Cookie"].lower()


def test_only_the_pages_of_the_public_url_may_change_anything(public: Server) -> None:
    for origin, status in (
        ("https://pacs.example.org:8443", 204),
        (public.url, 204),
        ("https://pacs.example.org", 403),
        ("https://evil.example", 403),
    ):
        first = read_first_sign_in(public.data)
        assert first is not None
        with httpx.Client(base_url=public.url) as client:
            asked = {"email": first.email, "password": first.password}
            answer = client.post("/api/users/auth", json=asked)
            cookie = {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}
            client.cookies.clear()
            out = client.post("/api/users/logout", headers={**cookie, "Origin": origin})
            assert out.status_code == status, out.text


def test_without_credentials_the_host_header_alone_counts(local: Server) -> None:
    """A page that rebinds its name to this machine can send any header but this one."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "localhost", "Forwarded": "host=localhost"}
    assert local.client.get("/api/studies", headers=headers).status_code == 403


def test_failed_sign_ins_count_for_the_client(public: Server) -> None:
    def attempt(address: str) -> int:
        asked = {"email": "nobody@example.org", "password": "wrong"}
        return public.client.post("/api/users/auth", json=asked, headers={"X-Forwarded-For": address}).status_code

    assert [attempt("192.0.2.77") for _ in range(6)][-1] == 429
    assert attempt("192.0.2.78") == 401


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({"X-Forwarded-For": "198.51.100.7, 192.0.2.1, 127.0.0.1"}, "192.0.2.1"),
        ({"Forwarded": 'for="[2001:db8::1]:4711"'}, "2001:db8::1"),
    ],
)
def test_the_log_has_the_clients_address(local: Server, headers: dict[str, str], address: str) -> None:
    local.client.get("/api/health", headers={**headers, "X-Request-ID": address})
    wait_for(lambda: f"[{address}]" in local.log)
    line = next(line for line in local.log.splitlines() if f"[{address}]" in line)
    assert f"address={address} " in line


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web//studies",
        "//dicom-web/studies",
        "///dicom-web///studies//",
        "/dicom-web/studies//{study}//series",
        "/api//studies/{study}",
        "//api//health",
        "/api/studies//{study}",
    ],
)
def test_empty_elements_of_a_path_do_not_count(local: Server, path: str) -> None:
    stored = upload(local.client, dicom_file())
    # httpx keeps the path as it is given only in a whole URL.
    answer = httpx.get(local.url + path.format(**stored))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/dicom-web/studies//series",
        "//dicom-web//studies//series",
        "/dicom-web/studies//series/1.2/metadata",
        "/api/studies//series",
        "/api/instances//file",
    ],
)
def test_what_follows_an_empty_id_is_not_taken_for_it(local: Server, path: str) -> None:
    answer = httpx.get(local.url + path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == f"there is nothing at {'/' + path.lstrip('/')}"


def test_an_encoded_slash_stays_in_its_id(local: Server) -> None:
    answer = httpx.get(f"{local.url}/api//dicom_nodes/a%2F%2Fb")
    assert (answer.status_code, "'a//b'" in answer.text) == (404, True), answer.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("public_url", "pacs.example.org"),
        ("public_url", "ftp://pacs.example.org"),
        ("public_url", "https://user@pacs.example.org"),
        ("public_url", "https://pacs.example.org/?x"),
        ("public_url", "https://pacs.example.org/#"),
        ("public_url", "https://pacs.example.org//x"),
        ("public_url", "https://pacs.example.org/../x"),
        ("public_url", "https://pacs example.org"),
        ("public_url", "https://pacs.example.org:0"),
        ("public_url", "https://"),
        ("public_url", "https://["),
        ("trusted_proxies", "proxy.example"),
        ("trusted_proxies", "10.0.0.0/40"),
        ("trusted_proxies", "*"),
    ],
)
def test_settings_are_checked(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name) as refused:
        Settings(**json.loads(json.dumps({name: value})))
    assert refused.value.field == name
