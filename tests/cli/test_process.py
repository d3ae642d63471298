"""`neurdicom process`: on a running server and on the folder of a stopped one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processing_jobs import GUID, JobsClient, calls, series_files, tally
from tests.support.server import Server, free_port


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the plugin."""
    with Server(tmp_path_factory.mktemp("commands"), "--plugin-workers", "2") as running:
        JobsClient(running.client).install(tally())
        yield running


def begin(*arguments: str) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NEURDICOM_")}
    command = [sys.executable, "-m", "neurdicom", "process", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environment
    )


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error."""
    process = begin(*arguments)
    output, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
    return process.returncode, output, errors


def stored(server: Server, count: int) -> tuple[str, list[str]]:
    uid, files = series_files(count)
    return uid, JobsClient(server.client).store(*files)


def test_a_series(server: Server, tmp_path: Path) -> None:
    uid, ids = stored(server, 5)
    where = ("--server", server.url, GUID, "--on", "series", uid)
    status, output, errors = run(*where, "-p", f"log={tmp_path / 'log'}")
    assert (status, errors.count("Error")) == (0, 0), errors
    assert output.startswith("done: 5 done, 0 failed (job ")
    assert calls(tmp_path / "log") == dict.fromkeys(ids, 1)

    status, output, errors = run(*where, "-p", "bad=2,3")
    assert status == 1
    assert output.startswith("done: 3 done, 2 failed")
    assert "slice 2 is bad" in errors
    assert ids[1] in errors

    status, output, _ = run(*where, "-p", "bad=2", "--json")
    assert status == 1
    lines = [json.loads(line) for line in output.splitlines()]
    assert sorted(line["event"] for line in lines[:-1]) == ["failure"] + ["result"] * 4
    assert (lines[-1]["event"], lines[-1]["done"], lines[-1]["failed"]) == ("end", 4, 1)
    assert {line["instance"] for line in lines[:-1]} == set(ids)


def test_filters(server: Server) -> None:
    uid, ids = stored(server, 3)
    where = ("--server", server.url, GUID)
    filters = ("--filter", f"series_instance_uid={uid}", "--filter", "instance_number=2-")
    status, output, _ = run(*where, *filters, "--dry-run")
    assert (status, json.loads(output)) == (0, {"total": 2, "skipped": {}})
    status, output, _ = run(*where, *filters, "--json")
    assert status == 0
    assert {json.loads(line)["instance"] for line in output.splitlines()[:-1]} == set(ids[1:])


def test_what_is_refused(server: Server, tmp_path: Path) -> None:
    uid, _ = stored(server, 1)
    where = ("--server", server.url)
    on = ("--on", "series", uid)
    for arguments, status, told in (
        ((*where, GUID, *on, "-p", "seconds=long"), 2, "seconds"),
        ((*where, GUID, *on, "-p", "colour=red"), 2, "colour"),
        ((*where, GUID, *on, "-p", "seconds"), 2, "NAME=VALUE"),
        ((*where, GUID, "--filter", "colour=red"), 2, "colour"),
        ((*where, GUID), 2, "--filter"),
        ((*where, GUID, *on, "--all"), 2, "--filter"),
        ((GUID, *on), 2, "--server"),
        ((*where, "--data", str(tmp_path), GUID, *on), 2, "one of them is expected"),
        ((*where, "nothing", *on), 1, "no plugin"),
        ((*where, "nothing", *on, "--model"), 1, "no model"),
        ((*where, GUID, "--on", "series", "1.2.3"), 1, "no series"),
        (("--server", f"http://127.0.0.1:{free_port()}", GUID, *on), 1, "does not answer"),
        (("--server", "nonsense", GUID, *on), 1, "nonsense does not answer: a URL that begins with http"),
        (("--data", str(server.data), GUID, *on), 1, "neurdicom:"),
    ):
        found, output, errors = run(*arguments)
        assert found == status, (arguments, output, errors)
        assert told in errors


def test_a_token(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        on = ("--server", server.url, GUID, "--all")
        for arguments in (on, (*on, "--token", "wrong")):
            status, _, errors = run(*arguments)
            assert status == 1
            assert "neurdicom:" in errors


def test_interrupted(server: Server, tmp_path: Path) -> None:
    uid, _ = stored(server, 40)
    log = tmp_path / "log"
    job = begin("--server", server.url, GUID, "--on", "series", uid, "-p", "seconds=0.2", "-p", f"log={log}", "--json")
    wait_for_calls(log, 3)
    job.send_signal(signal.SIGINT)
    output, errors = job.communicate(timeout=30)
    assert job.returncode == 130, errors
    end = json.loads(output.splitlines()[-1])
    assert (end["event"], end["state"]) == ("end", "cancelled")
    assert JobsClient(server.client).job(end["id"])["state"] == "cancelled"


def wait_for_calls(log: Path, count: int) -> None:
    end = time.monotonic() + 30
    while len(calls(log)) < count:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_server_comes_back(tmp_path: Path) -> None:
    options = ("--plugin-workers", "2", "--port", str(free_port()))
    server = Server(tmp_path / "data", *options).start()
    log = tmp_path / "log"
    try:
        JobsClient(server.client).install(tally())
        uid, ids = stored(server, 30)
        job = begin(
            "--server", server.url, GUID, "--on", "series", uid, "-p", "seconds=0.1", "-p", f"log={log}", "--json"
        )
        wait_for_calls(log, 5)
    finally:
        server.kill()
    with Server(tmp_path / "data", *options):
        output, errors = job.communicate(timeout=60)
        assert job.returncode == 0, errors
        lines = [json.loads(line) for line in output.splitlines()]
        assert sorted(line["instance"] for line in lines[:-1]) == sorted(ids)
        assert lines[-1]["done"] == 30


def test_the_folder_of_a_stopped_server(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        JobsClient(server.client).install(tally())
        uid, ids = stored(server, 4)
    where = ("--data", str(tmp_path / "data"), GUID)
    status, output, errors = run(*where, "--on", "series", uid, "-p", "bad=1", "-p", f"log={tmp_path / 'log'}")
    assert (status, output[:22]) == (1, "done: 3 done, 1 failed"), errors
    assert calls(tmp_path / "log") == dict.fromkeys(ids, 1)
    assert run(*where, "--all", "--dry-run")[1] == '{"total": 4, "skipped": {}}\n'
    with Server(tmp_path / "data") as server:
        job = server.client.get("/api/jobs").json()[0]
        assert (job["kind"], job["done"], job["failed"]) == ("process", 3, 1)
