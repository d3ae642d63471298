"""Needs of models from the server around them: threads, the extra, the cache."""

from pathlib import Path

import pytest

from tests.support.networks import convolution, package
from tests.support.packages import package as plugin_package
from tests.support.plugin_site import PLUGIN, Site, visit
from tests.support.server import Server

THREADS = """
import pathlib, re

class Plugin:
    def process(self, ds):
        self.models["test.model"].run(ds)
        return {"threads": int(re.search(r"Threads:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])}
"""


def test_workers_times_threads_are_no_more_than_the_cores(site: Site) -> None:
    """There are as many workers as cores, so a network computes in the worker's own thread.

    Beside it there is the thread that watches memory, and one that onnxruntime starts as it is imported, which waits.
    """
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(THREADS, models=["test.model"])).status_code == 201
    assert site.run().json()["threads"] <= 3


def test_without_the_extra_the_answer_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(tmp_path / "data")
    with server:
        for site in visit(server):
            assert site.install_model(package()).status_code == 201
            assert site.install(plugin_package(PLUGIN, models=["test.model"])).status_code == 201
            server.stop()
            (tmp_path / "path").mkdir()
            (tmp_path / "path" / "onnxruntime.py").write_text("raise ImportError('it is not installed')")
            monkeypatch.setenv("PYTHONPATH", str(tmp_path / "path"))
            server.start()
            for answer in (site.run_model(), site.run()):
                assert (answer.status_code, answer.json()["code"]) == (501, "not_installed"), answer.text
            answer = site.install_model(package(convolution(seed=1), model_guid="other"))
            assert (answer.status_code, answer.json()["code"]) == (501, "not_installed"), answer.text
            assert "pip install -e '.[models]'" in answer.json()["detail"]
            (model,) = site.client.get("/api/models").json()
            assert model["state"] == "ready"
            assert site.models == sorted([model["digest"], f"{model['digest']}.zip"])


def test_results_are_kept_until_the_model_changes(site: Site) -> None:
    assert site.install_model(package()).status_code == 201
    assert site.install(plugin_package(PLUGIN, models=["test.model"])).status_code == 201
    paths = [
        f"/api/instances/{site.instance}/process/by_model/test.model?format=npy",
        f"/api/instances/{site.instance}/process/by_plugin/test.plugin?format=npy",
    ]
    tags = [site.client.get(path).headers["ETag"] for path in paths]
    for path, tag in zip(paths, tags, strict=True):
        assert site.client.get(path, headers={"If-None-Match": tag}).status_code == 304
    assert site.install_model(package(convolution(seed=9))).status_code == 200
    for path, tag in zip(paths, tags, strict=True):
        answer = site.client.get(path, headers={"If-None-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["ETag"] != tag
    assert site.client.delete("/api/models/test.model").status_code == 204
    assert site.client.get(paths[0]).status_code == 404
    assert site.client.get(paths[1]).status_code == 409
