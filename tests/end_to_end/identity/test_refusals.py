"""Files whose UIDs are those of others, or that are there with other bytes, where settings refuse or drop them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.datadict import tag_for_keyword
from pynetdicom.sop_class import CTImageStorage

from tests.support.colliding import DIFFERENCES, CollidingInstance, collision
from tests.support.datasets import to_bytes
from tests.support.dicomweb.paths import patient_id, search
from tests.support.dicomweb.stow import failed, part, related, store
from tests.support.dicomweb.stow import stored as stored_uids
from tests.support.dicomweb.web import dataset_of
from tests.support.dimse.remotes import SECONDS, add_node, associated, tool, upload
from tests.support.nodes import NodesClient
from tests.support.server import Server

#: The kind of a conflict: what its Error Comment says, and the keyword of its Offending Element.
WORDS = {
    "study": ("Study", "another patient", "StudyInstanceUID"),
    "series of two patients": ("Series", "another study", "SeriesInstanceUID"),
    "instance of two patients": ("Instance", "another series", "SOPInstanceUID"),
}


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Iterator[Server]:
    """A server that refuses conflicts, on each catalog."""
    given = ("--conflicts", "refuse", "--same-instance", "refuse", "--dimse-accept", "any", *options)
    with Server.with_dimse(tmp_path_factory.mktemp("refusing"), *given) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, refusing: Server) -> Iterator[Server]:
    """Another server, whose instances the first retrieves."""
    with Server.with_dimse(tmp_path_factory.mktemp("other"), "--ae-title", "OTHER", "--dimse-accept", "any") as running:
        NodesClient(refusing.client).add_node("other-web", f"{running.url}/dicom-web")
        add_node(refusing, "OTHER", running.dimse_port)
        add_node(running, "NEURDICOM", refusing.dimse_port)
        yield running


def send(server: Server, ds: Dataset) -> Dataset:
    """Send one instance by C-STORE; the status."""
    with associated(server, CTImageStorage) as assoc:
        return assoc.send_c_store(ds)


def nothing_moved(server: Server, first: CollidingInstance, second: CollidingInstance) -> None:
    """The first is there as it was, and nothing of the second."""
    (match,) = search(server, "/instances", PatientID=patient_id(first))
    assert match["00080018"]["Value"] == [first.uid("instance")]
    assert search(server, "/studies", PatientID=patient_id(second)) == []
    assert server.client.get(f"/api/instances/{first.uid('instance')}/file").content == first.file


@pytest.mark.parametrize("kind", WORDS)
def test_stow(refusing: Server, kind: str) -> None:
    """A900 in the failed sequence, and in the log who has the UID; the others of a request are stored."""
    first, second = collision(*DIFFERENCES[kind]).both
    third, _ = collision(*DIFFERENCES[kind]).both
    answer = store(refusing, related(*(part(file.file) for file in (first, second, third))))
    assert answer.status_code == 202
    assert stored_uids(answer) == [first.uid("instance"), third.uid("instance")]
    assert failed(answer) == {second.uid("instance"): 0xA900}
    assert store(refusing, related(part(second.file))).status_code == 409
    nothing_moved(refusing, first, second)
    shared = first.uid(WORDS[kind][0].lower())
    assert any(shared in line and repr(patient_id(first)) in line for line in refusing.log.splitlines())


@pytest.mark.parametrize("kind", WORDS)
def test_c_store(refusing: Server, kind: str) -> None:
    """A900 with the kind and the end of the UID in 64 characters."""
    first, second = collision(*DIFFERENCES[kind]).both
    upload(refusing, first.file)
    status = send(refusing, second.dataset)
    level, fault, keyword = WORDS[kind]
    assert (status.Status, status.OffendingElement) == (0xA900, tag_for_keyword(keyword))
    comment = str(status.ErrorComment)
    assert comment.startswith(f"{level} ...")
    assert comment.endswith(f"{first.uid(level.lower())[-4:]} is of {fault}")
    assert len(comment) <= 64
    nothing_moved(refusing, first, second)


def test_storescu(refusing: Server, tmp_path: Path) -> None:
    """DCMTK's storescu is told so."""
    first, second = collision(*DIFFERENCES["series of two patients"]).both
    upload(refusing, first.file)
    file = tmp_path / "second.dcm"
    file.write_bytes(second.file)
    command = [tool("storescu"), "-v", "127.0.0.1", str(refusing.dimse_port), str(file)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    assert done.returncode != 0
    assert b"DataSetDoesNotMatch" in done.stdout + done.stderr
    nothing_moved(refusing, first, second)


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize(
    ("node", "more"), [("other-web", {}), ("other", {"method": "C-MOVE"}), ("other", {"method": "C-GET"})]
)
def test_retrieval(refusing: Server, other: Server, kind: str, node: str, more: dict[str, str]) -> None:
    """What a node has besides is refused, and the job says why."""
    first, second = collision(*DIFFERENCES[kind]).both
    upload(refusing, first.file)
    upload(other, second.file)
    job = NodesClient(refusing.client).run(node, "retrieve", level="STUDY", ids=[second.uid("study")], **more)
    assert (job["done"], job["failed"]) == (0, 1), job
    assert "is there already" in job["errors"][0]["reason"], job
    nothing_moved(refusing, first, second)


def changed(file: CollidingInstance) -> bytes:
    """The instance with other pixels."""
    ds = file.dataset
    ds.PixelData = ds.PixelData[::-1]
    return to_bytes(ds)


def test_other_bytes_are_refused(refusing: Server) -> None:
    first, other = collision(*DIFFERENCES["series of two patients"]).both
    upload(refusing, first.file)
    new = changed(first)
    answer = store(refusing, related(part(new)))
    assert (answer.status_code, failed(answer)) == (409, {first.uid("instance"): 0xA900})
    status = send(refusing, dataset_of(new))
    assert status.Status == 0xA900
    assert str(status.ErrorComment).endswith(f"{first.uid('instance')[-4:]} is there with other bytes")
    nothing_moved(refusing, first, other)


def test_other_bytes_are_dropped(tmp_path: Path, options: list[str]) -> None:
    """What is kept is answered as a duplicate is: stored, with nothing changed."""
    first, other = collision(*DIFFERENCES["series of two patients"]).both
    given = ("--same-instance", "keep", "--dimse-accept", "any", *options)
    with Server.with_dimse(tmp_path / "keeping", *given) as keeping:
        upload(keeping, first.file)
        new = changed(first)
        answer = store(keeping, related(part(new)))
        assert (answer.status_code, stored_uids(answer), failed(answer)) == (200, [first.uid("instance")], {})
        assert send(keeping, dataset_of(new)).Status == 0x0000
        nothing_moved(keeping, first, other)
        assert 'neurdicom_dimse_instances_total{outcome="kept"} 1.0' in keeping.client.get("/api/metrics").text
