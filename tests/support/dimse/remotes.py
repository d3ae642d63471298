"""Remote nodes for tests: DCMTK's tools and pynetdicom's SCUs, over real sockets."""

import contextlib
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from tests.support import api
from tests.support.files import dicom_file
from tests.support.server import Server, free_port
from tests.support.waiting import wait_for_port

STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
SECONDS = 60


def tool(name: str) -> str:
    """Path of one of DCMTK's tools; skips the test where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} (DCMTK) is not installed")
    return path


def run_tool(server: Server, name: str, *options: str) -> tuple[int, str]:
    """Run an SCU of DCMTK against the server; its exit status, and what it printed."""
    command = [tool(name), *options, "127.0.0.1", str(server.dimse_port)]
    done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace")


def upload(server: Server, *files: bytes) -> None:
    """Store files over HTTP."""
    for file in files:
        api.upload(server.client, file)


def series(count: int, *, study: int = 1, series: int = 1, **elements: Any) -> list[bytes]:
    """Small images of one series."""
    return [dicom_file(number + 1, study=study, series=series, **elements) for number in range(count)]


def add_node(server: Server, ae_title: str, port: int, **fields: Any) -> str:
    """Register a node on this machine, in place of any other of its name."""
    node = {"protocol": "DIMSE", "ae_title": ae_title, "host": "127.0.0.1", "port": port, **fields}
    name = ae_title.lower()
    server.client.delete(f"/api/dicom_nodes/{name}")
    answer = server.client.post("/api/dicom_nodes", json={"name": name, **node})
    assert answer.status_code == 201, answer.text
    return name


@contextlib.contextmanager
def storescp(folder: Path, ae_title: str, *options: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """DCMTK's storescp, writing to a folder; gives its port and its process."""
    port = free_port()
    command = [tool("storescp"), "-aet", ae_title, "-od", str(folder), *options, str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for_port(port)
            yield port, process
        finally:
            process.kill()


def ask(server: Server, name: str, verb: str, body: dict[str, Any] | None = None) -> Any:
    """Request a verb of a node; return the answer, or the problem."""
    answer = server.client.post(f"/api/dicom_nodes/{name}/{verb}", json=body)
    return answer.json() if answer.status_code == 200 else (answer.status_code, answer.json()["detail"])


class Destination:
    """A storage SCP of pynetdicom's that does what a test wants with each instance.

    Parameters
    ----------
    on_store : callable, optional
        Gets the event, gives the status.
    syntaxes : sequence of str
        Transfer syntaxes that it takes.

    Attributes
    ----------
    received : list of (SOP Instance UID, Dataset)
        What came, decoded as it was sent.
    originators : set of (str, int)
        Move Originator AE titles and message ids.
    associations : int
        How many there were.
    """

    def __init__(
        self,
        ae_title: str = "DEST",
        on_store: Callable[[Event], int] | None = None,
        syntaxes: Sequence[str] = (ImplicitVRLittleEndian,),
        classes: Sequence[str] | None = None,
    ) -> None:
        self._on_store = on_store
        self.ae = AE(ae_title)
        for sop_class in classes or [context.abstract_syntax for context in AllStoragePresentationContexts]:
            self.ae.add_supported_context(sop_class, list(syntaxes))
        self.received: list[tuple[str, Dataset]] = []
        self.originators: set[tuple[str, int]] = set()
        self.associations = 0

    def _store(self, event: Event) -> int:
        request = event.request
        self.originators.add((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        status = self._on_store(event) if self._on_store else 0x0000
        if status == 0x0000:
            ds = event.dataset
            ds.file_meta = event.file_meta
            self.received.append((request.AffectedSOPInstanceUID, ds))
        return status

    def _count(self, event: Event) -> None:
        self.associations += 1

    def __enter__(self) -> Self:
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._count), (evt.EVT_C_ECHO, lambda event: 0)]
        self.ae.add_supported_context("1.2.840.10008.1.1")
        self._server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert self._server is not None
        self.port: int = self._server.server_address[1]
        return self

    def __exit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.shutdown()


def retrieve(
    server: Server, level: str, sop_class: str, destination: str | None = None, *, message_id: int = 5, **keys: Any
) -> list[tuple[Dataset, Dataset | None]]:
    """C-MOVE to a destination: the statuses, and the last identifier."""
    with associated(server, sop_class) as assoc:
        assert destination is not None
        ds = identifier(level, **keys)
        return list(assoc.send_c_move(ds, destination, sop_class, msg_id=message_id))


def counts(status: Dataset) -> tuple[int, int, int, int | None]:
    """Completed, failed, warning and remaining sub-operations of a response."""
    return (
        status.NumberOfCompletedSuboperations,
        status.NumberOfFailedSuboperations,
        status.NumberOfWarningSuboperations,
        status.get("NumberOfRemainingSuboperations"),
    )


@contextlib.contextmanager
def associated(server: Server, *sop_classes: str, ae: AE | None = None, **options: Any) -> Iterator[Association]:
    """An association of pynetdicom's with the server."""
    ae = ae or AE("TESTER")
    for sop_class in sop_classes:
        ae.add_requested_context(sop_class)
    assoc = ae.associate("127.0.0.1", server.dimse_port, ae_title="NEURDICOM", **options)
    assert assoc.is_established
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def identifier(level: str | None, /, **elements: Any) -> Dataset:
    """A dataset of keys."""
    ds = Dataset()
    if level is not None:
        ds.QueryRetrieveLevel = level
    with warnings.catch_warnings(action="ignore"):  # wildcards are not values of every VR
        for keyword, value in elements.items():
            setattr(ds, keyword, value)
    return ds


def find(
    server: Server,
    level: str | None,
    sop_class: str = STUDY_FIND,
    options: Mapping[str, Any] | None = None,
    **keys: Any,
) -> tuple[list[Dataset], Dataset, list[int]]:
    """C-FIND: the matches, the final status, and the statuses of the matches."""
    with associated(server, sop_class, **(options or {})) as assoc:
        answers = list(assoc.send_c_find(identifier(level, **keys), sop_class))
    matches = [ds for _, ds in answers if ds is not None]
    return matches, answers[-1][0], [status.Status for status, ds in answers if ds is not None]
