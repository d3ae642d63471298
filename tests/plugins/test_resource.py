"""Plugins over HTTP: install, list, replace, delete, survive a restart, and refuse what is broken."""

import json
import shutil
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from neurdicom.plugins.devtools.packing import pack_folder
from tests.support.checkout import CHECKOUT
from tests.support.packages import PLUGIN, meta, package, zipped
from tests.support.plugin_site import Site, upload_image
from tests.support.server import Server
from tests.support.waiting import wait_for

SHIPPED = CHECKOUT / "plugins"


def test_from_upload_to_delete(any_site: Site) -> None:
    site = any_site
    answer = site.install(package(version="1", params={"n": {"type": "int", "default": 3, "$unit": "a.b"}}))
    assert answer.status_code == 201, answer.text
    plugin = answer.json()
    assert plugin["id"] == plugin["plugin_guid"] == "test.plugin"
    assert (plugin["kind"], plugin["state"], plugin["problem"], plugin["version"]) == ("python", "ready", None, "1")
    assert plugin["params"]["n"]["type"] == "int"
    assert plugin["digest"] in site.packages
    assert site.client.get("/api/plugins/test.plugin").json() == plugin
    listed = site.client.get("/api/plugins")
    assert listed.json() == [plugin]
    assert listed.headers["X-Total-Count"] == "1"
    assert site.run().json() == {"version": "1", "kwargs": {"n": 3}}
    assert site.client.delete("/api/plugins/test.plugin").status_code == 204
    assert site.client.get("/api/plugins/test.plugin").status_code == 404
    assert site.client.delete("/api/plugins/test.plugin").status_code == 404
    assert site.run().status_code == 404
    wait_for(lambda: site.packages == [])


def test_the_schema_is_served(site: Site) -> None:
    schema = site.client.get("/api/plugins/schema").json()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["required"] == ["plugin_guid", "name", "author"]


def test_multipart_uploads(site: Site) -> None:
    archive = package()
    for files in ({"file": ("p.zip", archive, "application/zip")}, {"plugin": ("p.zip", archive)}):
        assert site.client.post("/api/plugins", files=files).status_code in (200, 201)
    two = [("file", ("a.zip", archive)), ("file", ("b.zip", archive))]
    assert site.client.post("/api/plugins", files=two).status_code == 400
    assert site.client.post("/api/plugins", data={"x": "1"}, files={}).status_code in (400, 422)
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    cut = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.zip"\r\n\r\n' + archive
    assert site.client.post("/api/plugins", content=cut, headers=headers).status_code == 400
    assert site.client.post("/api/plugins", content=b"").status_code == 400


@pytest.mark.parametrize(
    ("archive", "field", "named"),
    [
        (b"not a zip", "archive", "ZIP"),
        (zipped({"plugin.py": ""}), "META.json", "META.json"),
        (package(name=None), "name", "missing"),
        (package(params={"p": {"type": "string"}}), "params.p.type", "string"),
        (package(files={"../evil": "x"}), "archive", "evil"),
        (package("class Plugin"), "archive", "SyntaxError"),
        (package("import nothing_of_that_name"), "archive", "nothing_of_that_name"),
        (package("x = 1"), "archive", "Plugin"),
        (package("class Plugin: pass"), "archive", "process"),
        (
            package("class Plugin:\n def init(self): raise ValueError('no model')\n process = init"),
            "archive",
            "no model",
        ),
        (package("import os\nos._exit(3)"), "archive", "3"),
        (package("import os\nos.kill(os.getpid(), 11)"), "archive", "SIGSEGV"),
        (package("while True: pass", timeout=0.5), "archive", "0.5 s"),
        (zipped({"META.json": json.dumps(meta()), "lib.so": b"\x7fELF"}), "archive", "lib.so"),
    ],
)
def test_what_is_broken_is_refused_by_name_and_not_kept(site: Site, archive: bytes, field: str, named: str) -> None:
    answer = site.install(archive)
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field
    assert named in answer.json()["detail"]
    assert site.client.get("/api/plugins").json() == []
    assert site.packages == []


def test_a_broken_version_does_not_replace_a_good_one(site: Site) -> None:
    assert site.install(package(PLUGIN % "1")).status_code == 201
    assert site.install(package("class Plugin: pass")).status_code == 422
    assert site.run().json()["version"] == "1"
    assert len(site.packages) == 2


