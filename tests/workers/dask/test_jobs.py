"""Jobs of a server whose plugins run on a cluster."""

import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.dask_cluster import DaskCluster
from tests.support.files import dicom_file
from tests.support.native_plugins import VOLUME, native
from tests.support.networks import package as model
from tests.support.packages import package
from tests.support.server import Server, free_port
from tests.support.waiting import wait_for

PLUGIN = "test.far"
SOURCE = """
import os, time

class Plugin:
    def process(self, ds=None, sleep=0.0, note=""):
        if note:
            with open(note, "a") as file:
                file.write(f"{os.getppid()} {ds.InstanceNumber}\\n")
        time.sleep(sleep)
        return ds.pixel_array * float(ds.InstanceNumber)
"""
PARAMS = {"sleep": {"type": "double", "default": 0.0}, "note": {"type": "text", "default": ""}}
SERIES = "1.2.826.0.1.3680043.10.1595.9.1.1"
COUNT = 12


def prepare(http: httpx.Client) -> None:
    """A series and the plugin."""
    archive = package(SOURCE, plugin_guid=PLUGIN, params=PARAMS)
    assert http.post("/api/plugins", content=archive, headers={"Content-Type": "application/zip"}).status_code == 201
    for number in range(1, COUNT + 1):
        file = dicom_file(number)
        assert http.post("/api/instances", content=file, headers={"Content-Type": "application/dicom"}).is_success


def submit(http: httpx.Client, **params: Any) -> str:
    """Run the plugin over the series; the job."""
    answer = http.post("/api/process", json={"plugin": PLUGIN, "series": [SERIES], "params": params, "format": "npy"})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def when(http: httpx.Client, job: str, holds: Callable[[dict[str, Any]], bool], seconds: float = 60) -> dict[str, Any]:
    """Wait until something holds of a job."""
    return wait_for(lambda: http.get(f"/api/jobs/{job}").json(), f"job {job}", seconds, holds=holds)


def is_over(job: dict[str, Any]) -> bool:
    return job["ended"] is not None


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DaskCluster, Server]]:
    """A server with a cluster of two Dask workers."""
    folder = tmp_path_factory.mktemp("far")
    with DaskCluster(folder / "dask") as cluster, Server(folder / "data", "--dask", cluster.address) as server:
        prepare(server.client)
        yield cluster, server


def test_models_and_plugins_that_reach_them(site: tuple[DaskCluster, Server]) -> None:
    cluster, server = site
    zipped = {"Content-Type": "application/zip"}
    assert server.client.post("/api/models", content=model(), headers=zipped).status_code == 201
    source = "class Plugin:\n    def process(self, ds):\n        return self.models['test.model'].run(ds)\n"
    archive = package(source, plugin_guid="test.reach", models=["test.model"])
    assert server.client.post("/api/plugins", content=archive, headers=zipped).status_code == 201
    for tool, name in (("model", "test.model"), ("plugin", "test.reach")):
        request = {tool: name, "series": [SERIES], "format": "npy"}
        job = server.client.post("/api/process", json=request).json()["id"]
        done = when(server.client, job, is_over)
        assert (done["state"], done["done"], done["failed"]) == ("done", COUNT, 0), done
        item = server.client.get(f"/api/jobs/{job}/results").json()[0]
        path = f"/api/instances/{item['instance']}/process/by_{tool}/{name}"
        here = server.client.get(path, params={"format": "npy", "cache": "no"})
        assert server.client.get(item["url"] + "/content", params={"format": "npy"}).content == here.content
    for state in cluster.states().values():
        assert set(state["received"].values()) <= {1}
        assert {process["name"] for process in state["processes"]} >= {"Test"}


def test_volumes(site: tuple[DaskCluster, Server], tmp_path: Path) -> None:
    _, server = site
    source = "class Plugin:\n    def process(self, ds):\n        return [int(one.InstanceNumber) for one in ds]\n"
    python = package(source, plugin_guid="test.series", level="series")
    for name, archive in (("test.series", python), ("test.volume", native(tmp_path, "test.volume", VOLUME))):
        zipped = {"Content-Type": "application/zip"}
        assert server.client.post("/api/plugins", content=archive, headers=zipped).status_code == 201
        request = {"plugin": name, "series": [SERIES], "format": "npy"}
        job = server.client.post("/api/process", json=request).json()["id"]
        done = when(server.client, job, is_over)
        assert (done["state"], done["done"], done["failed"]) == ("done", 1, 0), done
        (item,) = server.client.get(f"/api/jobs/{job}/results").json()
        content = server.client.get(item["url"] + "/content", params={"format": "npy"})
        if name == "test.series":
            assert content.json() == list(range(1, COUNT + 1))
        else:
            volume = np.load(io.BytesIO(content.content))
            assert (volume == np.broadcast_to(np.arange(16).reshape(4, 4) + 1, (COUNT, 4, 4))).all()


def test_a_dask_worker_is_killed_in_the_middle_of_a_job(site: tuple[DaskCluster, Server], tmp_path: Path) -> None:
    cluster, server = site
    note = tmp_path / "note"
    job = submit(server.client, sleep=0.3, note=str(note))
    when(server.client, job, lambda now: now["done"] >= 3)
    pids = cluster.pids()
    os.kill(pids[0], signal.SIGKILL)
    done = when(server.client, job, is_over)
    assert (done["state"], done["done"], done["failed"], done["total"]) == ("done", COUNT, 0, COUNT), done
    items = server.client.get(f"/api/jobs/{job}/results").json()
    assert len({item["instance"] for item in items}) == len(items) == COUNT, "each once"
    for item in items[:3]:
        path = f"/api/instances/{item['instance']}/process/by_plugin/{PLUGIN}"
        here = server.client.get(path, params={"format": "npy", "cache": "no"})
        assert here.status_code == 200
        assert server.client.get(item["url"] + "/content", params={"format": "npy"}).content == here.content
    parents = {int(line.split()[0]) for line in note.read_text().splitlines()}
    assert len(parents) >= 2, "both Dask workers had a part in it"
    health = server.client.get("/api/health").json()["dask"]
    assert (health["address"], health["problem"]) == (cluster.address, None)
    for state in cluster.states().values():
        assert set(state["received"].values()) <= {1}, "nothing goes to a Dask worker twice"
    slow = submit(server.client, sleep=0.5, note=str(tmp_path / "other"))
    when(server.client, slow, lambda now: now["done"] >= 1)
    assert server.client.delete(f"/api/jobs/{slow}").status_code == 202
    assert when(server.client, slow, is_over)["state"] == "cancelled"


def test_the_cluster_comes_after_the_server(tmp_path: Path) -> None:
    port = free_port()
    with Server(tmp_path / "data", "--dask", f"tcp://127.0.0.1:{port}") as server:
        prepare(server.client)
        health = server.client.get("/api/health").json()
        assert health["ready"]
        assert "does not answer" in health["dask"]["problem"]
        job = submit(server.client)
        here = server.client.get(f"/api/instances/{SERIES}.1/process/by_plugin/{PLUGIN}")
        assert here.status_code == 200, "what somebody waits for is done on this machine"
        waiting = when(server.client, job, lambda now: now["retry_at"] is not None)
        assert f"tcp://127.0.0.1:{port} does not answer" in waiting["retry_reason"]
        with DaskCluster(tmp_path / "dask", 1, port):
            done = when(server.client, job, is_over)
            assert (done["state"], done["done"], done["failed"]) == ("done", COUNT, 0), done
