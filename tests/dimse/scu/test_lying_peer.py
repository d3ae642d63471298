"""A node that answers C-MOVE, C-GET and C-FIND with something else than it was asked for."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.events import Event

from tests.support.dimse.remotes import STUDY_FIND, STUDY_GET, STUDY_MOVE, add_node, ask, series, upload
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server
from tests.support.waiting import wait_for

SC = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with one image of another study than the one that is asked for."""
    with Server.with_dimse(tmp_path_factory.mktemp("lying"), "--dimse-timeout", "5") as running:
        upload(running, *series(1, study=9))
        yield running


@contextmanager
def lying(server: Server, sent: list[Dataset], matches: list[Dataset]) -> Iterator[list[int]]:
    """The node `liar`, which sends and finds the same whatever it is asked for; gives Message IDs of its C-MOVEs."""
    numbers: list[int] = []

    def move(event: Event) -> Iterator[Any]:
        numbers.append(event.request.MessageID)
        yield ("127.0.0.1", server.dimse_port)
        yield len(sent)
        yield from ((0xFF00, ds) for ds in sent)

    def get(event: Event) -> Iterator[Any]:
        yield len(sent)
        yield from ((0xFF00, ds) for ds in sent)

    def find(event: Event) -> Iterator[Any]:
        yield from ((0xFF00, ds) for ds in matches)

    ae = AE("LIAR")
    for sop_class in (STUDY_FIND, STUDY_MOVE, STUDY_GET):
        ae.add_supported_context(sop_class)
    ae.requested_contexts = [each for each in AllStoragePresentationContexts if each.abstract_syntax == SC]
    ae.add_supported_context(SC, scu_role=True, scp_role=True)
    handlers = [(evt.EVT_C_MOVE, move), (evt.EVT_C_GET, get), (evt.EVT_C_FIND, find)]
    running = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert running is not None
    try:
        add_node(server, "LIAR", running.server_address[1])
        yield numbers
    finally:
        running.shutdown()


def retrieve(server: Server, study: str, method: str) -> dict[str, Any]:
    """The job of a retrieval from `liar`, ended."""
    body = {"level": "STUDY", "ids": [study], "method": method}
    path = f"/api/jobs/{server.client.post('/api/dicom_nodes/liar/retrieve', json=body).json()['id']}"
    job: dict[str, Any] = wait_for(
        lambda: server.client.get(path).json(), "the job's end", holds=lambda job: job["ended"]
    )
    return job


@pytest.mark.parametrize("method", ["C-MOVE", "C-GET"])
def test_instances_of_other_entities_are_refused_and_named(server: Server, method: str) -> None:
    study = 1 if method == "C-MOVE" else 2
    asked = dcmread(io.BytesIO(dicom_file(1, study=study, series=1)))
    other = dcmread(io.BytesIO(dicom_file(2, study=9, series=1)))
    forged = dcmread(io.BytesIO(series(1, study=9)[0]))
    forged.PatientName = "Somebody^Else"
    uid = str(asked.StudyInstanceUID)
    before = server.client.get(f"/api/studies/{other.StudyInstanceUID}").json()
    with lying(server, [asked, other, forged], []):
        job = retrieve(server, uid, method)
    assert (job["state"], job["done"], job["failed"]) == ("done", 1, 2), job
    reasons = {each["instance"]: each["reason"] for each in job["errors"]}
    assert sorted(reasons) == sorted([str(other.SOPInstanceUID), str(forged.SOPInstanceUID)]), reasons
    for reason in reasons.values():
        assert f"its StudyInstanceUID is '{other.StudyInstanceUID}'; '{uid}' was requested" in reason
    assert server.client.get(f"/api/studies/{uid}").json()["images_count"] == 1
    assert server.client.get(f"/api/studies/{other.StudyInstanceUID}").json() == before
    wait_for(lambda: "liar sent what was not requested, which is refused: instance" in server.log, "a line in the log")


def test_what_is_pushed_meanwhile_is_stored(server: Server) -> None:
    """An instance that names no request of ours is one that somebody sends."""
    pushed = dcmread(io.BytesIO(dicom_file(1, study=5, series=1)))
    ae = AE("LIAR")
    ae.requested_contexts = [each for each in AllStoragePresentationContexts if each.abstract_syntax == SC]
    with lying(server, [], []):
        assoc = ae.associate("127.0.0.1", server.dimse_port)
        assert assoc.send_c_store(pushed).Status == 0
        assert assoc.send_c_store(pushed, originator_aet="SOMEBODY", originator_id=1).Status == 0
        assoc.release()


def test_what_another_node_pushes_for_a_node_is_stored(server: Server) -> None:
    """A node's C-MOVE to a third one, with us as destination, may have the Message ID of a request of ours."""
    asked, pushed = (dcmread(io.BytesIO(dicom_file(1, study=study, series=1))) for study in (6, 7))
    add_node(server, "THIRD", 1)
    ae = AE()
    ae.requested_contexts = [each for each in AllStoragePresentationContexts if each.abstract_syntax == SC]
    with lying(server, [asked], []) as numbers:
        assert retrieve(server, str(asked.StudyInstanceUID), "C-MOVE")["done"] == 1
        for calling, is_stored in (("LIAR", False), ("THIRD", True)):
            ae.ae_title = calling
            assoc = ae.associate("127.0.0.1", server.dimse_port)
            answer = assoc.send_c_store(pushed, originator_aet="LIAR", originator_id=numbers[0])
            assert (answer.Status == 0) == is_stored, answer
            assoc.release()


def test_matches_of_other_entities_are_dropped(server: Server) -> None:
    def match(study: str, level: str = "STUDY") -> Dataset:
        ds = Dataset()
        ds.QueryRetrieveLevel, ds.StudyInstanceUID, ds.PatientID = level, study, "P"
        return ds

    found = [match(f"{ROOT}.1"), match(f"{ROOT}.2"), match(f"{ROOT}.1", "SERIES")]
    with lying(server, [], found):
        query = {"StudyInstanceUID": f"{ROOT}.1", "PatientID": None}
        (answer,) = ask(server, "liar", "find", {"level": "STUDY", "query": query})
        assert answer["StudyInstanceUID"] == f"{ROOT}.1"
    wait_for(lambda: "liar answered a query with 2 matches of another level" in server.log, "a line in the log")
