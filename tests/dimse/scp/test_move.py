"""C-MOVE as SCP: to storescp, and to destinations that refuse, warn, stall and die."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom.events import Event

from tests.support.dimse.instances import dimse_processes, spool
from tests.support.dimse.remotes import (
    PATIENT_MOVE,
    STUDY_MOVE,
    Destination,
    add_node,
    associated,
    counts,
    identifier,
    retrieve,
    run_tool,
    series,
    storescp,
    upload,
)
from tests.support.files import ROOT, dicom_file, large_file_head
from tests.support.server import Server, free_port

STUDY: dict[str, Any] = {"StudyInstanceUID": f"{ROOT}.1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a study of two series, and one of another patient."""
    options = ("--dimse-accept", "any", "--dimse-timeout", "10")
    with Server.with_dimse(tmp_path_factory.mktemp("move"), *options) as running:
        upload(running, *series(4, study=1, series=1), *series(2, study=1, series=2))
        upload(running, *series(1, study=2, patient="P2"))
        yield running


def test_movescu_to_storescp(server: Server, tmp_path: Path) -> None:
    """DCMTK on both sides: what arrives is what was stored."""
    with storescp(tmp_path, "STORESCP") as (port, _):
        add_node(server, "STORESCP", port)
        keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ROOT}.1")
        code, output = run_tool(server, "movescu", "-v", "-S", "-aem", "STORESCP", *keys)
    assert code == 0, output
    files = [dcmread(file) for file in tmp_path.iterdir()]
    assert {ds.SOPInstanceUID for ds in files} == {
        *(f"{ROOT}.1.1.{number}" for number in (1, 2, 3, 4)),
        *(f"{ROOT}.1.2.{number}" for number in (1, 2)),
    }
    assert all(ds.PixelData == bytes(range(16)) for ds in files)
    assert all(ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian for ds in files)


def test_counts_and_originator(server: Server) -> None:
    """Each pending response counts one more; the originator is who asked, with its message id."""
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        answers = [status for status, _ in retrieve(server, "STUDY", STUDY_MOVE, "DEST", message_id=77, **STUDY)]
    assert [counts(status) for status in answers] == [(n, 0, 0, 6 - n) for n in range(1, 6)] + [(6, 0, 0, None)]
    assert [status.Status for status in answers] == [0xFF00] * 5 + [0x0000]
    assert destination.originators == {("TESTER", 77)}
    assert destination.associations == 1


@pytest.mark.parametrize(
    ("level", "sop_class", "keys", "expected"),
    [
        ("PATIENT", PATIENT_MOVE, {"PatientID": "P2"}, 1),
        ("STUDY", PATIENT_MOVE, {"PatientID": "P1", **STUDY}, 6),
        ("STUDY", STUDY_MOVE, {"StudyInstanceUID": [f"{ROOT}.1", f"{ROOT}.2"]}, 7),
        ("SERIES", STUDY_MOVE, {**STUDY, "SeriesInstanceUID": f"{ROOT}.1.2"}, 2),
        ("SERIES", STUDY_MOVE, {**STUDY, "SeriesInstanceUID": [f"{ROOT}.1.1", f"{ROOT}.1.2"]}, 6),
        (
            "IMAGE",
            STUDY_MOVE,
            {**STUDY, "SeriesInstanceUID": f"{ROOT}.1.1", "SOPInstanceUID": [f"{ROOT}.1.1.1", f"{ROOT}.1.1.3"]},
            2,
        ),
        ("STUDY", STUDY_MOVE, {"StudyInstanceUID": "1.2.3"}, 0),
        ("STUDY", PATIENT_MOVE, {"PatientID": "P2", **STUDY}, 0),
        ("PATIENT", PATIENT_MOVE, {"PatientID": "p2"}, 0),
    ],
)
def test_levels(server: Server, level: str, sop_class: str, keys: dict[str, Any], expected: int) -> None:
    """All levels of both roots, lists of UIDs, and what is not there."""
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        status, _ = retrieve(server, level, sop_class, "DEST", **keys)[-1]
    assert (status.Status, *counts(status)) == (0x0000, expected, 0, 0, None)
    assert len(destination.received) == expected


