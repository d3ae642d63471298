"""Files with UIDs in common, of each pair of levels, by each protocol: both are whole, each found by its own UIDs."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import CTImageStorage

from neurdicom.dicom.codec.dictionary import tag_of
from tests.support.colliding import DIFFERENCES, LEVELS, CollidingInstance, collision
from tests.support.dicomweb.paths import key_path, metadata, patient_id, retrieve_url, search
from tests.support.dicomweb.stow import part, related, store
from tests.support.dicomweb.web import dataset_of
from tests.support.dimse.remotes import PATIENT_FIND, add_node, associated, find, run_tool
from tests.support.nodes import NodesClient
from tests.support.server import Server

#: Levels that collide, and whether the patients are the same (`tests.support.colliding`).
KINDS = (
    "study",
    "study, series and instance",
    "series of two patients",
    "series of one patient",
    "instance of two patients",
    "instance of two series",
)

#: Delivers files to the server.
Delivery = Callable[[Sequence[CollidingInstance]], None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Iterator[Server]:
    """A server that takes associations, on each catalog."""
    with Server.with_dimse(tmp_path_factory.mktemp("identity"), "--dimse-accept", "any", *options) as running:
        yield running


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Iterator[Server]:
    """Another server, whose instances the first retrieves."""
    with Server.with_dimse(tmp_path_factory.mktemp("other"), "--ae-title", "OTHER", "--dimse-accept", "any") as running:
        NodesClient(server.client).add_node("other-web", f"{running.url}/dicom-web")
        add_node(server, "OTHER", running.dimse_port)
        add_node(running, "NEURDICOM", server.dimse_port)
        yield running


def by_stow(server: Server, files: Sequence[CollidingInstance]) -> None:
    answer = store(server, related(*(part(file.file) for file in files)))
    assert answer.status_code == 200, answer.text
    items = answer.json()["00081199"]["Value"]
    for file, item in zip(files, items, strict=True):
        (found,) = metadata(server, retrieve_url(item))
        assert found["00100020"]["Value"] == [patient_id(file)], "the Retrieve URL of STOW's answer is of this instance"


def by_store_scu(server: Server, files: Sequence[CollidingInstance]) -> None:
    with associated(server, CTImageStorage) as assoc:
        assert [assoc.send_c_store(file.dataset).Status for file in files] == [0x0000] * len(files)


def by_upload(server: Server, files: Sequence[CollidingInstance]) -> None:
    headers = {"Content-Type": "application/dicom"}
    answers = [server.client.post("/api/instances", content=file.file, headers=headers) for file in files]
    assert all(answer.status_code in (200, 201) for answer in answers), [answer.text for answer in answers]


def by_retrieval(server: Server, other: Server, node: str, files: Sequence[CollidingInstance], **more: str) -> None:
    by_upload(other, files)
    studies = list(dict.fromkeys(file.uid("study") for file in files))
    job = NodesClient(server.client).run(node, "retrieve", level="STUDY", ids=studies, **more)
    assert (job["state"], job["done"], job["failed"]) == ("done", len(files), 0), job


@pytest.fixture(params=["stow", "c-store", "upload", "wado", "c-move", "c-get"])
def deliver(request: pytest.FixtureRequest, server: Server) -> Delivery:
    """Each way into the archive."""
    if request.param in ("stow", "c-store", "upload"):
        deliver = {"stow": by_stow, "c-store": by_store_scu, "upload": by_upload}[request.param]
        return lambda files: deliver(server, files)
    other: Server = request.getfixturevalue("other")
    node, more = {
        "wado": ("other-web", {}),
        "c-move": ("other", {"method": "C-MOVE"}),
        "c-get": ("other", {"method": "C-GET"}),
    }[request.param]
    return lambda files: by_retrieval(server, other, node, files, **more)


def check_each_is_whole(server: Server, files: Sequence[CollidingInstance]) -> None:
    """Each file is found by its own UIDs, id and name, whole, by REST, DICOMweb and DIMSE."""
    for file in files:
        answer = server.client.get(f"/dicom-web{key_path(file)}", headers={"Accept": "application/dicom"})
        assert answer.status_code == 200, answer.text
        assert dataset_of(answer.content) == dataset_of(file.file), "elements and pixels, without File Meta Information"
        own = server.client.get(f"/api/instances/{file.key('instance')}").json()
        assert (own["patient"], own["sop_instance_uid"]) == (file.patient, file.uid("instance"))
        patient = patient_id(file)
        # A study shows what its earliest file says, whichever came first, and is found by what all of them say.
        names = {str(each.dataset.PatientName) for each in files if each.key("study") == file.key("study")}
        filters = {"PatientID": patient, "PatientName": str(file.dataset.PatientName)}
        for level, (many, keyword, *_) in LEVELS.items():
            filters[keyword] = file.uid(level)
            (match,) = search(server, f"/{many}", **filters, includefield="PatientID,PatientName")
            assert match[tag_of(keyword)]["Value"] == [file.uid(level)], "UIDs stay UIDs"
            assert match["00100020"]["Value"] == [patient]
            assert match["00100010"]["Value"][0]["Alphabetic"] in names
            assert {each["00100020"]["Value"][0] for each in metadata(server, retrieve_url(match))} == {patient}
        above: dict[str, Any] = {"StudyInstanceUID": file.uid("study"), "SeriesInstanceUID": file.uid("series")}
        above |= {"PatientID": patient, "PatientName": "", "SOPInstanceUID": ""}
        (found,), _, _ = find(server, "IMAGE", PATIENT_FIND, **above)
        assert found.SOPInstanceUID == file.uid("instance")
        assert str(found.PatientName) in names


@pytest.mark.parametrize("kind", KINDS)
def test_both_are_whole(server: Server, deliver: Delivery, kind: str) -> None:
    files = collision(*DIFFERENCES[kind]).both
    deliver(files)
    check_each_is_whole(server, files)
    deliver(files)  # sent again, nothing moves
    check_each_is_whole(server, files)
    study = files[0].uid("study")
    expected = sorted({file.key("study"): patient_id(file) for file in files if file.uid("study") == study}.values())
    listed = search(server, "/studies", StudyInstanceUID=study)
    assert sorted(match["00100020"]["Value"][0] for match in listed) == expected
    matches, _, _ = find(server, "STUDY", StudyInstanceUID=study, PatientID="", PatientName="")
    assert sorted(match.PatientID for match in matches) == expected


def test_findscu_lists_both(server: Server) -> None:
    """DCMTK's findscu sees each study with its own patient, and of the series of both."""
    files = collision(*DIFFERENCES["study"]).both
    by_stow(server, files)
    keys = ("-k", f"StudyInstanceUID={files[0].uid('study')}", "-k", "PatientName")
    code, output = run_tool(server, "findscu", "-S", "-k", "QueryRetrieveLevel=STUDY", *keys)
    assert code == 0, output
    assert [output.count(str(file.dataset.PatientName)) for file in files] == [1, 1]
    more = ("-k", "QueryRetrieveLevel=SERIES", *keys, "-k", "SeriesInstanceUID")
    code, output = run_tool(server, "findscu", "-S", *more)
    assert code == 0, output
    for file in files:
        assert (output.count(str(file.dataset.PatientName)), output.count(file.uid("series"))) == (1, 1)
    code, output = run_tool(server, "findscu", "-P", *more, "-k", f"PatientID={patient_id(files[1])}")
    assert code == 0, output
    assert [output.count(file.uid("series")) for file in files] == [0, 1]


def test_a_reindex_changes_nothing(tmp_path: Path, options: list[str]) -> None:
    """Ids, Retrieve URLs and whose an instance is follow from the files alone."""
    pairs = [collision(*DIFFERENCES[kind]).both for kind in KINDS]
    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any", *options) as running:
        for files in pairs:
            by_stow(running, files)
        before = _paths(running, pairs)
    command = [sys.executable, "-m", "neurdicom", "reindex", "--data", str(tmp_path / "data"), *options]
    subprocess.run(command, check=True, capture_output=True)
    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any", *options) as running:
        assert _paths(running, pairs) == before
        for files in pairs:
            check_each_is_whole(running, files)


def _paths(server: Server, pairs: Sequence[Sequence[CollidingInstance]]) -> list[str]:
    """Paths of all Retrieve URLs of instances."""
    found = [
        match for files in pairs for file in files for match in search(server, "/instances", PatientID=patient_id(file))
    ]
    return [retrieve_url(match).partition("/dicom-web")[2] for match in found]
