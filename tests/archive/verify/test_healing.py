"""An upload of the right bytes heals a damaged file, by every door, and puts nothing else in its place."""

import hashlib
import io
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import dcmread
from pydicom.uid import SecondaryCaptureImageStorage

from tests.support.damage import file_of, flip, stored_file, truncate, verify
from tests.support.dicomweb.stow import part, related, store
from tests.support.dimse.remotes import associated
from tests.support.files import ROOT, dicom_file
from tests.support.nodes import NodesClient
from tests.support.server import Server
from tests.support.uploads import FORM, file_part, form, zip_of

UID = f"{ROOT}.1.1.1"
FILE = dicom_file(1)


def send(server: Server, body: bytes, content_type: str) -> httpx.Response:
    return server.client.post("/api/instances", content=body, headers={"Content-Type": content_type})


def by_rest(server: Server, file: bytes) -> list[dict[str, object]]:
    return list(send(server, file, "application/dicom").json()["results"])


def by_form(server: Server, file: bytes) -> list[dict[str, object]]:
    return list(send(server, form(file_part("a.dcm", file)), FORM).json()["results"])


def by_zip(server: Server, file: bytes) -> list[dict[str, object]]:
    return list(send(server, zip_of(("a/b.dcm", file)), "application/zip").json()["results"])


def by_stow(server: Server, file: bytes) -> list[dict[str, object]]:
    assert store(server, related(part(file))).status_code == 200
    return []


DAMAGES: list[Callable[[Path], None]] = [flip, truncate, Path.unlink]
DOORS: list[Callable[[Server, bytes], list[dict[str, object]]]] = [by_rest, by_form, by_zip, by_stow]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server.with_dimse(tmp_path_factory.mktemp("healed"), "--dimse-accept", "any") as server:
        yield server


def check_whole(server: Server, uid: str, sha256: str) -> None:
    """Check that a file is whole, read-only, given out, and alone in the store."""
    assert hashlib.sha256(server.client.get(f"/api/instances/{uid}/file").content).hexdigest() == sha256
    path = stored_file(server.data, sha256)
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert server.client.get("/api/health").json()["damaged_files"] == 0
    assert verify("--data", server.data)[0] == 0


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_known_or_not(shared: Server, damage: Callable[[Path], None], *, is_known: bool) -> None:
    by_rest(shared, FILE)
    damage(file_of(shared, UID))
    if is_known:
        assert verify("--data", shared.data)[0] == 1
        assert shared.client.get(f"/api/instances/{UID}/file").status_code == 410
    (result,) = by_rest(shared, FILE)
    assert (result["status"], result["healed"]) == ("duplicate", True)
    check_whole(shared, UID, hashlib.sha256(FILE).hexdigest())
    (result,) = by_rest(shared, FILE)
    assert (result["status"], result.get("healed")) == ("duplicate", None)


@pytest.mark.parametrize("send_by", DOORS)
def test_doors(shared: Server, send_by: Callable[[Server, bytes], list[dict[str, object]]]) -> None:
    send_by(shared, FILE)
    flip(file_of(shared, UID))
    assert verify("--data", shared.data)[0] == 1
    assert all(result["healed"] for result in send_by(shared, FILE))
    check_whole(shared, UID, hashlib.sha256(FILE).hexdigest())


def test_c_store(shared: Server) -> None:
    file, uid = dicom_file(7, study=7), f"{ROOT}.7.1.7"

    def c_store() -> None:
        with associated(shared, SecondaryCaptureImageStorage) as assoc:
            assert assoc.send_c_store(dcmread(io.BytesIO(file))).Status == 0

    c_store()
    sha256 = shared.client.get(f"/api/instances/{uid}").json()["sha256"]
    flip(file_of(shared, uid))
    c_store()
    check_whole(shared, uid, sha256)


def test_a_retrieval(shared: Server, server: Server) -> None:
    file = dicom_file(8, study=8)
    by_rest(server, file)
    try:
        here = NodesClient(shared.client)
        here.add_node("there", f"{server.url}/dicom-web")
        study = f"{ROOT}.8"
        assert here.run("there", "retrieve", level="STUDY", ids=[{"StudyInstanceUID": study}])["done"] == 1
        file_of(shared, f"{study}.1.8").unlink()
        assert here.run("there", "retrieve", level="STUDY", ids=[{"StudyInstanceUID": study}])["done"] == 1
        check_whole(shared, f"{study}.1.8", hashlib.sha256(file).hexdigest())
    finally:
        server.client.delete(f"/api/studies/{ROOT}.8")


def test_other_bytes_heal_nothing(own: Server) -> None:
    """They are another file of the instance, which has its own SHA-256."""
    by_rest(own, FILE)
    flip(file_of(own, UID))
    other = dicom_file(1, ContentLabel="OTHER")
    (result,) = by_rest(own, other)
    assert (result["status"], result.get("healed")) == ("replaced", None)
    assert own.client.get(f"/api/instances/{UID}/file").content == other


def test_deleting_a_damaged_instance_ends_the_alert(own: Server) -> None:
    by_rest(own, FILE)
    flip(file_of(own, UID))
    assert verify("--data", own.data)[0] == 1
    assert own.client.get("/api/health").json()["damaged_files"] == 1
    assert own.client.delete(f"/api/instances/{UID}").status_code == 204
    assert own.client.get("/api/health").json()["damaged_files"] == 0
    (result,) = by_rest(own, FILE)
    assert result["status"] == "stored"


def test_many_at_once(own: Server) -> None:
    """Duplicates and new ones in one upload, of which some are damaged."""
    files = [dicom_file(number) for number in range(1, 41)]
    send(own, zip_of(*((f"{n}.dcm", file) for n, file in enumerate(files[:30]))), "application/zip")
    for number in range(1, 31, 3):
        flip(file_of(own, f"{ROOT}.1.1.{number}"))
    answer = send(own, zip_of(*((f"{n}.dcm", file) for n, file in enumerate(files))), "application/zip")
    results = answer.json()["results"]
    assert [result.get("healed", False) for result in results] == [n < 30 and not n % 3 for n in range(40)]
    assert [result["status"] for result in results] == ["duplicate"] * 30 + ["stored"] * 10
    assert verify("--data", own.data)[0] == 0
    own.wait_for_empty_spool()
