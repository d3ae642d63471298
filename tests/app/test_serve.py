"""`neurdicom serve`, `reindex` and `demo` as processes."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from pydicom.data import get_testdata_file

from tests.support.checkout import CHECKOUT
from tests.support.server import Server, free_port


def neurdicom(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("NEURDICOM_")}
    command = [sys.executable, "-m", "neurdicom", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120, **options)  # type: ignore[call-overload]


def store(server: Server, name: str) -> str:
    body = Path(str(get_testdata_file(name))).read_bytes()
    answer = server.client.post("/api/instances", content=body, headers={"Content-Type": "application/dicom"})
    found: str = answer.json()["results"][0]["id"]
    return found


def members_of_session(process: int) -> set[int]:
    """Processes that a server has started, and it; those of other tests are none of them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
    found, added = {process}, {process}
    while added:
        added = {child for child, parent in parents.items() if parent in added}
        found |= added
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stop_leaves_no_process_behind(number: signal.Signals, tmp_path: Path) -> None:
    server = Server(tmp_path / "data").start()
    instance = store(server, "CT_small.dcm")
    assert server.client.get(f"/api/instances/{instance}/image").status_code == 200
    started = members_of_session(server.process.pid)
    assert len(started) >= 3, "the server, the process that forks, and a worker"
    if number == signal.SIGTERM:
        assert server.stop() == 0
    else:
        server.kill()
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in started):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_one_server_for_one_folder(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as first:
        for command in (["serve", "--port", "0"], ["reindex"]):
            done = neurdicom(*command, "--data", tmp_path / "data")
            assert done.returncode == 1
            assert f"in use by another NeurDICOM (process {first.process.pid})" in done.stderr
        assert first.client.get("/api/health").status_code == 200


def test_sighup_and_strange_variables(tmp_path: Path) -> None:
    """A signal that ends most programs, and variables of a client's shell, of Kubernetes and of nobody."""
    server = Server(tmp_path / "data", "--dimse-port", str(free_port()))
    server.variables = {
        "NEURDICOM_SERVER": "http://localhost:8080",
        "NEURDICOM_TOKEN": "x",
        "NEURDICOM_DIMSE_PORT": "tcp://10.0.0.7:4242",
        "NEURDICOM_POTR": "81",
    }
    with server:
        lines = server.log.splitlines()
        assert [line.split()[1] for line in lines if "NEURDICOM_POTR" in line] == ["WARNING"]
        assert [line.split()[1] for line in lines if "NEURDICOM_DIMSE_PORT" in line and "POTR" not in line] == ["INFO"]
        instance = store(server, "CT_small.dcm")
        assert server.client.get(f"/api/instances/{instance}/image").status_code == 200
        members = members_of_session(server.process.pid)
        session = os.getsid(server.process.pid)
        for process in members:
            if os.getsid(process) == session:  # as a terminal does that is closed; workers have sessions of their own
                os.kill(process, signal.SIGHUP)
        until = time.monotonic() + 10
        while "SIGHUP" not in server.log:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert server.client.get(f"/api/instances/{instance}/image?window_width=9&window_center=9").status_code == 200
        assert members_of_session(server.process.pid) >= members


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = neurdicom("serve", "--no-auth", "--data", tmp_path / "data", "--port", str(port))
    assert done.returncode == 1
    found = f"neurdicom: can't listen on 127.0.0.1 port {port}: Address already in use"
    assert done.stderr.splitlines()[-1] == f"{found}; choose others with --host and --port"


def test_a_first_start_that_fails_prints_the_password(tmp_path: Path) -> None:
    """The account is made by then, and no later start prints it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = neurdicom("serve", "--data", tmp_path / "data", "--port", str(taken.getsockname()[1]))
    first = json.loads((tmp_path / "data" / "first-sign-in.json").read_text(encoding="utf-8"))
    assert (done.returncode, first["password"] in done.stdout) == (1, True)


def test_reindex_rebuilds_the_catalog(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as server:
        ids = {store(server, name) for name in ("CT_small.dcm", "MR_small.dcm")}
        gone = store(server, "examples_palette.dcm")
        assert server.client.delete(f"/api/instances/{gone}").status_code == 204
    for file in (tmp_path / "data").glob("catalog.sqlite*"):
        file.unlink()
    done = neurdicom("reindex", "--data", tmp_path / "data")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "2 files"), done.stderr
    with Server(tmp_path / "data") as server:
        assert {each["id"] for each in server.client.get("/api/instances").json()} == ids
        assert server.client.get("/api/patients").headers["X-Total-Count"] == "2"


def test_demo(tmp_path: Path) -> None:
    done = neurdicom("demo", "--once", "--port", "0", "--output", "out", "--sources", CHECKOUT, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    output = tmp_path / "out"
    for name in ("original.png", "inverted.png", "threshold.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG"), name
    assert json.loads((output / "hello.json").read_text())["greeting"] == "Hello, John Doe!"
    assert "Token:" in done.stdout
    again = neurdicom("demo", "--once", "--port", "0", "--output", "out", "--sources", CHECKOUT, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_runs_until_it_is_stopped(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neurdicom", "demo", "--port", "0", "--sources", str(CHECKOUT)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "until Ctrl-C" in line:
                break
        url = next(line.split()[1] for line in lines if line.startswith("URL:"))
        assert httpx.get(f"{url}/api/health").status_code == 200
        process.send_signal(number)
        assert process.wait(30) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/api/health")
