"""Nodes that can't send all of what they are asked for: one bad instance costs only itself, and what fails is named."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from tests.support.dimse.archive import FailingArchive
from tests.support.dimse.remotes import series
from tests.support.files import ROOT
from tests.support.nodes import NodesClient
from tests.support.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that listens for DIMSE."""
    with Server.with_dimse(tmp_path_factory.mktemp("piecewise"), "--dimse-timeout", "5") as running:
        yield running


@pytest.fixture
def here(server: Server) -> Iterator[NodesClient]:
    """A client of the server, which is empty again afterwards."""
    client = NodesClient(server.client)
    yield client
    for patient in server.client.get("/api/patients").json():
        server.client.delete(f"/api/patients/{patient['id']}")


FILES = [*series(3, study=1, series=1), *series(3, study=1, series=2)]
BAD = f"{ROOT}.1.2.2"


@pytest.mark.parametrize("whole", ["A702", "abort", "unnamed"])
@pytest.mark.parametrize("method", ["C-MOVE", "C-GET"])
def test_one_bad_instance_costs_only_itself(server: Server, here: NodesClient, method: str, whole: str) -> None:
    with FailingArchive(server, FILES, whole=whole, bad=[BAD]).running():
        job = here.run("failing", "retrieve", level="STUDY", ids=[f"{ROOT}.1"], method=method)
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 5, 1, 6), job
    (error,) = job["errors"]
    assert (error["study"], error["series"], error["instance"]) == (f"{ROOT}.1", f"{ROOT}.1.2", BAD)
    assert "C001" in error["reason"]
    assert here.count(f"{ROOT}.1") == 5


@pytest.mark.slow
def test_a_node_that_stalls_is_asked_for_the_rest(tmp_path: Path) -> None:
    """A node may be silent for twenty times as long as for an ordinary answer, since pending responses are optional."""
    with Server.with_dimse(tmp_path / "stalled", "--dimse-timeout", "1") as server:
        here = NodesClient(server.client)
        with FailingArchive(server, FILES, whole="stall").running():
            job = here.ended(
                here.submit("failing", "retrieve", level="STUDY", ids=[f"{ROOT}.1"], method="C-MOVE"), seconds=120
            )
        assert (job["state"], job["done"], job["failed"]) == ("done", 6, 0), job


