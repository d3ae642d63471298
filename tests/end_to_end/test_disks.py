"""Disks that are full or read-only, a MongoDB that is away: requests are refused, and then served without a restart."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.api import install, upload
from tests.support.crashes import CrashRounds
from tests.support.dicomweb.stow import METADATA, RELATED, part, related
from tests.support.dimse.instances import instance
from tests.support.dimse.peer import EXPLICIT, SECONDARY_CAPTURE, RawPeer
from tests.support.disks import SmallDiskServer
from tests.support.files import ROOT, dicom_file
from tests.support.packages import package
from tests.support.relays import Relay
from tests.support.uploads import FORM, file_part, form, zip_of

DICOM, ZIP = "application/dicom", "application/zip"
FULL, AWAY = 507, 503
PLUGIN = """
import numpy as np
class Plugin:
    def process(self, ds=None, **parameters): return np.random.default_rng(1).random((512, 512))
"""
DATASET = (
    b'[{"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.7"]},'
    b' "00080018": {"vr": "UI", "Value": ["1.2.9.1"]}, "0020000D": {"vr": "UI", "Value": ["1.2.9"]},'
    b' "0020000E": {"vr": "UI", "Value": ["1.2.9.2"]}}]'
)


def writes(number: int) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Requests that write, by every route; those of another number are of other instances."""

    def body(content: bytes, kind: str) -> dict[str, object]:
        return {"content": content, "headers": {"Content-Type": kind}}

    one, image = 100 * number, f"/api/instances/{ROOT}.1.1.1"
    study, process = f"/api/studies/{ROOT}.1", f"{image}/process/by_plugin/test.plugin"
    yield "POST", "/api/instances", body(dicom_file(one + 1), DICOM)
    yield "POST", "/api/instances", body(dicom_file(one + 2, PixelData=bytes(3 << 20)), DICOM)
    yield "POST", "/api/instances", body(form(file_part("a", dicom_file(one + 3))), FORM)
    yield "POST", "/api/instances", body(zip_of(("a", dicom_file(one + 4)), ("b", dicom_file(one + 5))), ZIP)
    yield "POST", "/dicom-web/studies", body(related(part(dicom_file(one + 6))), RELATED)
    yield "POST", "/dicom-web/studies", body(related(part(DATASET, Content_Type="application/dicom+json")), METADATA)
    yield "PUT", study, {"json": {"study_description": f"edit {number}"}}
    yield "POST", "/api/plugins", body(package(PLUGIN, plugin_guid="other", files={"x": os.urandom(100_000)}), ZIP)
    yield "POST", "/api/users", {"json": {"email": f"{number}@example.org", "password": "a long password", "name": "x"}}
    node = {"name": f"n{number}", "protocol": "DICOMWEB", "url": "http://127.0.0.1:1/dicom-web"}
    yield "POST", "/api/dicom_nodes", {"json": node}
    yield "POST", "/api/rules", {"json": {"conditions": {"modality": "CT"}, "action": {"plugin": "test.plugin"}}}
    yield "POST", process, {"params": {"store": "true", "cache": "no"}}
    yield "GET", process, {"params": {"format": "dicom", "cache": "no"}}
    yield "POST", "/api/process", {"json": {"plugin": "test.plugin", "instances": [f"{ROOT}.1.1.1"]}}
    yield "POST", "/api/dicom_nodes/node/retrieve", {"json": {"level": "STUDY", "ids": ["1.2"]}}
    yield "POST", "/api/dicom_nodes/node/send", {"json": {"studies": [f"{ROOT}.1"]}}
    yield "GET", f"{image}/file", {"params": {"transfer_syntax": "1.2.840.10008.1.2"}}
    yield "DELETE", f"/api/instances/{ROOT}.1.1.{number + 1}", {}


def reads() -> Iterator[tuple[str, dict[str, str]]]:
    """Requests that read."""
    yield "/api/instances", {}
    yield f"/api/instances/{ROOT}.1.1.1/file", {}
    yield f"/api/instances/{ROOT}.1.1.1/image", {}
    yield f"/api/instances/{ROOT}.1.1.1/process/by_plugin/test.plugin", {"cache": "no"}
    yield f"/dicom-web/studies/{ROOT}.1/metadata", {}
    yield "/api/health", {}


