"""Following jobs by server-sent events."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.processing_jobs import JobsClient, series_files, tally
from tests.support.server import Server
from tests.support.server_sent_events import Event, all_events, followed


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the plugin."""
    with Server(tmp_path_factory.mktemp("events"), "--plugin-workers", "2") as running:
        JobsClient(running.client).install(tally())
        yield running


@pytest.fixture
def site(server: Server) -> JobsClient:
    return JobsClient(server.client)


def item_events(events: list[Event]) -> list[tuple[str, str]]:
    """Type and instance of the events of items."""
    return [(each.type, each.data["instance"]) for each in events if each.type in ("result", "failure")]


def test_from_the_beginning_to_the_end(site: JobsClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    uid, files = series_files(7)
    ids = site.store(*files)
    job = site.process("series", uid, gate=str(gate), bad=[3])
    with followed(site.http, job) as events:
        first = next(events)
        assert (first.type, first.id) == ("progress", None)
        assert (first.data["state"], first.data["done"]) in (("queued", 0), ("running", 0))
        gate.touch()
        rest = list(events)
    assert rest[-1].type == "end"
    assert rest[-1].data == site.job(job)
    assert sorted(item_events(rest)) == sorted(("failure" if id == ids[2] else "result", id) for id in ids)
    assert [each.id for each in rest if each.type in ("result", "failure")] == [str(n) for n in range(1, 8)]
    assert next(each for each in rest if each.type == "failure").data["error"]["code"] == "plugin_failed"
    stands = [each.data["done"] + each.data["failed"] for each in rest if each.type == "progress"]
    assert stands == sorted(stands)
    assert stands[-1] == 7
    described = {each["number"]: each for each in site.results(job)}
    assert all(each.data == described[each.data["number"]] for each in rest if each.id and each.type != "end")


def test_a_reconnect_misses_nothing(site: JobsClient, tmp_path: Path) -> None:
    log = str(tmp_path / "log")
    uid, files = series_files(250, Rows=1, Columns=1, PixelData=b"\0\0")
    site.store(*files)
    job = site.process("series", uid, log=log, bad=[5])
    site.ended(job)
    whole = all_events(site.http, job)
    assert len(item_events(whole)) == 250
    for last in ("1", "99", "100", "101", "249", "250", "999999"):
        again = all_events(site.http, job, last)
        assert item_events(again) == item_events(whole)[int(last) :], last
        assert again[-1] == whole[-1]
    end = whole[-1].id or ""
    answer = site.http.get(f"/api/jobs/{job}/events", headers={"Last-Event-ID": end})
    assert (answer.status_code, answer.content) == (204, b""), "the client knows the end"
    assert item_events(all_events(site.http, job, params={"items": "none"})) == []

    assert site.http.post(f"/api/jobs/{job}/retry").status_code == 202
    after = all_events(site.http, job, end)
    assert [kind for kind, _ in item_events(after)] == ["failure"], "what ran again after the end"
    assert (after[-1].type, after[-1].id) == ("end", "251-end")


def test_jobs_that_keep_no_items(site: JobsClient) -> None:
    ids = site.store(*series_files(1)[1])
    site.add_node("nowhere", "http://127.0.0.1:9")
    job = site.submit("nowhere", "send", instances=ids)
    with followed(site.http, job) as events:
        assert next(events).type == "progress"
        site.cancel(job)
        rest = list(events)
    assert (rest[-1].type, rest[-1].data["state"]) == ("end", "cancelled")
    assert site.http.delete("/api/dicom_nodes/nowhere").status_code == 204


def test_a_job_that_is_forgotten_while_it_is_followed(site: JobsClient) -> None:
    job = site.process("series", series_with(site, 1))
    site.ended(job)
    assert all_events(site.http, job)[-1].type == "end"
    assert site.http.delete(f"/api/jobs/{job}").status_code == 204
    assert site.http.get(f"/api/jobs/{job}/events").status_code == 404


def series_with(site: JobsClient, count: int) -> str:
    uid, files = series_files(count)
    site.store(*files)
    return uid


def test_what_is_refused(site: JobsClient) -> None:
    job = site.process("series", series_with(site, 1))
    for headers, params, status in (
        ({"Last-Event-ID": "x"}, {}, 422),
        ({"Last-Event-ID": "-1"}, {}, 422),
        ({"Last-Event-ID": "9" * 99}, {}, 422),
        ({}, {"items": "few"}, 422),
        ({}, {"colour": "red"}, 422),
    ):
        assert site.http.get(f"/api/jobs/{job}/events", headers=headers, params=params).status_code == status
    head = site.http.head(f"/api/jobs/{job}/events")
    assert (head.status_code, head.headers["Content-Type"]) == (200, "text/event-stream; charset=utf-8")


def test_clients_that_do_not_read_stop_nobody(server: Server, site: JobsClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job = site.process("series", series_with(site, 20), gate=str(gate))
    where = urlsplit(server.url)
    idle = []
    for _ in range(20):
        one = socket.create_connection((where.hostname, where.port))
        one.sendall(f"GET /api/jobs/{job}/events HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode())
        idle.append(one)
    ends: list[str] = []

    def follow() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            ends.append(all_events(client, job)[-1].type)

    followers = [threading.Thread(target=follow) for _ in range(20)]
    for each in followers:
        each.start()
    gate.touch()
    for each in followers:
        each.join(60)
    assert ends == ["end"] * 20
    for one in idle:
        one.close()


def test_credentials(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        first = read_first_sign_in(server.data)
        assert first is not None
        sign_in = {"email": first.email, "password": first.password}
        signed = httpx.post(f"{server.url}/api/users/auth", json=sign_in)
        bearer = {"Authorization": f"Bearer {signed.json()['token']}"}
        with httpx.Client(base_url=server.url, headers=bearer, timeout=60) as http:
            site = JobsClient(http)
            site.install(tally())
            job = site.process("series", series_with(site, 2))
        assert server.client.get(f"/api/jobs/{job}/events").status_code == 401
        cookie = "; ".join(f"{name}={value}" for name, value in signed.cookies.items())
        for headers in (bearer, {"Cookie": cookie}):
            assert all_events(server.client, job, headers=headers)[-1].type == "end"
