"""C-MOVE, C-GET and storage commitment where a UID names several entities."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, SecondaryCaptureImageStorage, generate_uid

from tests.support.colliding import DIFFERENCES, CollidingInstance, collision
from tests.support.dicomweb.paths import patient_id
from tests.support.dimse.modality import Modality, failures, pairs
from tests.support.dimse.remotes import (
    PATIENT_MOVE,
    STUDY_MOVE,
    Destination,
    add_node,
    counts,
    retrieve,
    run_tool,
    storescp,
    upload,
)
from tests.support.nodes import NodesClient
from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, options: list[str]) -> Iterator[Server]:
    """A server that takes associations, on each catalog."""
    with Server.with_dimse(tmp_path_factory.mktemp("ambiguous"), "--dimse-accept", "any", *options) as running:
        yield running


def stored(server: Server, kind: str, **elements: Any) -> tuple[CollidingInstance, CollidingInstance]:
    """Store both files of a pair."""
    files = collision(*DIFFERENCES[kind], **elements).both
    upload(server, *(file.file for file in files))
    return files


def received_by(received: list[tuple[str, Dataset]]) -> list[tuple[str, str, str]]:
    """Whose instances arrived."""
    return sorted((str(ds.PatientID), str(ds.PatientName), uid) for uid, ds in received)


def expected(*files: CollidingInstance) -> list[tuple[str, str, str]]:
    """What `received_by` lists of files."""
    return sorted((patient_id(file), str(file.dataset.PatientName), file.uid("instance")) for file in files)


@pytest.mark.parametrize("kind", ["study", "study, series and instance"])
def test_move_uses_all_keys(server: Server, kind: str) -> None:
    """By Study UID alone both are sent, each with its own patient, and the log says so; a Patient ID decides."""
    files = stored(server, kind)
    study = {"StudyInstanceUID": files[0].uid("study")}
    asked: list[tuple[str, str, dict[str, Any], tuple[CollidingInstance, ...]]] = [("STUDY", STUDY_MOVE, study, files)]
    for file in files:
        of_patient = study | {"PatientID": patient_id(file)}
        asked += [
            ("STUDY", PATIENT_MOVE, of_patient, (file,)),
            ("STUDY", STUDY_MOVE, of_patient, (file,)),
            ("SERIES", PATIENT_MOVE, of_patient | {"SeriesInstanceUID": file.uid("series")}, (file,)),
            (
                "IMAGE",
                PATIENT_MOVE,
                of_patient | {"SeriesInstanceUID": file.uid("series"), "SOPInstanceUID": file.uid("instance")},
                (file,),
            ),
            ("PATIENT", PATIENT_MOVE, {"PatientID": patient_id(file)}, (file,)),
        ]
        if kind == "study":
            asked.append(("SERIES", STUDY_MOVE, study | {"SeriesInstanceUID": file.uid("series")}, (file,)))
    for level, sop_class, keys, wanted in asked:
        with Destination() as destination:
            add_node(server, "DEST", destination.port)
            status, _ = retrieve(server, level, sop_class, "DEST", **keys)[-1]
        assert (status.Status, *counts(status)) == (0x0000, len(wanted), 0, 0, None), (level, keys)
        assert received_by(destination.received) == expected(*wanted), (level, keys)
    lines = [line for line in server.log.splitlines() if f"the study {files[0].uid('study')} that a retrieval" in line]
    assert len(lines) == 1, "only where both are sent"
    assert all(file.key("study") in lines[0] for file in files)


def test_failed_instances_are_listed_by_their_uids(server: Server) -> None:
    files = stored(server, "study, series and instance")
    with Destination(on_store=lambda event: 0xA700) as destination:
        add_node(server, "DEST", destination.port)
        status, failed = retrieve(server, "STUDY", STUDY_MOVE, "DEST", StudyInstanceUID=files[0].uid("study"))[-1]
    assert (status.Status, *counts(status)) == (0xA702, 0, 2, 0, None)
    assert failed is not None
    assert failed.FailedSOPInstanceUIDList == files[0].uid("instance")


def test_movescu_and_getscu(server: Server, tmp_path: Path) -> None:
    """DCMTK's tools get both, and one by the keys of the patient root."""
    files = stored(server, "study")
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={files[0].uid('study')}")
    of_second = (*keys, "-k", f"PatientID={patient_id(files[1])}")
    wanted = {"-S": (keys, files), "-P": (of_second, files[1:])}
    for number, (model, (given, sent)) in enumerate(wanted.items()):
        moved, got = tmp_path / f"moved{number}", tmp_path / f"got{number}"
        moved.mkdir()
        got.mkdir()
        with storescp(moved, "STORESCP") as (port, _):
            add_node(server, "STORESCP", port)
            code, output = run_tool(server, "movescu", model, "-aem", "STORESCP", *given)
        assert code == 0, output
        code, output = run_tool(server, "getscu", model, "-od", str(got), *given)
        assert code == 0, output
        for folder in (moved, got):
            datasets = [dcmread(file) for file in folder.iterdir()]
            assert received_by([(ds.SOPInstanceUID, ds) for ds in datasets]) == expected(*sent)


