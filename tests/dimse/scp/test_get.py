"""C-GET as SCP: by getscu, and by pynetdicom in the roles that it takes."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from tests.support.dicom.files import ElementWriter
from tests.support.dimse.remotes import (
    STUDY_GET,
    associated,
    counts,
    identifier,
    run_tool,
    series,
    upload,
)
from tests.support.files import ROOT
from tests.support.server import Server

MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY = {"StudyInstanceUID": f"{ROOT}.1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a study."""
    with Server.with_dimse(tmp_path_factory.mktemp("get"), "--dimse-accept", "any") as running:
        upload(running, *series(4))
        yield running


class StoreReceiver:
    """A handler that keeps the instances that come on an association."""

    def __init__(self, seconds: float = 0.0, status: int = 0x0000) -> None:
        self.received: list[Dataset] = []
        self._seconds, self._status = seconds, status

    def __call__(self, event: Event) -> int:
        time.sleep(self._seconds)
        ds = event.dataset
        ds.file_meta = event.file_meta
        self.received.append(ds)
        return self._status


@contextmanager
def asking(
    server: Server,
    receiver: StoreReceiver,
    *classes: str,
    syntaxes: Sequence[str] = (ExplicitVRLittleEndian,),
    role: bool = True,
) -> Iterator[Association]:
    """An association for C-GET that takes instances of some SOP classes."""
    ae = AE("TESTER")
    for sop_class in classes:
        ae.add_requested_context(sop_class, list(syntaxes))
    options = {
        "ext_neg": [build_role(sop_class, scp_role=True) for sop_class in classes if role],
        "evt_handlers": [(evt.EVT_C_STORE, receiver)],
    }
    with associated(server, STUDY_GET, ae=ae, **options) as assoc:
        yield assoc


@pytest.mark.parametrize("preference", ["+x=", "+xb", "+xd", "+xy", "+xi"])
def test_getscu(server: Server, tmp_path: Path, preference: str) -> None:
    """DCMTK's client gets the study, also where it prefers what nothing is converted to (big endian, deflated)."""
    keys = ("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={ROOT}.1")
    code, output = run_tool(server, "getscu", "-v", "-S", preference, "-od", str(tmp_path), *keys)
    assert code == 0, output
    files = [dcmread(file) for file in tmp_path.iterdir()]
    assert {ds.SOPInstanceUID for ds in files} == {f"{ROOT}.1.1.{number}" for number in (1, 2, 3, 4)}
    assert all(ds.PixelData == bytes(range(16)) for ds in files)


def test_counts(server: Server) -> None:
    """Each response counts one more."""
    receiver = StoreReceiver()
    with asking(server, receiver, SecondaryCaptureImageStorage) as assoc:
        answers = [status for status, _ in assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET)]
    assert [counts(status) for status in answers] == [(n, 0, 0, 4 - n) for n in range(1, 4)] + [(4, 0, 0, None)]
    assert len(receiver.received) == 4


@pytest.mark.parametrize("how", ["another class", "no role"])
def test_what_can_not_be_sent_back(server: Server, how: str) -> None:
    """List all instances as failed without a context in which the requestor is the SCP."""
    receiver = StoreReceiver()
    sop_class = MR if how == "another class" else SecondaryCaptureImageStorage
    with asking(server, receiver, sop_class, role=how != "no role") as assoc:
        answers = list(assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET))
    final, failures = answers[-1]
    assert (final.Status, *counts(final)) == (0xA702, 0, 4, 0, None)
    assert "accepts no context" in final.ErrorComment
    assert len(failures.FailedSOPInstanceUIDList) == 4
    assert not receiver.received


def test_warnings(server: Server) -> None:
    """Count the requestor's warnings as warnings."""
    with asking(server, StoreReceiver(status=0xB000), SecondaryCaptureImageStorage) as assoc:
        final, _ = list(assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET))[-1]
    assert (final.Status, *counts(final)) == (0xB000, 0, 0, 4, None)


def test_cancel(server: Server) -> None:
    """A C-CANCEL ends it after the instance under way."""
    receiver = StoreReceiver(seconds=0.3)
    with asking(server, receiver, SecondaryCaptureImageStorage) as assoc:
        answers = assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET, msg_id=3)
        assert next(answers)[0].Status == 0xFF00
        assoc.send_c_cancel(3, query_model=STUDY_GET)
        final, _ = list(answers)[-1]
    completed, failed, warned, remaining = counts(final)
    assert final.Status == 0xFE00
    assert remaining is not None
    assert remaining > 0
    assert (completed + remaining, failed, warned) == (4, 0, 0)


def test_conversion(server: Server) -> None:
    """Send compressed instances uncompressed where only that is taken."""
    path = get_testdata_file("MR_small_RLE.dcm")
    original = dcmread(get_testdata_file("MR_small.dcm"))
    upload(server, Path(path).read_bytes())
    receiver = StoreReceiver()
    with asking(server, receiver, MR, syntaxes=[ImplicitVRLittleEndian]) as assoc:
        ds = identifier("STUDY", StudyInstanceUID=original.StudyInstanceUID)
        final, _ = list(assoc.send_c_get(ds, STUDY_GET))[-1]
    assert final.Status == 0x0000
    assert [ds.PixelData for ds in receiver.received] == [original.PixelData]
    server.wait_for_empty_spool()


def test_a_requestor_that_goes_away(server: Server) -> None:
    """The next one is served."""
    with asking(server, StoreReceiver(seconds=0.2), SecondaryCaptureImageStorage) as assoc:
        next(assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET))
        assoc.abort()
    receiver = StoreReceiver()
    with asking(server, receiver, SecondaryCaptureImageStorage) as assoc:
        final, _ = list(assoc.send_c_get(identifier("STUDY", **STUDY), STUDY_GET))[-1]
    assert (final.Status, len(receiver.received)) == (0x0000, 4)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, "1.2.840.10008.1.2.4.80"])
def test_elements_after_pixel_data_are_sent(server: Server, syntax: str) -> None:
    """Also where the file is converted for the requestor."""
    w = ElementWriter()
    study = f"{ROOT}.77"
    dataset = w.dataset() + w.image() + w.element(0xCB0D0010, "LO", "SOMEBODY") + w.element(0xCB0D1011, "SH", "kept")
    upload(server, w.file(dataset.replace(w.ids(), w.ids(study, f"{study}.1"))))
    receiver = StoreReceiver()
    with asking(server, receiver, CTImageStorage, syntaxes=[syntax]) as assoc:
        *_, (final, _) = assoc.send_c_get(identifier("STUDY", StudyInstanceUID=study), STUDY_GET)
    assert final.Status == 0x0000
    (ds,) = receiver.received
    assert ds[0xCB0D1011].value in ("kept", b"kept")