def try_all(http: httpx.Client, number: int) -> dict[str, int]:
    """Send all requests that write; their statuses. What is refused says when to come again."""
    found = {}
    for place, (method, path, request) in enumerate(writes(number)):
        answer = http.request(method, path, **request)  # type: ignore[arg-type]
        found[f"{place} {method} {path}"] = answer.status_code
        if answer.status_code >= 500:
            assert "Retry-After" in answer.headers, (method, path, answer.status_code, answer.text)
    return found


def store_status(server: SmallDiskServer, number: int) -> int:
    """Status of a C-STORE."""
    one = instance(number, PixelData=bytes(300_000))
    with RawPeer(server.dimse_port).associate((SECONDARY_CAPTURE, [EXPLICIT])) as peer:
        return int(peer.store(1, one.sop_class, one.uid, one.dataset).Status)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallDiskServer]:
    """A server on a small disk, with a few instances, a plugin and a node."""
    with SmallDiskServer.with_dimse(tmp_path / "data", "--dimse-accept", "any") as server:
        for number in range(6):
            upload(server.client, dicom_file(number))
        install(server.client, package(PLUGIN))
        node = {"name": "node", "protocol": "DICOMWEB", "url": "http://127.0.0.1:1/dicom-web"}
        assert server.client.post("/api/dicom_nodes", json=node).status_code == 201
        yield server


def test_every_route_on_a_full_disk(small: SmallDiskServer) -> None:
    with small.full():
        assert set(try_all(small.client, 1).values()) == {FULL}
        assert store_status(small, 90) == 0xA700
        for path, params in reads():
            assert small.client.get(path, params=params).status_code == 200, path
    assert set(try_all(small.client, 2).values()) <= {200, 201, 202, 204}
    assert store_status(small, 91) == 0
    assert "Traceback" not in small.log


@pytest.mark.parametrize("left", [4096 * pages for pages in (1, 5, 13, 34)])
def test_every_route_on_a_disk_with_a_little_room(small: SmallDiskServer, left: int) -> None:
    """Files fit, and the catalog's journal does not; or the first does, and the second does not."""
    with small.full(but=left):
        assert set(try_all(small.client, 1).values()) <= {FULL, 200, 201, 202, 204}
    assert set(try_all(small.client, 2).values()) <= {200, 201, 202, 204}
    assert "Traceback" not in small.log


def test_every_route_on_a_read_only_disk(small: SmallDiskServer) -> None:
    """The catalog's file is open, and can still be written."""
    with small.read_only():
        found = try_all(small.client, 1)
        assert set(found.values()) <= {AWAY, 200, 201, 202, 204}
        assert list(found.values())[:6] == [AWAY] * 6, "all uploads"
        assert store_status(small, 90) == 0xA700
        for path, params in reads():
            assert small.client.get(path, params=params).status_code == 200, path
    assert set(try_all(small.client, 2).values()) <= {200, 201, 202, 204}
    assert store_status(small, 91) == 0
    assert "Traceback" not in small.log


@pytest.mark.parametrize("left", [0, 200_000])
def test_everything_at_once_on_a_full_disk(tmp_path: Path, left: int) -> None:
    with CrashRounds(tmp_path / "run", left, kind=SmallDiskServer) as rounds:
        assert isinstance(rounds.server, SmallDiskServer)
        print(rounds.run_through(rounds.server.full(but=left), {FULL}, restart=True))
        assert rounds.site.refused[FULL]


def test_everything_at_once_on_a_read_only_disk(tmp_path: Path) -> None:
    with CrashRounds(tmp_path / "run", 1, kind=SmallDiskServer) as rounds:
        assert isinstance(rounds.server, SmallDiskServer)
        print(rounds.run_through(rounds.server.read_only(), {AWAY}, restart=True))
        assert rounds.site.refused[AWAY]


def test_everything_at_once_while_mongodb_is_away(tmp_path: Path, mongodb_uri: str) -> None:
    relay = Relay(urlsplit(mongodb_uri).port or 27017)
    options = "serverSelectionTimeoutMS=500&retryWrites=false&retryReads=false&directConnection=true"
    database = f"mongodb://127.0.0.1:{relay.port}/away_{uuid.uuid4().hex[:12]}?{options}"
    try:
        with CrashRounds(tmp_path / "run", 1, ("--mongodb-uri", database)) as rounds:
            print(rounds.run_through(relay.cut(), {AWAY}, restart=True))
            assert rounds.site.refused[AWAY]
    finally:
        relay.close()