@pytest.mark.parametrize(
    ("level", "keys", "status", "offending"),
    [
        ("STUDY", {"PatientID": "P1"}, 0xA900, 0x0020000D),
        ("SERIES", {"StudyInstanceUID": "1.2*", "SeriesInstanceUID": "1.2"}, 0xA900, 0x0020000D),
        ("STUDY", {"StudyInstanceUID": "*"}, 0xA900, 0x0020000D),
        ("PATIENT", {"PatientID": "P1"}, 0xA900, 0x00080052),
        ("", {}, 0xA900, 0x00080052),
    ],
)
def test_refusals(server: Server, level: str, keys: dict[str, Any], status: int, offending: int) -> None:
    """Identifiers that do not fit the model."""
    with Destination() as destination:
        add_node(server, "DEST", destination.port)
        answer, _ = retrieve(server, level, STUDY_MOVE, "DEST", **keys)[-1]
    assert (answer.Status, answer.OffendingElement) == (status, offending)


def test_destinations_that_are_not_there(server: Server) -> None:
    """An unknown one is refused; with one that does not answer all sub-operations fail."""
    answer, _ = retrieve(server, "STUDY", STUDY_MOVE, "NOBODY", **STUDY)[-1]
    assert answer.Status == 0xA801
    assert "NOBODY" in answer.ErrorComment
    add_node(server, "CLOSED", free_port())
    answer, failures = retrieve(server, "STUDY", STUDY_MOVE, "CLOSED", **STUDY)[-1]
    assert (answer.Status, *counts(answer)) == (0xA702, 0, 6, 0, None)
    assert "reached" in answer.ErrorComment
    assert failures is not None
    assert len(failures.FailedSOPInstanceUIDList) == 6


def test_some_fail_and_some_warn(server: Server) -> None:
    """Failures and warnings are counted, the failed ones listed, and the whole is a warning."""
    answers = {f"{ROOT}.1.1.2": 0xA700, f"{ROOT}.1.1.3": 0xB000}

    def on_store(event: Event) -> int:
        return answers.get(event.request.AffectedSOPInstanceUID, 0)

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        answer, failures = retrieve(server, "STUDY", STUDY_MOVE, "DEST", **STUDY)[-1]
    assert (answer.Status, *counts(answer)) == (0xB000, 4, 1, 1, None)
    assert failures is not None
    assert failures.FailedSOPInstanceUIDList == f"{ROOT}.1.1.2"


def test_a_destination_that_does_not_take_the_sop_class(server: Server) -> None:
    """All fail."""
    with Destination(classes=["1.2.840.10008.5.1.4.1.1.2"]) as destination:
        add_node(server, "DEST", destination.port)
        answer, _ = retrieve(server, "STUDY", STUDY_MOVE, "DEST", **STUDY)[-1]
    assert (answer.Status, *counts(answer)) == (0xA702, 0, 6, 0, None)
    assert answer.ErrorComment


def test_cancel(server: Server) -> None:
    """A C-CANCEL ends the sub-operations after the one under way; the remaining are told."""
    begun = threading.Event()

    def on_store(event: Event) -> int:
        begun.set()
        time.sleep(0.3)
        return 0

    with Destination(on_store=on_store) as destination, associated(server, STUDY_MOVE) as assoc:
        add_node(server, "DEST", destination.port)
        answers = assoc.send_c_move(identifier("STUDY", **STUDY), "DEST", STUDY_MOVE, msg_id=9)
        assert begun.wait(20)
        assoc.send_c_cancel(9, query_model=STUDY_MOVE)
        final = list(answers)[-1][0]
        assert final.Status == 0xFE00
        completed, failed, warned, remaining = counts(final)
        assert remaining is not None
        assert remaining > 0
        assert (completed + remaining, failed, warned) == (6, 0, 0)
        assert len(destination.received) == completed


