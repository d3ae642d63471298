"""Senders, DIMSE processes and servers that are killed: what was acknowledged is there, nothing else is seen."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.dimse.instances import dimse_processes, instance, spool, stored
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, VERIFICATION, Ended, RawPeer
from tests.support.files import dicom_file
from tests.support.server import Server
from tests.support.waiting import wait_for

BOTH = ((SECONDARY_CAPTURE, [EXPLICIT]), (VERIFICATION, [EXPLICIT]))
ANY = ("--dimse-accept", "any")


def send_until_it_breaks(server: Server, study: int, series: int, acknowledged: list[str]) -> None:
    try:
        with RawPeer(server.dimse_port).associate(*BOTH) as peer:
            for number in range(1, 10_000):
                one = instance(number, study=study, series=series, PixelData=bytes(100_000), NumberOfFrames=6250)
                if peer.store(1, one.sop_class, one.uid, one.dataset).Status == 0:
                    acknowledged.append(one.uid)
    except (Ended, OSError):
        pass


def test_a_sender_that_is_killed(dimse: Server, tool: Callable[[str], str], tmp_path: Path) -> None:
    for number in range(1, 201):
        file = dicom_file(number, study=400, PixelData=bytes(400_000), NumberOfFrames=25_000)
        (tmp_path / f"{number}.dcm").write_bytes(file)
    command = [tool("storescu"), "+sd", "127.0.0.1", str(dimse.dimse_port), str(tmp_path)]
    sender = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def count() -> int:
        answer = dimse.client.get("/api/studies/1.2.826.0.1.3680043.10.1595.9.400")
        return int(answer.json()["images_count"]) if answer.status_code == 200 else 0

    wait_for(lambda: count() > 5, "some instances")
    sender.kill()
    sender.wait()
    wait_for(lambda: spool(dimse) == [], "an empty spool")
    wait_for(lambda: dimse.client.get("/api/health").json()["dimse"]["associations"] == 0, "no association")
    there = count()
    listed = dimse.client.get(
        "/api/instances", params={"study": "1.2.826.0.1.3680043.10.1595.9.400", "limit": 1000}
    ).json()
    assert len(listed) == there
    assert all(stored(dimse, each["id"]) for each in listed)


def test_a_server_that_is_killed(tmp_path: Path) -> None:
    acknowledged: list[str] = []
    server = Server.with_dimse(tmp_path / "data", *ANY).start()
    senders = [
        threading.Thread(target=send_until_it_breaks, args=(server, 401, series, acknowledged)) for series in (1, 2)
    ]
    for sender in senders:
        sender.start()
    wait_for(lambda: len(acknowledged) > 30, "some instances")
    children = dimse_processes(server)
    server.kill()
    for sender in senders:
        sender.join()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "no process left")
    with Server.with_dimse(tmp_path / "data", *ANY) as again:
        assert spool(again) == []
        listed = again.client.get("/api/instances", params={"limit": 1000}).json()
        ids = {each["id"] for each in listed}
        assert ids >= set(acknowledged)
        assert len(ids) <= len(acknowledged) + len(senders), "at most what was under way is there too"
        study = again.client.get("/api/studies/1.2.826.0.1.3680043.10.1595.9.401").json()
        assert study["images_count"] == len(ids)
        for each in listed:
            content = stored(again, each["id"])
            assert content is not None and len(content) == each["size"]


def test_a_dimse_process_that_is_killed(tmp_path: Path) -> None:
    with Server.with_dimse(tmp_path / "data", *ANY, "--dimse-processes", "2") as server:
        first = RawPeer(server.dimse_port).associate(*BOTH)
        wait_for(lambda: len(dimse_processes(server)) == 2, "a second process, started in advance")
        second = RawPeer(server.dimse_port).associate(*BOTH)
        one = instance(1, study=402)
        first.begin_store(1, one.sop_class, one.uid)
        first.send_values(1, one.dataset[:100], command=False, last=False)
        wait_for(lambda: len(spool(server)) == 1, "a spool file")
        busy = int(spool(server)[0].split("-")[1])
        os.kill(busy, signal.SIGKILL)
        first.wait_for_end()
        wait_for(lambda: spool(server) == [], "an empty spool")
        assert second.store(1, one.sop_class, one.uid, one.dataset).Status == 0
        second.release()
        for pid in dimse_processes(server):
            os.kill(pid, signal.SIGKILL)

        def answers() -> bool:
            try:
                with RawPeer(server.dimse_port).associate(*BOTH) as peer:
                    return peer.echo(3) == 0
            except (Ended, OSError):
                return False

        wait_for(answers, "a new process")
        health = server.client.get("/api/health").json()
        assert health["ready"]
        first.socket.close()


def test_two_senders_at_once_have_a_process_each(tmp_path: Path) -> None:
    with Server.with_dimse(tmp_path / "data", *ANY, "--dimse-processes", "2") as server:
        one = instance(1, study=404)
        peers = [RawPeer(server.dimse_port) for _ in range(2)]  # before the first answer
        for peer in peers:
            peer.associate(*BOTH)
            peer.begin_store(1, one.sop_class, one.uid)
        wait_for(lambda: len(spool(server)) == 2, "two spool files")
        assert len({name.split("-")[1] for name in spool(server)}) == 2
        for peer in peers:
            peer.socket.close()
        wait_for(lambda: spool(server) == [], "an empty spool")


def test_a_stop_lets_what_is_under_way_end(tmp_path: Path) -> None:
    server = Server.with_dimse(tmp_path / "data", *ANY).start()
    one = instance(1, study=403)
    waiting = RawPeer(server.dimse_port).associate(*BOTH)
    peer = RawPeer(server.dimse_port).associate(*BOTH)
    peer.begin_store(1, one.sop_class, one.uid)
    peer.send_values(1, one.dataset[:100], command=False, last=False)
    wait_for(lambda: len(spool(server)) == 1, "a spool file")
    children = dimse_processes(server)
    server.process.send_signal(signal.SIGTERM)
    waiting.wait_for_end()
    time.sleep(0.2)
    peer.send_values(1, one.dataset[100:], command=False)
    assert peer.receive().Status == 0
    peer.release()
    waiting.socket.close()
    assert server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    with Server(tmp_path / "data") as again:
        assert stored(again, one.uid)


def test_a_port_that_is_taken(dimse: Server, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "neurdicom", "serve", "--data", str(tmp_path / "data"), "--port", "0"]
    command += ["--dimse-port", str(dimse.dimse_port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert f"can't listen for DIMSE on 127.0.0.1 port {dimse.dimse_port}" in done.stderr
