"""Lines of the log for what peers request: AE, address, operation, level, how much, and the outcome."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from tests.support.dimse.remotes import (
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    Destination,
    add_node,
    associated,
    identifier,
    run_tool,
    series,
    upload,
)
from tests.support.files import ROOT, dicom_file
from tests.support.server import Server
from tests.support.waiting import wait_for

SC = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a study of three images, which writes its log as JSON."""
    options = ("--log-format", "json", "--dimse-accept", "any")
    with Server.with_dimse(tmp_path_factory.mktemp("lines"), *options) as running:
        upload(running, *series(3, study=1))
        yield running


def lines(server: Server, operation: str, count: int = 1) -> list[dict[str, Any]]:
    """The lines of an operation, once there are as many."""

    def found() -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in list(server.output) if line.startswith("{")]
        return [each for each in entries if each["message"] == operation and "ae" in each]

    wait_for(lambda: len(found()) >= count, f"{count} lines {operation}: {server.log[-2000:]}")
    return found()


def test_echo(server: Server) -> None:
    assert run_tool(server, "echoscu", "-aet", "ECHOER")[0] == 0
    (line,) = lines(server, "C-ECHO")
    assert (line["level"], line["ae"], line["address"], line["status"]) == ("info", "ECHOER", "127.0.0.1", "0000")


def test_find(server: Server) -> None:
    with associated(server, STUDY_FIND, ae=AE("FINDER")) as assoc:
        for keys in ({"PatientID": "P1"}, {"PatientName": "Nobody^Named"}):
            [*assoc.send_c_find(identifier("STUDY", **keys), STUDY_FIND)]
        [*assoc.send_c_find(identifier("NONSENSE"), STUDY_FIND)]
    some, none = lines(server, "C-FIND STUDY", 2)
    assert (some["ae"], some["count"], some["status"]) == ("FINDER", 1, "0000")
    assert (none["count"], none["status"]) == (0, "0000")
    (refused,) = lines(server, "C-FIND")
    assert refused["status"] != "0000" and refused["comment"]
    assert "Nobody" not in server.log


def test_get_and_move(server: Server) -> None:
    ae = AE("GETTER")
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        with associated(server, STUDY_MOVE, ae=ae) as assoc:
            study = identifier("STUDY", StudyInstanceUID=f"{ROOT}.1")
            [*assoc.send_c_move(study, "DEST", STUDY_MOVE)]
            [*assoc.send_c_move(study, "NOBODY", STUDY_MOVE)]
    (line,) = lines(server, "C-MOVE STUDY")
    assert (line["ae"], line["destination"], line["count"], line["failed"]) == ("GETTER", "DEST", 3, 0)
    assert line["status"] == "0000" and line["bytes"] > 3 * 16
    (refused,) = lines(server, "C-MOVE")
    assert (refused["destination"], refused["status"], refused["count"]) == ("NOBODY", "A801", 0)
    with associated(server, STUDY_GET, ae=ae) as assoc:
        [*assoc.send_c_get(study, STUDY_GET)]
    (line,) = lines(server, "C-GET STUDY")
    assert (line["ae"], line["count"], line["failed"]) == ("GETTER", 0, 3), "no context was proposed"


def test_one_line_for_the_stores_of_an_association(server: Server) -> None:
    with associated(server, SC, ae=AE("STORER")) as assoc:
        for number in range(1, 4):
            assert assoc.send_c_store(_dataset(dicom_file(number, study=2))).Status == 0
        wrong = _dataset(dicom_file(4, study=2))
        wrong.StudyInstanceUID = ""
        assert assoc.send_c_store(wrong).Status != 0
    (line,) = lines(server, "C-STORE")
    assert (line["ae"], line["address"], line["count"], line["refused"]) == ("STORER", "127.0.0.1", 3, 1)
    assert (line["status"], line["association"]) == ("failures", "released")
    assert line["bytes"] > 3 * 128
    with associated(server, SC, ae=AE("ABORTER")) as assoc:
        assert assoc.send_c_store(_dataset(dicom_file(5, study=2))).Status == 0
        assoc.abort()
    line = lines(server, "C-STORE", 2)[-1]
    assert (line["ae"], line["count"], line["status"], line["association"]) == ("ABORTER", 1, "0000", "aborted")


def test_a_rejection_has_its_reason(server: Server, tmp_path: Path) -> None:
    with Server.with_dimse(tmp_path / "own", "--dimse-called", "own") as own:
        requestor = AE("REJECTED")
        requestor.add_requested_context(Verification)
        assert requestor.associate("127.0.0.1", own.dimse_port, ae_title="OTHER").is_rejected
        wait_for(lambda: "an association with REJECTED at 127.0.0.1 is rejected: " in own.log)


def _dataset(file: bytes) -> Dataset:
    return dcmread(io.BytesIO(file))
