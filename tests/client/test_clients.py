"""Both clients with a real server."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

from neurdicom.errors import Invalid, NotDicom, NotFound, PluginFailed, Unauthenticated
from tests.support.clients import Caller
from tests.support.images import PIXELS, ct_image
from tests.support.packages import package
from tests.support.processing_jobs import GUID, calls, series_files, tally
from tests.support.server import Server

PLUGIN = """
class Plugin:
    def init(self):
        pass

    def process(self, ds, factor=1, format="own"):
        if factor == 0:
            raise ValueError("nothing is left")
        return ds.pixel_array * factor

    def destroy(self):
        pass
"""
PARAMS = {"factor": {"type": "int", "default": 1}, "format": {"type": "text", "default": ""}}


@pytest.fixture
def image(server: Server, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Id and path of an image that is not on the server yet."""
    id, data = ct_image()
    path = tmp_path / "image.dcm"
    path.write_bytes(data)
    yield id, path
    server.client.delete(f"/api/instances/{id}")


def test_instances(server: Server, do: Caller, image: tuple[str, Path]) -> None:
    id, path = image
    (stored,) = do(server.url, lambda client: client.instances.upload(path))
    assert (stored["status"], stored["id"]) == ("stored", id)
    assert do(server.url, lambda client: client.instances.upload(str(path)))[0]["status"] == "duplicate"
    assert do(server.url, lambda client: client.instances.get(id))["rows"] == 6
    filters = {"sop_instance_uid": id, "modality": "CT"}
    assert [each["id"] for each in do(server.url, lambda client: client.instances.list(filters))] == [id]
    assert do(server.url, lambda client: client.instances.image(id)).startswith(b"\x89PNG")
    assert do(server.url, lambda client: client.instances.image(id, format="jpeg")).startswith(b"\xff\xd8")


def test_labels(server: Server, do: Caller, image: tuple[str, Path]) -> None:
    id, path = image
    study = do(server.url, lambda client: client.instances.upload(path))[0]["study"]
    do(server.url, lambda client: client.labels.give("studies", study, "of-a-client"))
    do(server.url, lambda client: client.labels.give("instances", id, "b"))
    assert do(server.url, lambda client: client.labels.of("studies", study)) == ["of-a-client"]
    [instance] = do(server.url, lambda client: client.instances.list({"labels": "b", "sop_instance_uid": id}))
    assert instance["labels"] == ["b"]
    [use] = [each for each in do(server.url, lambda client: client.labels.list()) if each["label"] == "of-a-client"]
    assert use == {"label": "of-a-client", "patients": 0, "studies": 1, "series": 0, "instances": 0}
    do(server.url, lambda client: client.labels.take("studies", study, "of-a-client"))
    with pytest.raises(NotFound):
        do(server.url, lambda client: client.labels.take("studies", study, "of-a-client"))
    with pytest.raises(Invalid):
        do(server.url, lambda client: client.labels.give("studies", study, "a/b"))


def test_an_empty_token_is_none(server: Server, do: Caller) -> None:
    """A variable of the shell that is not set, on a server that asks for no credential."""
    assert do(server.url, lambda client: client.health(), token="")["status"] == "ok"


def test_a_zip(server: Server, do: Caller, tmp_path: Path) -> None:
    _, files = series_files(3)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for number, data in enumerate([*files, b"no image"]):
            archive.writestr(f"{number}", data)
    path = tmp_path / "study.zip"
    path.write_bytes(made.getvalue())
    results = do(server.url, lambda client: client.instances.upload(path))
    assert sorted(each["status"] for each in results) == ["rejected", "stored", "stored", "stored"]
    for each in results:
        if each["id"]:
            server.client.delete(f"/api/instances/{each['id']}")


