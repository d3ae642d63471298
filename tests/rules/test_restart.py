"""Rules through restarts, `kill -9`, and on several servers."""

import time
import uuid
from pathlib import Path

import pytest

from tests.support.files import dicom_file
from tests.support.rules import PLUGIN, RulesClient, uid
from tests.support.server import Server


@pytest.fixture(params=["sqlite", "mongodb"])
def options(request: pytest.FixtureRequest) -> list[str]:
    """Options of a server on each catalog."""
    if request.param == "sqlite":
        return []
    uri = request.getfixturevalue("mongodb_uri").rstrip("/")
    return ["--mongodb-uri", f"{uri}/rules_{uuid.uuid4().hex[:12]}"]


def jobs_of(here: RulesClient, rule: str) -> list[str]:
    """Ids of the jobs that a rule has made."""
    jobs = here.http.get("/api/jobs", params={"kind": "process"}).json()
    return [job["id"] for job in jobs if job["request"].get("rule") == rule]


def test_killed_before_a_series_is_stable(options: list[str], tmp_path: Path) -> None:
    note = tmp_path / "note"
    server = Server(tmp_path / "data", *options, "--stable-seconds", "3600").start()
    try:
        here = RulesClient(server.client)
        here.install()
        rule = here.rule({"modality": "OT"}, action={"plugin": PLUGIN, "params": {"note": str(note)}})
        here.store(*(dicom_file(1, series=series) for series in range(1, 4)), dicom_file(2, series=1))
    finally:
        server.kill()
    for number in range(2):  # at about the time when they are stable
        server = Server(tmp_path / "data", *options, "--stable-seconds", "0.5").start()
        try:
            time.sleep(0.4 + 0.15 * number)
        finally:
            server.kill()
    with Server(tmp_path / "data", *options, "--stable-seconds", "0.5") as server:
        here = RulesClient(server.client)
        told = here.ran(rule, 3)
        here.wait_until_idle()
        assert told["runs_count"] == 3
        assert sorted(run["job"] for run in told["runs"]) == sorted(jobs_of(here, rule)), "a job for each series"
        assert [run["done"] for run in sorted(told["runs"], key=lambda run: run["series"])] == [2, 1, 1]
        assert set(note.read_text().split()) == {uid(2), *(uid(1, series=series) for series in range(1, 4))}


def test_stopped_before_a_series_is_stable(tmp_path: Path) -> None:
    with Server(tmp_path / "data", "--stable-seconds", "3600") as server:
        here = RulesClient(server.client)
        here.install()
        rule = here.rule({})
        here.store(dicom_file(1))
        assert here.get(rule)["runs_count"] == 0
    with Server(tmp_path / "data", "--stable-seconds", "0.5") as server:
        here = RulesClient(server.client)
        assert here.ran(rule)["runs"][0]["done"] == 1
        assert len(jobs_of(here, rule)) == 1
    with Server(tmp_path / "data", "--stable-seconds", "0.5") as server:
        here = RulesClient(server.client)
        here.store(dicom_file(1, series=2))
        assert here.ran(rule, 2)["runs_count"] == 2, "what was dealt with is not again"


def test_one_of_several_servers_runs_it(mongodb_uri: str, tmp_path: Path) -> None:
    uri = f"{mongodb_uri.rstrip('/')}/rules_{uuid.uuid4().hex[:12]}"
    options = ("--mongodb-uri", uri, "--stable-seconds", "1.5")
    with Server(tmp_path / "one", *options) as one, Server(tmp_path / "two", *options) as two:
        here, there = RulesClient(one.client), RulesClient(two.client)
        here.install()
        rule = here.rule({"modality": "OT"})
        # The other server has heard of neither; its series are written down once it has.
        for number in range(4):
            (here, there)[number % 2].store(dicom_file(number))
        here.when(rule, lambda now: now["runs_count"] > 0)
        time.sleep(2.0)
        assert len(jobs_of(here, rule)) == 1
        assert there.get(rule)["runs_count"] == 1