@pytest.mark.parametrize("level", ["SERIES", "PATIENT"])
def test_likewise_of_a_series_and_of_a_patient(server: Server, here: NodesClient, level: str) -> None:
    ids = {"SERIES": {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.2"}, "PATIENT": "P1"}[level]
    with FailingArchive(server, FILES, whole="A702", bad=[BAD]).running():
        job = here.run("failing", "retrieve", level=level, ids=ids, method="C-MOVE")
    assert (job["state"], job["failed"]) == ("done", 1), job
    assert job["errors"][0]["instance"] == BAD
    assert here.count(f"{ROOT}.1") == {"SERIES": 2, "PATIENT": 5}[level]


def test_a_node_that_says_nothing_of_what_it_has_fails_as_a_whole(server: Server, here: NodesClient) -> None:
    with FailingArchive(server, FILES, whole="abort", refuses=lambda identifier: True).running():
        job = here.submit("failing", "retrieve", level="STUDY", ids=[f"{ROOT}.1"], method="C-MOVE")
        now = here.when(job, lambda now: now["ended"] or now["retry_at"])
        here.http.delete(f"/api/jobs/{job}")
    assert here.count(f"{ROOT}.1") >= 1
    assert "failing" in str(now["retry_reason"] or now["errors"]).lower()


def test_an_unknown_entity_is_named(server: Server, here: NodesClient) -> None:
    with FailingArchive(server, FILES).running():
        job = here.run("failing", "retrieve", level="STUDY", ids=[f"{ROOT}.77", f"{ROOT}.1"], method="C-MOVE")
    assert (job["state"], job["done"], job["failed"]) == ("done", 6, 1), job
    assert job["errors"][0]["study"] == f"{ROOT}.77"
    assert "failing sent nothing of it" in job["errors"][0]["reason"]


def test_a_wrong_id_fails_beside_the_others(server: Server, here: NodesClient) -> None:
    wrong = {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": "*"}
    right = {"StudyInstanceUID": f"{ROOT}.1", "SeriesInstanceUID": f"{ROOT}.1.2"}
    with FailingArchive(server, FILES).running():
        job = here.run("failing", "retrieve", level="SERIES", ids=[wrong, right, "nonsense", None])
    assert (job["state"], job["done"], job["failed"]) == ("done", 3, 3), job
    assert job["errors"][0]["study"] == f"{ROOT}.1"
    assert "'*'" in job["errors"][0]["reason"]
    for ids in ([wrong], [wrong, None]):
        answer = here.http.post("/api/dicom_nodes/failing/retrieve", json={"level": "SERIES", "ids": ids})
        assert (answer.status_code, answer.json()["field"].partition(".")[0]) == (422, "ids"), answer.text


STUDIES = [
    *series(2, study=1, patient="A", StudyDate="20200101"),
    *series(1, study=2, patient="A", StudyDate="20240229"),
    *series(1, study=3, patient="B", StudyDate="19991231"),
]


def _is_bare(identifier: Dataset) -> bool:
    return not any(str(identifier.get(keyword) or "") for keyword in ("PatientID", "StudyInstanceUID", "StudyDate"))


def _has_no_id(identifier: Dataset) -> bool:
    patient = str(identifier.get("PatientID") or "")
    return (identifier.QueryRetrieveLevel != "PATIENT" and _is_bare(identifier)) or "*" in patient


def _has_no_date(identifier: Dataset) -> bool:
    return not (identifier.get("StudyInstanceUID") or identifier.get("StudyDate"))


@pytest.mark.parametrize(
    "refuses", [None, _is_bare, _has_no_id, _has_no_date], ids=["none", "wildcard", "by patients", "by dates"]
)
def test_all_is_retrieved(server: Server, here: NodesClient, refuses: Any) -> None:
    with FailingArchive(server, STUDIES, refuses=refuses).running():
        job = here.run("failing", "retrieve", level="STUDY", query={})
    assert (job["state"], job["done"], job["failed"]) == ("done", 4, 0), job
    assert [here.count(f"{ROOT}.{study}") for study in (1, 2, 3)] == [2, 1, 1]


def test_what_a_query_finds_is_retrieved(server: Server, here: NodesClient) -> None:
    with FailingArchive(server, STUDIES).running():
        for level, query, counts in (
            ("STUDY", {"PatientID": "A"}, [2, 1, 0]),
            ("PATIENT", {"PatientID": "B"}, [2, 1, 1]),
        ):
            job = here.run("failing", "retrieve", level=level, query=query)
            assert (job["state"], job["failed"]) == ("done", 0), job
            assert [here.count(f"{ROOT}.{study}") for study in (1, 2, 3)] == counts
        job = here.run("failing", "retrieve", level="STUDY", query={"PatientID": "C"})
        assert (job["state"], job["failed"]) == ("failed", 1)
        assert "has nothing at this level" in job["errors"][0]["reason"]


def test_a_node_that_answers_no_query_says_so_in_each_way(server: Server, here: NodesClient) -> None:
    with FailingArchive(server, STUDIES, refuses=lambda identifier: True).running():
        job = here.run("failing", "retrieve", level="STUDY", query={})
    assert job["state"] == "failed"
    for way in ("at once: ", "by patients: ", "by dates: "):
        assert way in job["errors"][0]["reason"]


def test_either_ids_or_a_query(here: NodesClient, server: Server) -> None:
    with FailingArchive(server, []).running():
        for body in ({"level": "STUDY"}, {"level": "STUDY", "ids": ["1.2"], "query": {}}):
            answer = here.http.post("/api/dicom_nodes/failing/retrieve", json=body)
            assert (answer.status_code, answer.json()["field"]) == (422, "ids"), answer.text
        wrong = {"level": "STUDY", "query": {"NoSuchKeyword": "x"}}
        answer = here.http.post("/api/dicom_nodes/failing/retrieve", json=wrong)
        assert (answer.status_code, answer.json()["field"]) == (422, "NoSuchKeyword"), answer.text