def test_a_destination_that_dies(server: Server) -> None:
    """Count the instances sent as completed and the rest as failed, at once."""
    left = [2]

    def on_store(event: Event) -> int:
        if not left[0]:
            event.assoc.abort()
        left[0] -= 1
        return 0

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        answer, failures = retrieve(server, "STUDY", STUDY_MOVE, "DEST", **STUDY)[-1]
    assert (answer.Status, *counts(answer)) == (0xB000, 2, 4, 0, None)
    assert failures is not None
    assert len(failures.FailedSOPInstanceUIDList) == 4
    assert "ended" in answer.ErrorComment


def test_a_destination_that_is_killed(server: Server, tmp_path: Path) -> None:
    """Count as for a destination that aborts: its connection is all that tells of it."""
    with storescp(tmp_path, "KILLED", "--sleep-after", "1") as (port, process):
        add_node(server, "KILLED", port)
        with associated(server, STUDY_MOVE) as assoc:
            answers = assoc.send_c_move(identifier("STUDY", **STUDY), "KILLED", STUDY_MOVE)
            assert next(answers)[0].Status == 0xFF00
            process.kill()
            answer, _ = list(answers)[-1]
    completed, failed, warned, remaining = counts(answer)
    assert (answer.Status, completed + failed, warned, remaining) == (0xB000, 6, 0, None)
    assert completed >= 1
    assert failed >= 1


def test_a_requestor_that_aborts(server: Server) -> None:
    """Send nothing more, end the destination's association, and go on serving."""
    begun = threading.Event()

    def on_store(event: Event) -> int:
        begun.set()
        time.sleep(0.3)
        return 0

    with Destination(on_store=on_store) as destination:
        add_node(server, "DEST", destination.port)
        with associated(server, STUDY_MOVE) as assoc:
            assoc.send_c_move(identifier("STUDY", **STUDY), "DEST", STUDY_MOVE)
            assert begun.wait(20)
            assoc.abort()
        deadline = time.monotonic() + 20
        while destination.ae.active_associations and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not destination.ae.active_associations
        assert len(destination.received) < 6
        answer, _ = retrieve(server, "SERIES", STUDY_MOVE, "DEST", **STUDY, SeriesInstanceUID=f"{ROOT}.1.2")[-1]
        assert answer.Status == 0x0000


def test_two_at_once(server: Server) -> None:
    """Two moves run beside each other, each with its own counts."""
    with Destination("ONE") as one, Destination("TWO") as two, ThreadPoolExecutor(2) as pool:
        for name, destination in (("ONE", one), ("TWO", two)):
            add_node(server, name, destination.port)
        finals = list(
            pool.map(lambda name: retrieve(server, "STUDY", STUDY_MOVE, name, **STUDY)[-1][0], ("ONE", "TWO"))
        )
    assert [(final.Status, *counts(final)) for final in finals] == [(0x0000, 6, 0, 0, None)] * 2
    assert len(one.received) == len(two.received) == 6


def test_conversion(server: Server) -> None:
    """Send uncompressed what the destination does not take compressed, and leave the rest as it is."""
    path = get_testdata_file("MR_small_jp2klossless.dcm")
    stored = dcmread(path)
    upload(server, Path(path).read_bytes())
    keys: dict[str, Any] = {"StudyInstanceUID": stored.StudyInstanceUID}
    for syntaxes, expected in (
        ([ImplicitVRLittleEndian], ImplicitVRLittleEndian),
        ([ExplicitVRLittleEndian, ImplicitVRLittleEndian], ExplicitVRLittleEndian),
        ([JPEG2000Lossless, ImplicitVRLittleEndian], JPEG2000Lossless),
    ):
        with Destination(syntaxes=syntaxes) as destination:
            add_node(server, "DEST", destination.port)
            answer, _ = retrieve(server, "STUDY", STUDY_MOVE, "DEST", **keys)[-1]
            assert answer.Status == 0x0000
        ((uid, ds),) = destination.received
        assert uid == stored.SOPInstanceUID
        assert ds.file_meta.TransferSyntaxUID == expected
        if expected is JPEG2000Lossless:
            assert ds.PixelData == stored.PixelData
        else:
            assert len(ds.PixelData) == stored.Rows * stored.Columns * 2
    server.wait_for_empty_spool()