def test_what_is_refused(server: Server, do: Caller, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no image at all")
    with pytest.raises(NotDicom):
        do(server.url, lambda client: client.instances.upload(tmp_path / "text"))
    with pytest.raises(FileNotFoundError):
        do(server.url, lambda client: client.instances.upload(tmp_path / "nothing"))
    with pytest.raises(NotFound, match=r"1\.2\.3"):
        do(server.url, lambda client: client.instances.get("1.2.3"))
    with pytest.raises(Invalid) as raised:
        do(server.url, lambda client: client.instances.list({"colour": "red"}))
    assert raised.value.field == "colour"
    with pytest.raises(NotFound):
        do(server.url, lambda client: client.jobs.wait("nothing"))
    with pytest.raises(Invalid, match="exactly one of plugin and model"):
        do(server.url, lambda client: client.jobs.process(plugin="a", model="b"))


def test_a_plugin(server: Server, do: Caller, image: tuple[str, Path], tmp_path: Path) -> None:
    id, path = image
    guid = "test.ä b"
    archive = tmp_path / "plugin.zip"
    archive.write_bytes(package(PLUGIN, plugin_guid=guid, params=PARAMS, version="1"))
    do(server.url, lambda client: client.instances.upload(path))
    installed = do(server.url, lambda client: client.plugins.install(archive))
    assert (installed["id"], installed["state"]) == (guid, "ready")
    assert guid in [each["id"] for each in do(server.url, lambda client: client.plugins.list())]
    assert do(server.url, lambda client: client.plugins.get(guid))["params"].keys() == PARAMS.keys()

    output = do(
        server.url,
        lambda client: client.instances.process(id, plugin=guid, params={"factor": 3, "format": "f64"}, cache=False),
    )
    assert output.media_type == "image/png"
    assert output.result is not None
    output = do(server.url, lambda client: client.instances.process(id, plugin=guid, params={"factor": 3}, store=True))
    (made,) = output.stored
    server.client.delete(f"/api/instances/{made}")
    with pytest.raises(PluginFailed, match="nothing is left"):
        do(server.url, lambda client: client.instances.process(id, plugin=guid, params={"factor": 0}))
    with pytest.raises(Invalid) as raised:
        do(server.url, lambda client: client.instances.process(id, plugin=guid, params={"factor": "x"}))
    assert raised.value.field == "factor"
    with pytest.raises(NotFound):
        do(server.url, lambda client: client.instances.process(id, model=guid))

    do(server.url, lambda client: client.plugins.remove(guid))
    assert server.client.get(f"/api/plugins/{quote(guid, safe='')}").status_code == 404
    with pytest.raises(NotFound):
        do(server.url, lambda client: client.plugins.remove(guid))
    assert do(server.url, lambda client: client.models.list()) == []


def test_samples_of_a_result(server: Server, do: Caller, image: tuple[str, Path], tmp_path: Path) -> None:
    id, path = image
    archive = tmp_path / "plugin.zip"
    archive.write_bytes(package("class Plugin:\n    def process(self, ds, **_):\n        return ds.pixel_array"))
    do(server.url, lambda client: client.instances.upload(path))
    do(server.url, lambda client: client.plugins.install(archive))
    output = do(server.url, lambda client: client.instances.process(id, plugin="test.plugin", format="f64"))
    assert (output.shape, np.dtype(output.dtype)) == (PIXELS.shape, np.dtype("<f8"))
    assert (np.frombuffer(output.content, output.dtype).reshape(output.shape) == PIXELS).all()
    do(server.url, lambda client: client.plugins.remove("test.plugin"))


def test_a_job(server: Server, do: Caller, tmp_path: Path) -> None:
    archive = tmp_path / "tally.zip"
    archive.write_bytes(tally())
    do(server.url, lambda client: client.plugins.install(archive))
    series, files = series_files(4)
    ids = []
    for number, data in enumerate(files):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(data)
        ids.append(do(server.url, lambda client, path=path: client.instances.upload(path))[0]["id"])  # type: ignore[misc]
    log = tmp_path / "log"
    params = {"log": str(log), "bad": [2]}
    filters = {"series_instance_uid": series}

    def process(**request: object) -> dict[str, object]:
        return do(server.url, lambda client: client.jobs.process(plugin=GUID, params=params, **request))

    assert process(filters=filters, level="instances", dry_run=True) == {"total": 4, "skipped": {}}
    job = process(series=[series], format="json")["id"]
    events = do(server.url, lambda client: client.jobs.follow(job))
    assert sorted(each.type for each in events if each.type != "progress") == ["end", "failure", *["result"] * 3]
    assert {each.data["instance"] for each in events if "instance" in each.data} == set(ids)
    ended = do(server.url, lambda client: client.jobs.wait(job))
    assert (ended["state"], ended["done"], ended["failed"]) == ("done", 3, 1)
    assert calls(log) == dict.fromkeys(ids, 1)
    results = do(server.url, lambda client: client.jobs.results(job, state="failed"))
    assert [each["instance"] for each in results] == [ids[1]]
    assert len(do(server.url, lambda client: client.jobs.results(job))) == 4

    gate = tmp_path / "gate"
    params |= {"gate": str(gate)}
    job = process(series=[series], cache=False)["id"]
    assert do(server.url, lambda client: client.jobs.cancel(job))["id"] == job
    gate.touch()
    assert do(server.url, lambda client: client.jobs.wait(job))["state"] == "cancelled"
    assert do(server.url, lambda client: client.jobs.cancel(job)) is None
    with pytest.raises(NotFound):
        do(server.url, lambda client: client.jobs.get(job))
    do(server.url, lambda client: client.plugins.remove(GUID))
    for id in ids:
        server.client.delete(f"/api/instances/{id}")


def test_credentials(secured: Server, first_password: tuple[str, str], do: Caller) -> None:
    assert do(secured.url, lambda client: client.health()) == {"status": "ok", "ready": True}
    told = set()
    for token in (None, "wrong"):
        with pytest.raises(Unauthenticated) as raised:
            do(secured.url, lambda client: client.plugins.list(), token)
        told.add(str(raised.value))
    assert len(told) == 1
    with pytest.raises(Unauthenticated, match="wrong e-mail address or password"):
        do(secured.url, lambda client: client.sign_in("nobody@example.org", "wrong password"))
    token = do(secured.url, lambda client: client.sign_in(*first_password))["token"]
    assert "uptime" in do(secured.url, lambda client: client.health(), token)