def test_a_new_version_fails_no_request(site: Site) -> None:
    """Requests go on while ten versions come one after another; each is answered by one version or the next."""
    slow = PLUGIN.replace("return", "import time; time.sleep(0.02); return")
    assert site.install(package(slow % "0")).status_code == 201
    seen: list[str] = []
    stop = threading.Event()
    path = f"/api/instances/{site.instance}/process/by_plugin/test.plugin"

    def ask() -> None:
        with httpx.Client(base_url=site.server.url, timeout=60) as client:
            while not stop.is_set():
                answer = client.get(path)
                seen.append(answer.json()["version"] if answer.status_code == 200 else answer.text)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for version in range(1, 6):
            answer = site.install(package(slow % str(version)))
            assert answer.status_code == 200, answer.text
            assert site.run().json()["version"] == str(version)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(seen) <= set("012345")
    assert seen[-1] == "5"
    wait_for(lambda: len(site.packages) == 2)


def test_the_same_archive_again(site: Site) -> None:
    assert site.install(package()).status_code == 201
    assert site.install(package()).status_code == 200
    assert site.run().status_code == 200
    assert site.client.delete("/api/plugins/test.plugin").status_code == 204
    assert site.install(package()).status_code == 201
    assert site.run().status_code == 200


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("x = 1")], ids=["unlink", "write"])
def test_the_same_archive_again_mends_the_files_of_a_plugin(site: Site, harm: Callable[[Path], object]) -> None:
    source = """
class Plugin:
    def process(self, ds):
        raise ValueError("as it came")
"""
    assert site.install(package(source)).status_code == 201
    assert site.run().json()["detail"].endswith("ValueError: as it came")
    (path,) = (site.server.data / "plugins").glob("*/plugin.py")
    harm(path)
    path.with_name("note").write_text("kept by nobody")
    assert site.run().status_code in (500, 504)
    assert site.install(package(source)).status_code == 200
    assert site.run().json()["detail"].endswith("ValueError: as it came")


@pytest.mark.parametrize(
    "harm", ["path.unlink()", "path.write_text('x = 1')", "path.with_name('note').write_text('x')"]
)
def test_a_plugin_cannot_change_its_own_files(site: Site, harm: str) -> None:
    source = f"""
import pathlib

class Plugin:
    def process(self, ds):
        path = pathlib.Path(__file__)
        {harm}
"""
    assert site.install(package(source)).status_code == 201
    for _ in range(2):
        assert "can't be changed: the data folder is read-only" in site.run().json()["detail"]


@pytest.mark.parametrize("name", ["ds", "self"])
def test_a_python_plugins_parameter_cannot_take_the_name_of_an_argument(site: Site, name: str) -> None:
    answer = site.install(package(params={name: {"type": "int"}}))
    assert (answer.status_code, answer.json()["field"]) == (422, f"params.{name}")


def test_an_upload_that_is_cut_off_leaves_nothing(site: Site) -> None:
    url = httpx.URL(site.server.url)
    with socket.create_connection((url.host, url.port)) as connection:
        connection.sendall(
            b"POST /api/plugins HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n" + bytes(5000)
        )
        wait_for(lambda: len(site.packages) == 1)
    wait_for(lambda: site.packages == [])


def test_uploads_at_once(site: Site) -> None:
    """Versions of one plugin and other plugins, all at the same time: each is whole, and nothing is left over."""
    archives = [package(PLUGIN % str(n), plugin_guid=f"p{n % 3}") for n in range(9)]
    with ThreadPoolExecutor(9) as pool:
        answers = list(pool.map(site.install, archives))
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [201] * 3
    plugins = site.client.get("/api/plugins").json()
    assert [plugin["id"] for plugin in plugins] == ["p0", "p1", "p2"]
    for plugin in plugins:
        assert site.run(plugin["id"]).status_code == 200
    wait_for(lambda: site.packages == sorted(f"{p['digest']}{end}" for p in plugins for end in ("", ".zip")))


def test_lists_are_paged_and_sorted(site: Site) -> None:
    for name in ("b", "C", "a"):
        assert site.install(package(plugin_guid=f"id.{name}", name=name)).status_code == 201
    assert [each["name"] for each in site.client.get("/api/plugins").json()] == ["a", "b", "C"]
    answer = site.client.get("/api/plugins", params={"sort": "-name", "limit": 2})
    assert [each["name"] for each in answer.json()] == ["C", "b"]
    assert answer.headers["X-Total-Count"] == "3"
    rest = site.client.get(answer.links["next"]["url"])
    assert [each["name"] for each in rest.json()] == ["a"]
    assert "next" not in rest.links
    for wrong in ({"sort": "colour"}, {"limit": 0}, {"colour": "red"}):
        assert site.client.get("/api/plugins", params=wrong).status_code == 422