def test_edits_are_sent(server: Server) -> None:
    """A PUT shows in what is sent, converted or not, with what it was before; nothing temporary is left."""
    upload(server, dicom_file(1, study=8, patient="P8", PatientName="Old^Name"))
    patient = server.client.get("/api/patients", params={"patient_id": "P8"}).json()[0]["id"]
    assert server.client.put(f"/api/patients/{patient}", json={"patient_name": "New^Näme"}).status_code == 200
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        with Destination(syntaxes=[syntax]) as destination:
            add_node(server, "DEST", destination.port)
            answer, _ = retrieve(server, "STUDY", STUDY_MOVE, "DEST", StudyInstanceUID=f"{ROOT}.8")[-1]
        assert answer.Status == 0x0000
        ((_, ds),) = destination.received
        assert str(ds.PatientName) == "New^Näme"
        assert ds.OriginalAttributesSequence[0].ModifiedAttributesSequence[0].PatientName == "Old^Name"
        assert ds.PixelData == bytes(range(16))
    server.wait_for_empty_spool()


def test_a_process_that_is_killed(tmp_path: Path) -> None:
    """Remove a transfer's files with the process that was to send it, and serve the next request."""
    begun = threading.Event()

    def on_store(event: Event) -> int:
        begun.set()
        time.sleep(0.5)
        return 0

    with Server.with_dimse(tmp_path / "data", "--dimse-accept", "any") as server:
        upload(server, *series(3))
        (patient,) = server.client.get("/api/patients").json()
        assert server.client.put(f"/api/patients/{patient['id']}", json={"patient_name": "New"}).status_code == 200
        with Destination(on_store=on_store) as destination:
            add_node(server, "DEST", destination.port)
            with associated(server, STUDY_MOVE) as assoc:
                assoc.send_c_move(identifier("STUDY", **STUDY), "DEST", STUDY_MOVE)
                assert begun.wait(20)
                assert spool(server)
                for process in dimse_processes(server):
                    os.kill(process, signal.SIGKILL)
                server.wait_for_empty_spool()
                assoc.abort()
            answer, _ = retrieve(server, "STUDY", STUDY_MOVE, "DEST", **STUDY)[-1]
            assert (answer.Status, *counts(answer)) == (0x0000, 3, 0, 0, None)


def test_a_large_file_in_bounded_memory(server: Server, tmp_path: Path) -> None:
    """A multi-frame file of 300 MB passes through; no process grows by more than a fraction of it."""
    size = 300 << 20

    def body() -> Iterator[bytes]:
        yield large_file_head(size, 99)
        for _ in range(size >> 20):
            yield bytes(1 << 20)

    answer = server.client.post("/api/instances", content=body(), headers={"Content-Type": "application/dicom"})
    assert answer.status_code == 201, answer.text
    with storescp(tmp_path, "STORESCP", "--ignore") as (port, _):
        add_node(server, "STORESCP", port)
        keys: dict[str, Any] = {**STUDY, "SeriesInstanceUID": f"{ROOT}.1.1", "SOPInstanceUID": f"{ROOT}.1.1.99"}
        final, _ = retrieve(server, "IMAGE", STUDY_MOVE, "STORESCP", **keys)[-1]
    assert (final.Status, *counts(final)) == (0x0000, 1, 0, 0, None)
    assert peak_of_dimse(server) < 150 << 20
    server.client.delete(f"/api/instances/{ROOT}.1.1.99")


def peak_of_dimse(server: Server) -> int:
    """Most bytes of memory that one of the server's DIMSE processes has had."""
    peaks = [0]
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        if int(fields["PPid"]) == server.process.pid and b"neurdicom.dimse" in command:
            peaks.append(int(fields["VmHWM"].split()[0]) * 1024)
    assert len(peaks) > 1
    return max(peaks)