@pytest.mark.parametrize("kind", ["study", "instance of two patients", "study, series and instance"])
def test_sending_by_jobs(server: Server, kind: str) -> None:
    """A job sends what its ids name, each with its own patient; a UID that names several is refused."""
    here, files = NodesClient(server.client), stored(server, kind)
    with Destination() as destination:
        node = add_node(server, "DEST", destination.port)
        job = here.run(node, "send", instances=[file.key("instance") for file in files])
        assert (job["state"], job["done"], job["failed"]) == ("done", 2, 0), job
        job = here.run(node, "send", studies=[files[1].key("study")])
        assert (job["state"], job["done"], job["failed"]) == ("done", 1, 0), job
    assert received_by(destination.received) == expected(*files, files[1])
    if kind != "instance of two patients":
        answer = server.client.post(f"/api/dicom_nodes/{node}/send", json={"studies": [files[0].uid("study")]})
        assert (answer.status_code, answer.json()["code"]) == (409, "ambiguous")


def test_sending_over_dicomweb(server: Server, tmp_path: Path) -> None:
    """Two instances of one UID go in requests of their own, since answers name instances by UIDs."""
    here, files = NodesClient(server.client), stored(server, "study, series and instance")
    with Server(tmp_path / "there") as there:
        here.add_node("there", f"{there.url}/dicom-web")
        job = here.run("there", "send", instances=[file.key("instance") for file in files])
        assert (job["state"], job["done"], job["failed"]) == ("done", 2, 0), job
        listed = there.client.get("/dicom-web/studies", params={"StudyInstanceUID": files[0].uid("study")}).json()
        assert sorted(match["00100020"]["Value"][0] for match in listed) == sorted(patient_id(file) for file in files)


def test_commitment_of_an_instance_in_two_places(server: Server) -> None:
    """An instance is held where any of this class is."""
    files = stored(server, "instance of two patients")
    modality = Modality(server, "MODALITY")
    own = (str(CTImageStorage), files[0].uid("instance"))
    wrong = (str(SecondaryCaptureImageStorage), files[0].uid("instance"))
    missing = (str(CTImageStorage), generate_uid())
    with modality.on():
        assert modality.ask([own, wrong, missing]).Status == 0x0000
        event, report = modality.report()
        assert event == 2
        assert pairs(report) == [own]
        assert {item.FailureReason for item in report.FailedSOPSequence} == {0x0119, 0x0112}
        assert failures(report)[missing[1]] == 0x0112
        assert server.client.delete(f"/api/instances/{files[0].key('instance')}").status_code == 204
        assert modality.ask([own]).Status == 0x0000
        event, report = modality.report()
    assert (event, pairs(report)) == (1, [own])