def test_guids_of_every_form(site: Site) -> None:
    for guid in ("{8d1f7f4e-0000-4000-8000-000000000000}", "с пробелом", "a.b:c?d#e%f", "$where"):
        assert site.install(package(plugin_guid=guid)).status_code == 201
        assert site.client.get(f"/api/plugins/{quote(guid, safe='')}").json()["id"] == guid
        assert site.client.delete(f"/api/plugins/{quote(guid, safe='')}").status_code == 204


def test_only_administrators_manage_plugins(tmp_path: Path) -> None:
    with Server(tmp_path / "data", auth=True) as server:
        assert server.client.get("/api/plugins").status_code == 401
        assert server.client.post("/api/plugins", content=package()).status_code == 401
        assert server.client.delete("/api/plugins/x").status_code == 401


def test_plugins_survive_a_restart_and_lost_files(own_server: Server) -> None:
    with own_server as server:
        site = Site(server, upload_image(server))
        digest = site.install(package(PLUGIN % "1", files={"data/table.txt": "x"})).json()["digest"]
        before = site.client.get("/api/plugins").json()
    folder = server.data / "plugins" / digest
    shutil.rmtree(folder)
    (server.data / "plugins" / ".left.upload").write_bytes(b"half")
    with own_server as server:
        assert site.client.get("/api/plugins").json() == before
        assert site.run().json()["version"] == "1"
        assert (folder / "data/table.txt").read_text() == "x"
        assert site.packages == sorted([digest, f"{digest}.zip"])
        assert site.install(package(PLUGIN % "2")).status_code == 200
        assert site.run().json()["version"] == "2"
        digest = site.client.get("/api/plugins/test.plugin").json()["digest"]
    shutil.rmtree(server.data / "plugins")
    with own_server as server:
        plugin = site.client.get("/api/plugins/test.plugin").json()
        assert (plugin["digest"], plugin["state"]) == (digest, "quarantined")
        assert "upload it again" in plugin["problem"]
        assert site.run(cache="no").status_code == 503
        assert site.install(package(PLUGIN % "2")).status_code == 200
        assert site.run().json()["version"] == "2"


def test_what_keeps_failing_to_load_is_quarantined_until_a_new_version(own_server: Server, tmp_path: Path) -> None:
    marker = tmp_path / "crash"
    source = f"import os, pathlib\nif pathlib.Path({str(marker)!r}).exists(): os.abort()\n" + PLUGIN % "1"
    with own_server as server:
        site = Site(server, upload_image(server))
        assert site.install(package(source)).status_code == 201
        marker.touch()
        answers = [site.run() for _ in range(4)]
        assert [answer.status_code for answer in answers] == [502, 502, 502, 503]
        assert "SIGABRT" in answers[0].json()["detail"]
        assert answers[3].json()["code"] == "plugin_quarantined"
        plugin = site.client.get("/api/plugins/test.plugin").json()
        assert plugin["state"] == "quarantined"
        assert "SIGABRT" in plugin["problem"]
    marker.unlink()
    with own_server as server:
        assert site.run().status_code == 503
        assert site.install(package(source)).status_code == 200
        assert site.client.get("/api/plugins/test.plugin").json()["state"] == "ready"
        assert site.run().json()["version"] == "1"


def test_the_shipped_plugins(site: Site, tmp_path: Path) -> None:
    for folder in sorted(path.parent for path in SHIPPED.glob("*/plugin.py")):
        pack_folder(folder, tmp_path / "p.zip")
        assert site.install((tmp_path / "p.zip").read_bytes()).status_code == 201, folder
    greeting = site.run("org.neurdicom.hello", name="Ada").json()
    assert greeting == {"greeting": "Hello, Ada!", "patient": "Doe^Jane", "modality": "CT"}
    assert site.run("org.neurdicom.threshold").headers["Content-Type"] == "image/png"
    mask = site.run("org.neurdicom.threshold", threshold=10, format="lum8").content
    assert mask == bytes(10) + b"\xff" * 38  # 2 * stored - 10 reaches 10 at the stored value 10
