"""Processing jobs when something happens in the middle: kill -9, cancelling, other users, changes of what they need."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from neurdicom.security.bootstrap import read_first_sign_in
from tests.support.processing_jobs import GUID, JobsClient, calls, series_files, tally
from tests.support.server import Server
from tests.support.server_sent_events import all_events, followed
from tests.support.waiting import wait_for

#: Items that are under way at a time with two workers: one waits for the first worker that is free.
UNDER_WAY = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JobsClient]:
    """A server with the plugin."""
    with Server(tmp_path_factory.mktemp("faults"), "--plugin-workers", "2") as server:
        client = JobsClient(server.client)
        client.install(tally())
        yield client


@pytest.mark.parametrize("catalog", ["sqlite", "mongodb"])
def test_killed_in_the_middle(catalog: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    options = ["--plugin-workers", "2"]
    if catalog == "mongodb":
        uri = request.getfixturevalue("mongodb_uri").rstrip("/")
        options += ["--mongodb-uri", f"{uri}/killed_{tmp_path.name[-12:]}"]
    log = tmp_path / "log"
    uid, files = series_files(60)
    server = Server(tmp_path / "data", *options).start()
    try:
        here = JobsClient(server.client)
        here.install(tally())
        ids = here.store(*files)
        job = here.process("series", uid, log=str(log), seconds=0.05, bad=[3])
        seen = []
        with followed(here.http, job) as events:
            for event in events:
                seen.append(event)
                if event.type != "progress" and len(seen) > 15:
                    break
        recorded = {each["instance"] for each in here.results(job) if each["state"] != "pending"}
        assert 10 < len(recorded) < 60
    finally:
        server.kill()
    called = calls(log)
    with Server(tmp_path / "data", *options) as server:
        here = JobsClient(server.client)
        last = [each.id for each in seen if each.id][-1]
        rest = all_events(here.http, job, last)
        done = here.job(job)
        assert (done["state"], done["done"], done["failed"], done["total"]) == ("done", 59, 1, 60)
        again = {id for id, times in (calls(log) - called).items() if id in called}
        assert not again & recorded, "what was recorded is not done again"
        assert len(again) <= UNDER_WAY, "nor what has a result, recorded by the job or not"
        assert set(calls(log)) == set(ids)
        assert max(calls(log).values()) <= 2
        told = [each.data["instance"] for each in (*seen, *rest) if each.type in ("result", "failure")]
        assert sorted(told) == sorted(ids), "a client that comes again has been told of each item once"
        assert rest[-1].type == "end"


def test_stopped_in_the_middle(tmp_path: Path) -> None:
    log = tmp_path / "log"
    uid, files = series_files(30)
    options = ("--plugin-workers", "2")
    server = Server(tmp_path / "data", *options).start()
    try:
        here = JobsClient(server.client)
        here.install(tally())
        ids = here.store(*files)
        job = here.process("series", uid, log=str(log), seconds=0.1)
        with httpx.Client(base_url=server.url, timeout=60) as other, followed(other, job) as events:
            wait_for(lambda: len(calls(log)) > 5)
            assert server.stop() == 0, "a stream keeps no server from stopping"
            with pytest.raises(httpx.RemoteProtocolError):
                list(events)
    finally:
        if server.process.poll() is None:
            server.kill()
    with Server(tmp_path / "data", *options) as server:
        assert JobsClient(server.client).ended(job)["done"] == 30
        assert calls(log) == dict.fromkeys(ids, 1), "what was under way was heard to its end"


def test_cancelled_at_once(site: JobsClient, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    uid, files = series_files(30)
    site.store(*files)
    job = site.process("series", uid, gate=str(gate), log=str(log))
    wait_for(lambda: len(calls(log)) == 2)
    site.cancel(job)
    over = site.ended(job)  # the gate is closed yet: the calls under way are dropped
    assert (over["state"], over["done"], over["failed"], over["total"]) == ("cancelled", 0, 0, 30)
    gate.touch()
    assert {each["state"] for each in site.results(job)} == {"pending"}
    assert site.http.post(f"/api/jobs/{job}/retry").status_code == 202
    assert site.ended(job)["done"] == 30, "a cancelled job can be gone on with"


def test_what_waits_is_dropped_when_its_job_is_cancelled(site: JobsClient, tmp_path: Path) -> None:
    """Items that were handed on as many at a time, since those before them were short."""
    uid, files = series_files(60)
    site.store(*files)
    site.ended(site.process("series", uid))
    gate, log = tmp_path / "gate", tmp_path / "log"
    job = site.process("series", uid, gate=str(gate), log=str(log), seconds=0.2)
    wait_for(lambda: len(calls(log)) == 2)
    site.cancel(job)
    site.ended(job)
    gate.touch()
    other = site.process("series", uid, log=str(tmp_path / "other"))
    assert site.ended(other)["done"] == 60
    assert len(calls(log)) == 2


def test_cancelled_while_it_waits_and_twice(site: JobsClient, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    uid, files = series_files(3)
    site.store(*files)
    jobs = [site.process("series", uid, gate=str(gate)) for _ in range(5)]
    last = site.cancel(jobs[-1])
    assert last["state"] == "cancelled"
    assert site.http.delete(f"/api/jobs/{jobs[-1]}").status_code == 204
    site.cancel(jobs[0])
    site.cancel(jobs[0])
    gate.touch()
    assert [site.ended(job)["state"] for job in jobs[:-1]] == ["cancelled", "done", "done", "done"]


def test_a_worker_that_is_killed_costs_no_item(site: JobsClient, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    uid, files = series_files(6)
    site.store(*files)
    job = site.process("series", uid, gate=str(gate), log=str(log))
    pids = tmp_path / "log.pids"
    wait_for(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    for pid in pids.read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    gate.touch()
    over = site.ended(job)
    assert (over["done"], over["failed"]) == (6, 0)


def test_the_plugin_is_replaced_in_the_middle(site: JobsClient, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    uid, files = series_files(8)
    site.store(*files)
    old = site.install(tally("old", plugin_guid="test.moving"))
    job = site.process("series", uid, "test.moving", gate=str(gate), log=str(log))
    wait_for(lambda: len(calls(log)) == 2)
    new = site.install(tally("new", plugin_guid="test.moving"))
    now = site.http.get(f"/api/instances/{site.results(job)[0]['instance']}/process/by_plugin/test.moving").json()
    assert now["version"] == "new"
    assert site.http.delete("/api/plugins/test.moving").status_code == 204
    gate.touch()
    over = site.ended(job)
    assert (over["done"], over["failed"], over["request"]["digest"]) == (8, 0, old)
    assert new != old
    assert site.http.get("/api/plugins/test.moving").status_code == 404


def test_a_version_that_is_gone_after_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "log"
    uid, files = series_files(40)
    server = Server(tmp_path / "data", "--plugin-workers", "2").start()
    try:
        here = JobsClient(server.client)
        here.install(tally("old"))
        here.store(*files)
        job = here.process("series", uid, log=str(log), seconds=0.15)
        here.when(job, lambda now: now["done"] > 2)
        here.install(tally("new"))
    finally:
        server.kill()
    with Server(tmp_path / "data") as server:
        here = JobsClient(server.client)
        over = here.ended(job)
        assert over["state"] == "done"
        assert 2 < over["done"] < 40
        assert over["done"] + over["failed"] == 40
        assert {each["error"]["code"] for each in here.results(job, state="failed")} == {"conflict"}
        assert here.http.post(f"/api/jobs/{job}/retry").status_code == 202
        assert here.ended(job)["done"] == 40


def test_an_instance_is_deleted_in_the_middle(site: JobsClient, tmp_path: Path) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"
    uid, files = series_files(8)
    ids = site.store(*files)
    job = site.process("series", uid, gate=str(gate), log=str(log))
    wait_for(lambda: len(calls(log)) == 2)
    assert site.http.delete(f"/api/instances/{ids[-1]}").status_code == 204
    late = site.store(*series_files(1, first=9, SeriesInstanceUID=uid, StudyInstanceUID=_study_of(site, uid))[1])
    gate.touch()
    over = site.ended(job)
    assert (over["done"], over["failed"], over["total"]) == (7, 1, 8)
    assert over["errors"][0]["code"] == "not_found"
    assert over["errors"][0]["instance"] == ids[-1]
    assert late[0] not in calls(log), "what is stored later is not in the job"


def _study_of(site: JobsClient, series: str) -> str:
    return site.http.get(f"/api/series/{series}").json()["study"]


def test_one_user_starves_no_other(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--plugin-workers", "2", auth=True) as server:
        first = read_first_sign_in(server.data)
        assert first is not None
        root = signed_in(server, first.email, first.password)
        for name in ("ann", "bob"):
            user = {"email": f"{name}@example.org", "password": "correct horse"}
            assert root.http.post("/api/users", json=user).status_code == 201
        ann, bob = (signed_in(server, f"{name}@example.org", "correct horse") for name in ("ann", "bob"))
        root.install(tally())
        uid, files = series_files(60)
        ids = root.store(*files)
        small, few = series_files(4)
        root.store(*few)
        many = [ann.process("series", uid, seconds=0.3, log=str(tmp_path / f"log{n}")) for n in range(5)]
        wait_for(lambda: len(calls(tmp_path / "log0")) >= 2)

        answers = []
        for _ in range(3):
            answers.append(bob.http.get(f"/api/instances/{ids[0]}/process/by_plugin/{GUID}").status_code)
        assert answers == [200] * 3
        quick = bob.ended(bob.process("series", small, seconds=0.1))
        assert quick["done"] == 4
        stands = [ann.job(job) for job in many]
        assert all(each["state"] in ("queued", "running") for each in stands), "nobody waited for these"
        assert sum(each["done"] for each in stands) < 60
        assert bob.http.delete(f"/api/jobs/{many[0]}").status_code == 403
        assert bob.http.post(f"/api/jobs/{many[0]}/retry").status_code == 403
        for job in many:
            ann.cancel(job)
        for each in (root, ann, bob):
            each.http.close()


def signed_in(server: Server, email: str, password: str) -> JobsClient:
    """A client of a user's."""
    answer = httpx.post(f"{server.url}/api/users/auth", json={"email": email, "password": password})
    bearer = {"Authorization": f"Bearer {answer.json()['token']}"}
    return JobsClient(httpx.Client(base_url=server.url, headers=bearer, timeout=60))
