"""Relational queries and retrievals (PS3.4 C.4.1.2.2), and keys that mean nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from tests.support.dimse.remotes import (
    PATIENT_FIND,
    PATIENT_MOVE,
    STUDY_FIND,
    STUDY_MOVE,
    Destination,
    add_node,
    associated,
    find,
    identifier,
    run_tool,
    series,
    upload,
)
from tests.support.files import ROOT
from tests.support.server import Server

ONE, TWO = f"{ROOT}.1", f"{ROOT}.2"


def fill(server: Server) -> None:
    """Store two studies of two patients."""
    upload(server, *series(2, study=1, StudyDate="20240105", StudyTime="101500", PatientName="Doe^Jane^^"))
    upload(server, *series(1, study=1, series=2, StudyDate="20240105", Modality="CT", PatientName="Doe^Jane^^"))
    upload(server, *series(1, study=2, patient="P2", PatientName="Roe^Ann", StudyDate="20240210"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with two studies, as it is by default."""
    with Server.with_dimse(tmp_path_factory.mktemp("relational"), "--dimse-accept", "any") as running:
        fill(running)
        yield running


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants hierarchical identifiers."""
    options = ("--dimse-accept", "any", "--no-dimse-relational")
    with Server.with_dimse(tmp_path_factory.mktemp("hierarchical"), *options) as running:
        fill(running)
        yield running


#: Level, model, keys, how many match.
RELATIONAL: list[tuple[str, str, dict[str, Any], int]] = [
    ("STUDY", PATIENT_FIND, {"StudyInstanceUID": ""}, 2),
    ("STUDY", PATIENT_FIND, {"PatientID": ["P1", "P2"]}, 2),
    ("STUDY", PATIENT_FIND, {"PatientName": "roe*"}, 1),
    ("SERIES", STUDY_FIND, {"SeriesInstanceUID": ""}, 3),
    ("SERIES", STUDY_FIND, {"StudyInstanceUID": ""}, 3),
    ("SERIES", STUDY_FIND, {"StudyInstanceUID": "*"}, 3),
    ("SERIES", STUDY_FIND, {"StudyInstanceUID": f"{ROOT}.*"}, 3),
    ("SERIES", STUDY_FIND, {"StudyInstanceUID": [ONE, TWO]}, 3),
    ("SERIES", STUDY_FIND, {"Modality": "CT"}, 1),
    ("IMAGE", STUDY_FIND, {"StudyInstanceUID": ONE}, 3),
    ("IMAGE", STUDY_FIND, {"SOPInstanceUID": f"{ONE}.1.1"}, 1),
    ("IMAGE", STUDY_FIND, {"PatientName": "Doe^Jane", "InstanceNumber": "1"}, 2),
]


@pytest.mark.parametrize(("level", "model", "keys", "count"), RELATIONAL)
def test_relational_queries(server: Server, level: str, model: str, keys: dict[str, Any], count: int) -> None:
    matches, status, statuses = find(server, level, model, **keys)
    assert (status.Status, len(matches), {*statuses}) == (0x0000, count, {0xFF00})


@pytest.mark.parametrize(
    ("level", "model", "keys", "offending"),
    [
        ("STUDY", PATIENT_FIND, {"StudyInstanceUID": ""}, 0x00100020),
        ("SERIES", STUDY_FIND, {"SeriesInstanceUID": ""}, 0x0020000D),
        ("SERIES", STUDY_FIND, {"StudyInstanceUID": [ONE, TWO]}, 0x0020000D),
        ("SERIES", STUDY_FIND, {"StudyInstanceUID": "*"}, 0x0020000D),
        ("IMAGE", STUDY_FIND, {"StudyInstanceUID": ONE}, 0x0020000E),
    ],
)
def test_they_are_refused_where_the_operator_wants(
    strict: Server, level: str, model: str, keys: dict[str, Any], offending: int
) -> None:
    matches, status, _ = find(strict, level, model, **keys)
    assert (matches, status.Status, status.OffendingElement) == ([], 0xA900, offending)
    assert len(find(strict, "SERIES", StudyInstanceUID=ONE)[0]) == 2


def test_negotiation(server: Server, strict: Server) -> None:
    for running, answers in (
        (server, {STUDY_FIND: b"\1\0\0", STUDY_MOVE: b"\1"}),
        (strict, {STUDY_FIND: b"\0\0\0", STUDY_MOVE: b"\0"}),
    ):
        items = []
        for sop_class, asked in ((STUDY_FIND, b"\1\0\0"), (STUDY_MOVE, b"\1")):
            item = SOPClassExtendedNegotiation()
            item.sop_class_uid, item.service_class_application_information = sop_class, asked
            items.append(item)
        with associated(running, STUDY_FIND, STUDY_MOVE, ext_neg=items) as assoc:
            assert assoc.acceptor.sop_class_extended == answers


MOVES: list[tuple[str | None, str, dict[str, Any], int]] = [
    ("SERIES", STUDY_MOVE, {"SeriesInstanceUID": f"{ONE}.1"}, 2),
    ("SERIES", STUDY_MOVE, {"StudyInstanceUID": [ONE, TWO], "SeriesInstanceUID": [f"{ONE}.2", f"{TWO}.1"]}, 2),
    ("SERIES", STUDY_MOVE, {"StudyInstanceUID": TWO, "SeriesInstanceUID": [f"{ONE}.2", f"{TWO}.1"]}, 1),
    ("SERIES", STUDY_MOVE, {"StudyInstanceUID": "*", "SeriesInstanceUID": f"{ONE}.2"}, 1),
    ("IMAGE", STUDY_MOVE, {"SOPInstanceUID": [f"{ONE}.1.1", f"{TWO}.1.1"]}, 2),
    ("STUDY", STUDY_MOVE, {"StudyInstanceUID": [f" {ONE}", TWO]}, 4),
    ("STUDY", PATIENT_MOVE, {"StudyInstanceUID": [ONE, TWO]}, 4),
    ("STUDY", PATIENT_MOVE, {"StudyInstanceUID": [ONE, TWO], "PatientID": ["P2", "P3"]}, 1),
    ("PATIENT", PATIENT_MOVE, {"PatientID": ["P1", "P2 "]}, 4),
    (None, STUDY_MOVE, {"StudyInstanceUID": ONE, "SeriesInstanceUID": f"{ONE}.2"}, 1),
    (None, PATIENT_MOVE, {"PatientID": "P1"}, 3),
]


@pytest.mark.parametrize(("level", "model", "keys", "count"), MOVES)
def test_relational_retrievals(server: Server, level: str | None, model: str, keys: dict[str, Any], count: int) -> None:
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        with associated(server, model) as assoc:
            *_, (status, _) = assoc.send_c_move(identifier(level, **keys), "DEST", model)
    assert (status.Status, len(destination.received)) == (0x0000, count)


def test_retrievals_are_refused_where_the_operator_wants(strict: Server) -> None:
    with Destination() as destination:
        add_node(strict, "DEST", destination.port)
        with associated(strict, STUDY_MOVE) as assoc:
            keys = identifier("SERIES", SeriesInstanceUID=f"{ONE}.1")
            *_, (status, _) = assoc.send_c_move(keys, "DEST", STUDY_MOVE)
    assert (status.Status, status.OffendingElement) == (0xA900, 0x0020000D)


@pytest.mark.parametrize("level", ["study", "Study ", " STUDY"])
def test_levels_in_any_case_and_with_blanks(server: Server, level: str) -> None:
    code, output = run_tool(
        server, "findscu", "-v", "-S", "-k", f"QueryRetrieveLevel={level}", "-k", "StudyInstanceUID"
    )
    assert (code, output.count("Find Response:")) == (0, 2)


#: Keys as findscu sends them, how many studies they match, and if an Error Comment tells of a change.
ODD = [
    ("StudyDate=-", 2, True),
    ("StudyDate=20240231", 1, True),
    ("StudyDate=20240201-20240231", 1, False),
    ("StudyDate=2024", 2, True),
    ("StudyDate=2024.01.05", 1, False),
    ("StudyDate=20240105\\20240210", 2, False),
    ("StudyDate=20240210-20240105", 0, False),
    ("StudyDate=*", 2, False),
    ("StudyDate=2024*", 2, False),
    ("StudyDate=tomorrow", 2, True),
    ("StudyTime=2400", 2, True),
    ("StudyTime=10:15:00", 1, False),
    ("StudyTime=10", 1, False),
    ("StudyTime=-", 2, True),
    ("StudyTime=101500.0-101500.5", 1, False),
    ("PatientName=Doe^Jane", 1, False),
    ("PatientName=doe^jane^^^^", 1, False),
    ("PatientName=*", 2, False),
    ("PatientName=?", 0, False),
    ("PatientName=-", 0, False),
    ("PatientName=\\", 2, False),
    ("PatientID=P1\\P2", 2, False),
    ("PatientID=" + "x" * 2000, 2, True),
    ("AccessionNumber=" + "x" * 100, 0, False),
    ("PatientSex=MALE FEMALE OTHER UNKNOWN", 0, False),
    ("PatientBirthDate=1970-01-01", 0, False),
    ("StudyInstanceUID=abc", 0, False),
    (f"StudyInstanceUID={ONE}\\ {TWO}", 2, False),
    ("StudyInstanceUID=1.2*", 2, False),
    ("NumberOfStudyRelatedSeries=2", 1, False),
    ("NumberOfStudyRelatedSeries=many", 2, True),
    ("SeriesNumber=one", 2, True),
    ("Modality=CT", 1, False),
    ("SliceThickness=thin", 2, True),
    ("AcquisitionDateTime=-", 2, True),
    ("RetrieveAETitle=X", 2, True),
    ("RequestAttributesSequence[0].ScheduledProcedureStepID=", 2, False),
    ("RequestAttributesSequence[0].ScheduledProcedureStepStartDate=never", 0, True),
    ("0009,0010=CREATOR", 0, False),
]


@pytest.mark.parametrize(("key", "count", "is_remarked"), ODD)
def test_odd_keys(server: Server, key: str, count: int, is_remarked: bool) -> None:
    """No single key fails a query: it is read, widened or ignored, and the responses tell the last two."""
    options = ("-v", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID", "-k", key)
    code, output = run_tool(server, "findscu", *options)
    assert code == 0
    assert output.count("Find Response:") == count, output
    assert ("Pending: Warning" in output or "0xff01" in output.lower()) == (is_remarked and count > 0), output
    assert "Success" in output
